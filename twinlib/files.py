"""Atomic file I/O: digests, JSON and tables; files are written to a temporary name and moved into place."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib.contracts import describe_mismatch
from twinlib.errors import DiskFullError, TwinError
from twinlib.parsing import describe_error, parse_json, read_text, require_file
from twinlib.schemas import check_json
from twinlib.table_limits import check_types, find_long_text, text_columns
from twinlib.table_schemas import check_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CONTRACT_KEY = b"twin.contract"
"""Key of the contract and version, such as `tracks/1`, in the schema metadata of a table."""

_FULL_BYTES = 1 << 20
"""Free space below which a failed write is due to the full disk."""

MAX_VALUES = 100_000_000
"""Largest number of values in a table: a compressed column of equal values can claim any number in a few bytes."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on an error it is removed.

    Raises `DiskFullError` instead of the error of a write to a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Remove temporary files of killed runs; two processes never write the same file.
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        aside.replace(path)
    except (OSError, RuntimeError) as error:
        if is_disk_full(error, path.parent):
            raise disk_full(path) from None
        raise
    finally:
        aside.unlink(missing_ok=True)


def is_disk_full(error: Exception, folder: Path) -> bool:
    """Whether the error of a write is due to a full disk. Some libraries hide the reason, such as libsndfile."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return shutil.disk_usage(folder).free < _FULL_BYTES


def disk_full(path: Path, needed: int = 0) -> DiskFullError:
    """Return the error for a file that does not fit; `needed` is its size in bytes, 0 if unknown."""
    folder = _existing(path.parent)
    free = _size(shutil.disk_usage(folder).free)
    problem = f"needs {_size(needed)}, but only {free} is" if needed else f"does not fit: {free} is"
    return DiskFullError(
        f"{path} {problem} free in the file system of {folder.absolute()}. Make space there and run again; finished "
        "work is kept"
    )


def require_space(path: Path, needed: int) -> None:
    """Raise `DiskFullError` unless the file system of a file has `needed` bytes left."""
    if shutil.disk_usage(_existing(path.parent)).free < needed:
        raise disk_full(path, needed)


def _existing(folder: Path) -> Path:
    """Return the folder, or its first parent that exists."""
    return next((parent for parent in (folder, *folder.parents) if parent.is_dir()), Path())


def _size(count: int) -> str:
    """Return a number of bytes with a unit, such as `3.9 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on a file, created if needed; the system releases it if the process dies.

    Yields True if the lock was acquired. Without `wait`, yields False if another process holds it. The owner may delete
    the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_locked = False
    while not is_locked:
        with path.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            # The last owner may have deleted it meanwhile: others would lock a new file.
            with suppress(FileNotFoundError):
                is_locked = os.path.samestat(os.fstat(stream.fileno()), path.stat())
            if is_locked:
                yield True


def sha256_bytes(content: bytes | memoryview) -> str:
    """Return the sha256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of the content of a regular file, 64 hexadecimal digits; constant memory."""
    require_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, contract: str, content: dict[str, Any]) -> None:
    """Write a JSON object with its contract (such as `take/1`) as the first key; equal content gives equal bytes."""
    text = json.dumps({"contract": contract, **content}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path, contract: str) -> dict[str, Any]:
    """Read a JSON object written by `write_json`.

    Raises `TwinError` if it is unreadable, has another contract, or a key is missing or has the wrong type.
    """
    try:
        content = parse_json(read_text(path))
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run the stage that writes it") from None
    except (OSError, ValueError) as error:
        raise TwinError(f"{path} is not readable JSON ({describe_error(error)}): delete it and run again") from None
    found = content.get("contract") if isinstance(content, dict) else None
    if found != contract:
        raise TwinError(f"{path} {describe_mismatch(found, contract)}")
    if problem := check_json(contract, content):
        raise TwinError(f"{path} is damaged or was edited: {problem}. Delete it and run again")
    return {key: value for key, value in content.items() if key != "contract"}


def write_table(path: Path, contract: str, table: "pd.DataFrame") -> None:
    """Write a Parquet table with its contract in the schema metadata; equal rows give equal bytes."""
    # Imported here to save 70 MB and half a second in programs without tables.
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), CONTRACT_KEY: contract.encode()})
    with atomic_path(path) as aside:
        pq.write_table(arrow, aside, compression="zstd", write_page_checksum=True)


def read_arrow(path: Path, contract: str, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a table written by `write_table`, or some columns, without converting lists; raises as `read_table` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_file(path)
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        # Check the contract first: a table with another contract may lack the columns.
        found = (schema.metadata or {}).get(CONTRACT_KEY, b"none").decode(errors="replace")
        if found != contract:
            raise TwinError(f"{path} {describe_mismatch(found, contract)}")
        if missing := set(columns or ()) - set(schema.names):
            raise ValueError(f"it has no column {min(missing)}")
        chosen = schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
        if problem := check_types(chosen):
            raise ValueError(problem)
        # Not the number of entries of lists: the metadata of a damaged column abort the process.
        if (values := metadata.num_rows * len(chosen)) > MAX_VALUES:
            raise ValueError(f"it holds {values} values; {MAX_VALUES} are allowed")
        # Dictionaries hold equal texts once, so that their length is known before they fill the memory.
        options = {"read_dictionary": text_columns(metadata.schema), "page_checksum_verification": True}
        with pq.ParquetFile(path, metadata=metadata, **options) as file:
            table = file.read(columns=None if columns is None else list(columns))
        table.validate(full=True)
        if problem := find_long_text(table):
            raise ValueError(problem)
        table = table.cast(chosen)
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run the stage that writes it") from None
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise TwinError(f"{path} is not a readable table ({describe_error(error)}): delete it and run again") from None
    if problem := check_table(contract, table, columns is None):
        raise TwinError(f"{path} is damaged or was edited: {problem}. Delete it and run again")
    return table


def read_table(path: Path, contract: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a table written by `write_table`, or some columns.

    Raises `TwinError` if it is damaged, has another contract, or a column is missing or has the wrong type.
    """
    table = read_arrow(path, contract, columns)
    try:
        frame: pd.DataFrame = table.to_pandas()
    except Exception as error:
        # The file stores the pandas types as JSON, damage to which raises anything.
        raise TwinError(f"{path} is not a readable table ({error}): delete it and run again") from None
    return frame
