"""A dataset from one dry and one wet file, without the workflow; a dataset in a folder, to read."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twinlib.alignment import WarpedReader, align
from twinlib.audio import Reader, Signal
from twinlib.capture import find_silence, ingest_take
from twinlib.contracts import ALIGNMENT, DATASET, SEGMENTS, TAKE
from twinlib.dataset.loader import Crops, Shards, find_stretches
from twinlib.dataset.manifest import CaptureFiles, build_manifest, refuse_useless, write_manifest
from twinlib.dataset.segments import tile_pair
from twinlib.dataset.settings import Dataset
from twinlib.dataset.shards import shard_metadata, write_shard
from twinlib.dataset.source import capture_source
from twinlib.diagnosis import diagnose
from twinlib.errors import DatasetError
from twinlib.files import read_json, read_table, write_json, write_table


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset in a folder with `segments.parquet`, `dataset.json` and `shards/`, as `devices/DEVICE` of results."""

    folder: Path
    """The folder."""
    content: dict[str, Any]
    """The content of `dataset.json`: counts, verdicts on the captures, checksums."""
    segments: pd.DataFrame
    """A row per segment, with its origin (contract `segments/1`)."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return int(self.content["sample_rate"])

    @property
    def guard_samples(self) -> int:
        """Delay of the wet signals in samples."""
        return int(self.content["guard_samples"])

    def crops(self, split: str, receptive_field: int, crop_samples: int = 1024, batch: int = 4, seed: int = 0) -> Crops:
        """Return the random crops of a split (train, valid, test), `Crops.batch(step)`, for any training loop."""
        return Crops(self.segments, self.folder / "shards", split, crop_samples, receptive_field, batch, seed)

    def stretches(self, split: str) -> Iterator[tuple[Signal, Signal]]:
        """Yield dry and wet `(n,)`, float32, of each contiguous part of a split: read-only views of the shards."""
        for one in find_stretches(self.segments, split, self.guard_samples + 1):
            shard = self._shards[one.shard]
            yield shard.dry[one.start : one.stop], shard.wet[one.start : one.stop]

    def segment(self, segment_id: str) -> tuple[Signal, Signal]:
        """Return dry and wet `(n,)`, float32, of a segment; raise `DatasetError` if it is not in a shard."""
        rows = self.segments[(self.segments["segment_id"] == segment_id) & (self.segments["row"] >= 0)]
        if rows.empty:
            raise DatasetError(f"{self.folder} has no audio of a segment {segment_id!r}: see `segments`")
        row, shard = rows.iloc[0], self._shards[str(rows.iloc[0]["shard"])]
        size = int(row["stop"] - row["start"])
        first = int(row["row"]) * size
        return np.asarray(shard.dry[first : first + size]), np.asarray(shard.wet[first : first + size])

    @cached_property
    def _shards(self) -> Shards:
        return Shards(self.segments, self.folder / "shards", self.guard_samples + 1)


def read_dataset(folder: Path) -> DatasetFolder:
    """Read the dataset in a folder; the audio is read on use. Raises `TwinError` if a file is missing or unreadable."""
    content = read_json(folder / "dataset.json", DATASET)
    return DatasetFolder(folder, content, read_table(folder / "segments.parquet", SEGMENTS))


def build_pair_dataset(dry: Path, wet: Path, folder: Path, device: str = "device") -> DatasetFolder:
    """Check, align and divide the first channels of a dry and a wet file; write the dataset into `folder`.

    The steps and files are those of the workflow for a pair, without stage records. Raises `DatasetError` if the files
    cannot be aligned or are too short, and `AudioError` if one is unreadable.
    """
    settings, capture = Dataset(), "pair"
    files = CaptureFiles(
        folder / "shards" / f"{capture}.parquet",
        folder / "shards" / f"{capture}.arrow",
        folder / capture / "take.json",
        folder / capture / "alignment.json",
    )
    take = {**ingest_take(wet, reel=dry, is_pair=True).to_dict(), "kind": "pair"}
    found = diagnose(align(dry, wet, guard_samples=settings.guard_samples), dry, wet)
    write_json(files.take, TAKE, take)
    write_json(files.alignment, ALIGNMENT, found.to_dict())
    if found.verdict == "refused":
        raise DatasetError(f"{wet} cannot be aligned with {dry}: {'; '.join(found.reasons)}")
    source = capture_source(device, capture, take, found)
    with Reader(dry) as dry_reader, WarpedReader(wet, found) as wet_reader:
        segments = tile_pair(source, dry.as_posix(), settings, silence=find_silence(dry_reader, 0))
        written = write_shard(
            files.shard,
            segments,
            lambda start, stop: dry_reader.read(start, stop)[:, 0],
            wet_reader.read,
            shard_metadata(source, settings.segment_samples),
        )
    write_table(files.segments, SEGMENTS, written)
    table, content = build_manifest(device, [files])
    refuse_useless(content)
    return DatasetFolder(folder, write_manifest(folder, table, content), table)
