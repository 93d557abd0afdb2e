"""Reading of an Arrow IPC file with one uncompressed record batch, as views of a memory map.

pyarrow decompresses a batch without telling, and some kilobytes can fill the memory. Therefore the message of the batch
is inspected first; its layout is that of https://arrow.apache.org/docs/format/Columnar.html#format-ipc, in FlatBuffers.
"""

import struct

import pyarrow as pa

_MAGIC_BYTES = 8
"""Length of the mark before the messages of a file."""

_HEADER, _COMPRESSION = 2, 3
"""Numbers of fields: the header of a message, and the compression of a record batch."""


def read_batch(file: pa.MemoryMappedFile) -> pa.RecordBatch:
    """Return the only batch of an Arrow IPC file, without a copy of its values.

    Raises `ValueError` or `pyarrow.ArrowException` if the file is damaged, has another number of batches, or is
    compressed.
    """
    reader = pa.ipc.open_file(file)
    if reader.num_record_batches != 1:
        raise ValueError(f"{reader.num_record_batches} record batches instead of one")
    file.seek(_MAGIC_BYTES)
    messages = pa.ipc.MessageReader.open_stream(file)
    _schema, message = _next_message(messages), _next_message(messages)
    if message.type != "record batch":
        raise ValueError(f"a message of the type {message.type} instead of a record batch")
    if _is_compressed(message.metadata.to_pybytes()):
        raise ValueError("it is compressed, and cannot be mapped into memory")
    return pa.ipc.read_record_batch(message, reader.schema)


def _next_message(messages: pa.ipc.MessageReader) -> pa.ipc.Message:
    try:
        return messages.read_next_message()
    except StopIteration:
        raise ValueError("it ends before its record batch") from None


def _is_compressed(metadata: bytes) -> bool:
    """Whether the metadata of a record batch name a compression."""
    try:
        header = _field(metadata, _follow(metadata, 0), _HEADER)
        return bool(_field(metadata, _follow(metadata, header), _COMPRESSION))
    except struct.error:
        raise ValueError("its record batch has damaged metadata") from None


def _follow(content: bytes, place: int) -> int:
    """Return the place to which the offset at a place points."""
    return place + int(struct.unpack_from("<I", content, place)[0])


def _field(content: bytes, table: int, number: int) -> int:
    """Return the place of a field of a FlatBuffers table; 0 if it is absent."""
    offsets = table - int(struct.unpack_from("<i", content, table)[0])
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", content, offsets)[0]:
        return 0
    offset = int(struct.unpack_from("<H", content, offsets + entry)[0])
    return table + offset if offset else 0
