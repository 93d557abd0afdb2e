"""Limits of Parquet tables, checked before their content fills the memory: types, and lengths of text.

A compressed file of some kilobytes can hold the same text of a megabyte in every row.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_TEXT_BYTES = 1 << 20
"""Longest text of a row."""

MAX_COLUMN_BYTES = 1 << 29
"""Largest sum of the lengths of the texts of a column."""


def check_types(schema: "pa.Schema") -> str | None:
    """Return what is wrong with the first column that holds neither numbers nor text, nor lists of them."""
    for field in schema:
        kind = _inner(field.type)
        if not (_is_text(kind) or _is_plain(kind)):
            return f"column {field.name} holds {str(field.type)[:60]}"
    return None


def text_columns(schema: "pq.ParquetSchema") -> list[str]:
    """Return the paths of the columns of variable length."""
    columns = (schema.column(index) for index in range(len(schema)))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def find_long_text(table: "pa.Table") -> str | None:
    """Return the first text that is too long, with column and row, or the first column with too much text.

    Texts of `table` are dictionaries.
    """
    import pyarrow.compute as pc

    for name, column in zip(table.schema.names, table.columns, strict=True):
        first, total = 0, 0
        for chunk in column.chunks:
            for rows, texts in _dictionaries(chunk):
                lengths = pc.take(pc.binary_length(texts.dictionary), texts.indices)
                longest = pc.max(lengths).as_py() or 0
                if longest > MAX_TEXT_BYTES:
                    place = pc.index(lengths, longest).as_py()
                    row = first + (place if rows is None else rows[place].as_py())
                    return f"column {name} has a text of {longest} bytes in row {row}; {MAX_TEXT_BYTES} are allowed"
                total += pc.sum(lengths).as_py() or 0
            first += len(chunk)
        if total > MAX_COLUMN_BYTES:
            return f"column {name} holds {total} bytes of text; {MAX_COLUMN_BYTES} are allowed"
    return None


def _dictionaries(chunk: "pa.Array") -> "Iterator[tuple[pa.Array | None, pa.DictionaryArray]]":
    """Yield the texts of a chunk, if any, and the row of each if the column holds lists."""
    import pyarrow.compute as pc
    import pyarrow.types as types

    rows = None
    if types.is_list(chunk.type) or types.is_large_list(chunk.type):
        rows, chunk = pc.list_parent_indices(chunk), chunk.flatten()
    if types.is_dictionary(chunk.type):
        yield rows, chunk


def _inner(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow.types as types

    return kind.value_type if types.is_list(kind) or types.is_large_list(kind) else kind


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return any(fits(kind) for fits in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary))


def _is_plain(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    return bool(types.is_null(kind) or types.is_primitive(kind))
