"""Shards: the aligned audio of one capture as an Arrow IPC file that training reads through a memory map.

The file holds one record batch with one row per segment. Its columns `dry` and `wet` are fixed-size lists of float32,
contiguous in memory: the samples before a row are those of the previous row, so left context needs no extra storage.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from twinlib.audio import BLOCK, Signal
from twinlib.contracts import SHARD, describe_mismatch
from twinlib.dataset.arrow_batch import read_batch
from twinlib.dataset.source import CaptureSource
from twinlib.errors import DatasetError
from twinlib.files import CONTRACT_KEY, atomic_path, disk_full, is_disk_full, require_space
from twinlib.intervals import Range
from twinlib.parsing import describe_error, require_file
from twinlib.progress import Progress, no_progress

Read = Callable[[int, int], Signal]
"""Returns samples [start, stop) on the dry clock as float32 `(stop - start,)`."""

_WRITTEN_AT_ONCE = 1 << 22

_STRINGS = pa.list_(pa.string())
_COLUMNS = {
    "segment_id": pa.string(),
    "start": pa.int64(),
    "stop": pa.int64(),
    "split": pa.string(),
    "track_ids": _STRINGS,
    "licences": _STRINGS,
    "take_sha256": pa.string(),
}


@dataclass(frozen=True)
class ShardMetadata:
    """The metadata in the schema of a shard; rate in Hz, lengths in samples."""

    device: str
    capture: str
    sample_rate: int
    segment_samples: int
    guard_samples: int
    take_sha256: str
    simulated: bool


def shard_metadata(source: CaptureSource, segment_samples: int) -> ShardMetadata:
    """Return the metadata of the shard of a capture."""
    return ShardMetadata(
        device=source.device,
        capture=source.capture,
        sample_rate=source.sample_rate,
        segment_samples=segment_samples,
        guard_samples=source.guard_samples,
        take_sha256=source.take_sha256,
        simulated=source.simulated,
    )


def write_shard(
    path: Path,
    segments: pd.DataFrame,
    read_dry: Read,
    read_wet: Read,
    metadata: ShardMetadata,
    zero_ranges: Sequence[Range] = (),
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Write the audio of the segments of a capture and return the segments with shard, row and digests filled in.

    `segments` come from `tile_reel` or `tile_pair`. All rows are written, usable or not, so that the values are
    contiguous; `zero_ranges` (dry clock, half-open) become digital silence in both signals. The shard of a refused take
    is empty: its segments have `row` -1 and no digests. Digests are sha256 of the little-endian float32 samples of a
    row. Memory is constant: samples pass through two scratch files next to `path`. After a kill, the next run removes
    them. `progress` counts samples of the dry clock. Raises `DatasetError` if a reader returns the wrong number of
    samples or a sample that is not finite, `DiskFullError` before it starts if the shard does not fit on the disk.
    """
    size = metadata.segment_samples
    refused = ["refused-take" in flags for flags in segments["flags"]]
    written = segments[~np.array(refused, dtype=bool)].reset_index(drop=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Both signals, in the scratch files and in the shard.
    require_space(path, 4 * len(written) * size * np.dtype("<f4").itemsize)
    with _scratch(path) as (dry_file, wet_file):
        digests = [
            _copy_row(start, start + size, read, file, path, signal, zero_ranges)
            for start in _with_progress(written["start"].tolist(), size, progress)
            for read, file, signal in ((read_dry, dry_file, "dry"), (read_wet, wet_file, "wet"))
        ]
        columns = {name: pa.array(written[name].tolist(), type=kind) for name, kind in _COLUMNS.items()}
        maps = [_map(file) for file in (dry_file, wet_file) if len(written)]
        contents: Sequence[mmap.mmap | bytes] = maps or [b"", b""]
        columns["dry"], columns["wet"] = (_samples(content, len(written), size) for content in contents)
        schema = pa.schema(
            [(name, column.type) for name, column in columns.items()],
            metadata={CONTRACT_KEY: SHARD.encode(), **_encode(metadata)},
        )
        batch = pa.record_batch(list(columns.values()), schema=schema)
        with (
            atomic_path(path) as aside,
            aside.open("wb") as file,
            pa.PythonFile(_Sink(file, maps), "w") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            writer.write_batch(batch)
    done = segments.copy()
    place = ~np.array(refused, dtype=bool)
    done.loc[place, "shard"] = path.name
    done.loc[place, "row"] = np.arange(len(written))
    done.loc[place, "dry_sha256"] = digests[0::2]
    done.loc[place, "wet_sha256"] = digests[1::2]
    return done


class Shard:
    """An open shard: its audio as flat views of a memory map, its provenance as a table.

    `dry` and `wet` are read-only float32 `(rows * segment_samples,)` with row k at [k S, (k + 1) S). `table` holds the
    other columns, one row per segment, and is read from the memory map on every access.
    """

    def __init__(self, path: Path, dry: Signal, wet: Signal, columns: pa.Table, metadata: ShardMetadata) -> None:
        self.path, self.dry, self.wet, self.metadata = path, dry, wet, metadata
        self._columns = columns

    @property
    def table(self) -> pd.DataFrame:
        """The provenance of the segments."""
        table: pd.DataFrame = self._columns.to_pandas()
        return table

    @property
    def segment_ids(self) -> list[str]:
        """The ids of the segments, by row."""
        names: list[str] = self._columns.column("segment_id").to_pylist()
        return names

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Map a shard into memory; raises `DatasetError` if it is missing, truncated or of another format."""
        try:
            require_file(path)
            with pa.memory_map(str(path)) as mapped:
                metadata = _decode(path, pa.ipc.open_file(mapped).schema)
                batch = read_batch(mapped)
            batch.validate(full=False)
            if batch.schema.names != [*_COLUMNS, "dry", "wet"]:
                raise ValueError(f"unexpected columns {', '.join(batch.schema.names)}")
            audio = pa.list_(pa.float32(), metadata.segment_samples)
            if batch.schema.field("dry").type != audio or batch.schema.field("wet").type != audio:
                raise ValueError("audio of unexpected length or type")
            dry, wet = (batch.column(name).flatten().to_numpy(zero_copy_only=True) for name in ("dry", "wet"))
            columns = pa.Table.from_batches([batch]).select(list(_COLUMNS))
            columns.validate(full=True)
            if problem := next((name for name in _COLUMNS if columns.field(name).type != _COLUMNS[name]), None):
                raise ValueError(f"the column {problem} has an unexpected type")
            if problem := next((name for name in _COLUMNS if columns.column(name).null_count), None):
                raise ValueError(f"the column {problem} has empty rows")
        except FileNotFoundError:
            raise DatasetError(f"{path} does not exist: run the stage that cuts shards") from None
        except (OSError, ValueError, KeyError, OverflowError, pa.ArrowException) as error:
            raise DatasetError(
                f"{path} is not a usable shard ({describe_error(error)}): delete it and run again"
            ) from None
        return cls(path, dry, wet, columns, metadata)


def _with_progress(starts: list[int], size: int, progress: Progress) -> Iterator[int]:
    for start in starts:
        yield start
        progress(size)


def _copy_row(
    start: int, stop: int, read: Read, file: IO[bytes], path: Path, signal: str, zero_ranges: Sequence[Range]
) -> str:
    """Append one row to its scratch file, a block at a time, and return its digest."""
    digest = hashlib.sha256()
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        block = np.array(read(first, last), dtype="<f4")
        if block.shape != (last - first,):
            raise DatasetError(
                f"{path}: the {signal} signal returned {block.shape} samples for {first} to {last}: align the capture "
                f"again"
            )
        for begin, end in zero_ranges:
            block[max(0, begin - first) : max(0, end - first)] = 0.0
        if not np.isfinite(block).all():
            place = first + int(np.flatnonzero(~np.isfinite(block))[0])
            raise DatasetError(
                f"{path}: the {signal} signal is NaN or infinite at sample {place}: record or export it again"
            )
        digest.update(block.data)
        file.write(block.data)
    return digest.hexdigest()


@contextmanager
def _scratch(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield two scratch files next to `path`, after removal of the scratch files of a killed run."""
    for left in sorted(path.parent.glob(f".{path.name}.*")):
        left.unlink(missing_ok=True)
    paths = [path.with_name(f".{path.name}.{signal}.part") for signal in ("dry", "wet")]
    try:
        with paths[0].open("w+b") as dry, paths[1].open("w+b") as wet:
            yield dry, wet
    except OSError as error:
        if is_disk_full(error, path.parent):
            raise disk_full(path) from None
        raise
    finally:
        for scratch in paths:
            scratch.unlink(missing_ok=True)


class _Sink:
    """Writes to a file in blocks, and drops the pages of memory maps that were read for it.

    Otherwise the resident memory grows by the whole capture.
    """

    closed = False

    def __init__(self, file: IO[bytes], maps: Sequence[mmap.mmap]) -> None:
        self._file, self._maps = file, maps

    def write(self, content: Any) -> None:
        """Write all bytes of a buffer."""
        view = memoryview(content)
        for first in range(0, len(view), _WRITTEN_AT_ONCE):
            self._file.write(view[first : first + _WRITTEN_AT_ONCE])
            for one in self._maps:
                one.madvise(mmap.MADV_DONTNEED)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def close(self) -> None:
        """Leave the file open for its owner."""
        self.closed = True


def _map(file: IO[bytes]) -> mmap.mmap:
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _samples(content: mmap.mmap | bytes, rows: int, size: int) -> pa.FixedSizeListArray:
    """Return samples as an Arrow column of `rows` lists, without a copy."""
    flat = pa.Array.from_buffers(pa.float32(), rows * size, [None, pa.py_buffer(content)])
    return pa.FixedSizeListArray.from_arrays(flat, size)


def _encode(metadata: ShardMetadata) -> dict[bytes, bytes]:
    return {key.encode(): str(value).encode() for key, value in asdict(metadata).items()}


def _decode(path: Path, schema: pa.Schema) -> ShardMetadata:
    found: dict[bytes, bytes] = schema.metadata or {}
    contract = found.get(CONTRACT_KEY, b"none").decode(errors="replace")
    if contract != SHARD:
        raise DatasetError(f"{path} {describe_mismatch(contract, SHARD)}")
    texts = {key: found[key.encode()].decode() for key in ShardMetadata.__dataclass_fields__}
    typed: dict[str, Any] = {
        **texts,
        **{key: int(texts[key]) for key in ("sample_rate", "segment_samples", "guard_samples")},
        "simulated": texts["simulated"] == "True",
    }
    return ShardMetadata(**typed)
