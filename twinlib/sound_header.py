"""Headers of WAV, RF64, BW64 and CAF files: where the samples are, whatever the sizes in the header say.

A recorder that loses power leaves sizes of 0 or of its last update; a program that writes into a pipe leaves the
maximum; an interrupted copy leaves sizes beyond the end of the file. libsndfile reads nothing, too little, or refuses
such files. `find_samples` compares the header with the file, and `SplicedFile` gives libsndfile a correct header.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

Header = Literal["complete", "unfinished", "truncated"]
"""Complete; without a valid length, although the samples are there; or announcing more samples than there are."""

STREAM_SIZE = 0x7FFF0000
"""Programs that write into a pipe announce at least this size, usually 0x7FFFF000 or 0xFFFFFFFF."""
NO_SIZE = 0xFFFFFFFF
"""32-bit size of a chunk whose size is in the chunk `ds64`, or unknown."""
Part = tuple[int, int]
"""First byte and number of bytes of a part of a file."""

RIFF_LIMIT = 2**32 - 2**16
"""Largest number of sample bytes in a RIFF file; larger files are RF64 (EBU Tech 3306)."""

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
"""Start of tags that music programs append to any file."""
_CHUNKS = (b"LIST", b"bext", b"iXML", b"axml", b"chna", b"cue ", b"smpl", b"inst", b"fact", b"JUNK", b"FLLR", b"id3 ")
"""Chunks that follow the samples; their own size may be wrong."""
_STREAMINFO = 42
"""Bytes of a FLAC file up to the end of its first metadata block."""
_BLOCK = 1 << 20
_BLOCKS = 1 << 14
"""Blocks of 4 bytes in the middle of a file that show whether its samples are padded."""


@dataclass(frozen=True)
class Samples:
    """The samples of a file: `size` bytes in `parts` (first byte, bytes), of `announced` bytes according to the header.

    `correct` is a header that agrees with the file, or None if libsndfile reads the file as it is.
    """

    container: str
    parts: tuple[Part, ...]
    announced: int
    header: Header
    correct: bytes | None

    @property
    def size(self) -> int:
        """Bytes of all samples."""
        return sum(size for _, size in self.parts)


def find_samples(path: Path) -> Samples | None:
    """Find the samples of a WAV, RF64, BW64 or CAF file; None for other formats and for headers without samples."""
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        magic = file.read(12)
        if magic[:4] in (b"RIFF", b"RF64", b"BW64") and magic[8:] == b"WAVE":
            return _find_in_riff(file, end, magic[:4], int.from_bytes(magic[4:8], "little"))
        if magic[:4] == b"caff":
            return _find_in_caf(file, end)
        return None


class SplicedFile(io.RawIOBase):
    """A read-only file: the bytes `head`, followed by parts of another file."""

    def __init__(self, path: Path, head: bytes, *parts: Part) -> None:
        self._file = path.open("rb")
        self._head, self._parts = head, parts
        self._size = len(head) + sum(size for _, size in parts)
        self._position = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer and return the number of bytes."""
        view = memoryview(buffer).cast("B")
        start = self._head[self._position : self._position + len(view)]
        count = len(start)
        view[:count] = start
        # The position in the parts.
        at = self._position + count - len(self._head)
        for first, size in self._parts:
            if 0 <= at < size and count < len(view):
                self._file.seek(first + at)
                read = self._file.readinto(view[count : count + size - at])
                count, at = count + read, at + read
            at -= size
        self._position += count
        return count


def flac_with_length(path: Path, frames: int) -> SplicedFile | None:
    """Return a FLAC file whose header announces `frames`, without its ID3 tag and checksum; None for other formats."""
    with path.open("rb") as file:
        tag = file.read(10)
        # The size of an ID3v2 tag has four groups of 7 bits.
        start = 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=False))
        start = start if tag.startswith(b"ID3") else 0
        file.seek(start)
        head = bytearray(file.read(_STREAMINFO))
        end = file.seek(0, io.SEEK_END)
    if len(head) < _STREAMINFO or not head.startswith(b"fLaC"):
        return None
    # The number of samples has 36 bits (RFC 9639, section 8.2); the MD5 checksum follows.
    head[21] = head[21] & 0xF0 | frames >> 32
    head[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    head[26:] = bytes(16)
    first = start + _STREAMINFO
    return SplicedFile(path, bytes(head), (first, end - first))


def clear_peak_time(path: Path) -> None:
    """Set the time in the chunk `PEAK` of a WAV file to 0; libsndfile writes the clock of the computer there."""
    with path.open("r+b") as file:
        at = 12
        while len(head := _read(file, at, 8)) == 8:
            if head.startswith(b"PEAK"):
                # After the version of the chunk.
                file.seek(at + 12)
                file.write(bytes(4))
                return
            size = int.from_bytes(head[4:], "little")
            at += 8 + size + size % 2


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _find_in_riff(file: BinaryIO, end: int, magic: bytes, riff_size: int) -> Samples | None:
    at, fmt, large, is_plain = 12, b"", None, magic != b"BW64"
    parts: list[Part] = []
    total = 0
    header: Header = "complete"
    while at + 8 <= end and header == "complete":
        name, size = struct.unpack("<4sI", _read(file, at, 8))
        if not any(name):
            # The rest was never written.
            break
        first = at + 8
        at = first + size + size % 2
        if name == b"ds64" and size >= 16 and first + 16 <= end:
            large = int(struct.unpack("<QQ", _read(file, first, 16))[1])
        elif name == b"fmt ":
            fmt = _read(file, first, min(size, 1 << 12))
        elif name == b"data" and fmt and not size and _is_chunk(file, first, end):
            is_plain = False
        elif name == b"data" and fmt:
            announced = large if size == NO_SIZE and large is not None else size
            header, count = _compare(file, first, end, announced, abs(riff_size + 8 - end) <= 1)
            parts.append((first, count))
            total += announced
            at = first + count + (0 if _is_chunk(file, first + count, end) else count % 2)
    if not parts:
        return None
    is_padded = _has_padded_samples(file, fmt, parts[0])
    if is_padded:
        # 32 bits per sample.
        fmt = fmt[:14] + bytes((32, 0)) + fmt[16:]
    correct = None
    if header != "complete" or not is_plain or len(parts) > 1 or is_padded:
        correct = _riff_header(fmt, sum(size for _, size in parts))
    return Samples("WAV" if magic == b"RIFF" else magic.decode(), tuple(parts), total, header, correct)


def _has_padded_samples(file: BinaryIO, fmt: bytes, part: Part) -> bool:
    """Return whether samples of 24 bits are in the upper bytes of blocks of 4 bytes.

    Plain WAV files cannot declare this; libsndfile guesses from the samples, and may read noise.
    """
    tag, channels, _, _, align, bits = struct.unpack("<HHIIHH", fmt[:16].ljust(16, b"\0"))
    if (tag, bits) != (1, 24) or align != 4 * channels:
        return False
    # Files may start with silence.
    blocks = part[1] // 4
    content = _read(file, part[0] + 4 * max(0, blocks // 2 - _BLOCKS // 2), 4 * min(blocks, _BLOCKS))
    return any(content) and not any(content[::4])


def _compare(file: BinaryIO, first: int, end: int, announced: int, is_whole: bool) -> tuple[Header, int]:
    """Return the state of the header, and the number of bytes of samples in the file.

    `is_whole` states that the size of the whole file in the header is right.
    """
    rest = end - first
    if announced > rest:
        unknown = announced >= STREAM_SIZE if announced <= NO_SIZE else announced >= 2**62
        return ("unfinished" if unknown or is_whole else "truncated"), rest
    if announced == rest or (announced and _is_end(file, first + announced, end)):
        return "complete", announced
    return "unfinished", rest


def _is_end(file: BinaryIO, at: int, end: int) -> bool:
    """Return whether other data than samples follow: chunks, tags or zeros."""
    file.seek(at)
    start = file.read(9)
    if end - at <= 8 or start.startswith(_TAGS) or start[1:].startswith(_TAGS):
        return True
    # Some programs omit the padding byte of an odd number of bytes.
    if any(_is_chunk(file, place, end) for place in (at, at + 1)):
        return True
    file.seek(at)
    return not any(any(block) for block in iter(lambda: file.read(_BLOCK), b""))


def _is_chunk(file: BinaryIO, at: int, end: int) -> bool:
    """Return whether a chunk of a RIFF file starts at a byte."""
    file.seek(at)
    head = file.read(8)
    if len(head) < 8:
        return False
    name, size = head[:4], int.from_bytes(head[4:], "little")
    return name in _CHUNKS or (all(0x20 <= byte < 0x7F for byte in name) and (name == b"data" or at + 8 + size <= end))


def _riff_header(fmt: bytes, size: int) -> bytes:
    """Return the header of a WAV or RF64 file of `size` bytes of samples, up to the first of them."""
    chunk = b"fmt " + struct.pack("<I", len(fmt)) + fmt + bytes(len(fmt) % 2)
    if size <= RIFF_LIMIT:
        return b"RIFF" + struct.pack("<I", 12 + len(chunk) + size) + b"WAVE" + chunk + b"data" + struct.pack("<I", size)
    frames = size // max(1, int.from_bytes(fmt[12:14], "little"))
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 48 + len(chunk) + size, size, frames, 0)
    no_size = struct.pack("<I", NO_SIZE)
    return b"RF64" + no_size + b"WAVE" + ds64 + chunk + b"data" + no_size


def _find_in_caf(file: BinaryIO, end: int) -> Samples | None:
    """Find the samples of a CAF file, whose chunks have 64-bit sizes; -1 means up to the end of the file."""
    at = 8
    while at + 12 <= end:
        file.seek(at)
        name, size = struct.unpack(">4sq", file.read(12))
        if name == b"data":
            # The samples follow a 32-bit number of edits.
            first, rest = at + 16, end - at - 16
            if rest < 0:
                return None
            announced = max(0, size - 4)
            if 0 < announced <= rest:
                return Samples("CAF", ((first, announced),), announced, "complete", None)
            file.seek(0)
            correct = file.read(at + 4) + struct.pack(">qI", rest + 4, 0)
            return Samples("CAF", ((first, rest),), announced, "truncated" if announced else "unfinished", correct)
        if size < 0 or not any(name):
            return None
        at += 12 + size
    return None
