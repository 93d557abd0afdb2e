"""Training data: crops of the training split, excerpts of the validation split."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinlib.audio import Signal
from twinlib.dataset import Crops, Shards, Stretch, find_stretches, read_stretch
from twinlib.errors import DatasetError
from twinlib.training.settings import Training

Pair = tuple[Signal, Signal]
"""Dry and wet, float32; dry starts with `receptive_field - 1` samples of left context."""

Split = Literal["train", "valid"]

SPAN = 1 << 18
"""Longest span in samples."""


class TrainingData(Protocol):
    """Input of `train`. All methods are pure functions of their arguments, so that a training can resume exactly."""

    sample_rate: int
    """Hz."""
    guard_samples: int
    """Delay of the wet signals in samples."""
    device: str
    """Name of the device."""
    digest: str
    """Digest of the dataset."""

    def batch(self, step: int) -> Pair:
        """Return dry `(B, receptive_field - 1 + n)` and wet `(B, n)` crops of the training split."""

    def fundamentals(self, step: int) -> npt.NDArray[np.float64]:
        """Return the fundamental `(B,)` in cycles per sample of each crop that is a steady sine, 0 for other crops."""

    def crop_positions(self, step: int) -> list[str]:
        """Return the positions of the crops of a step, for messages."""

    def excerpts(self, seconds: float) -> list[Pair]:
        """Return dry `(receptive_field - 1 + n,)` and wet `(n,)` excerpts of the validation split, `seconds` in all."""

    def spans(self, split: Split, taps: int, samples: int) -> Iterator[Pair]:
        """Yield dry `(taps - 1 + n,)` and wet `(n,)` that tile a split, or evenly spaced ones of `samples` in all.

        `taps` is at most the receptive field.
        """


class ShardData:
    """A dataset as `TrainingData`.

    `segments` is the table segments/1 (its `columns` suffice), `dataset` the content of dataset.json. Batches hold the
    crops of all processes. Raises `DatasetError` if the training or the validation split is too short for the receptive
    field.
    """

    columns = (
        "shard", "capture", "row", "split", "start", "stop", "context", "segment_id", "dry_sha256", "tone_hz",
        "tone_start", "tone_stop",
    )  # fmt: skip
    """Required columns of segments/1; reading only these saves memory."""

    def __init__(
        self,
        segments: pd.DataFrame,
        dataset: dict[str, object],
        shards_folder: Path,
        receptive_field: int,
        settings: Training,
    ) -> None:
        self.sample_rate = int(str(dataset["sample_rate"]))
        self.guard_samples = int(str(dataset["guard_samples"]))
        self.device, self.digest = str(dataset["device"]), str(dataset["digest"])
        self._crops = Crops(
            segments,
            shards_folder,
            "train",
            settings.crop_samples,
            receptive_field,
            settings.batch * settings.processes,
            settings.seed,
            tone_slots(settings),
        )
        self._shards = Shards(segments, shards_folder, receptive_field)
        self._stretches: dict[Split, list[Stretch]] = {
            "train": self._crops.stretches,
            "valid": find_stretches(segments, "valid", receptive_field),
        }
        self._receptive_field = receptive_field

    def batch(self, step: int) -> Pair:
        """See `Crops.batch`."""
        return self._crops.batch(step)

    def fundamentals(self, step: int) -> npt.NDArray[np.float64]:
        """See `Crops.tone_hertz`."""
        return self._crops.tone_hertz(step) / self.sample_rate

    def crop_positions(self, step: int) -> list[str]:
        """See `Crops.places`."""
        return self._crops.places(step)

    def excerpts(self, seconds: float) -> list[Pair]:
        """Return evenly spaced excerpts of at most one second, copied into memory."""
        selected = select_excerpts(self._stretches["valid"], self._receptive_field, seconds, self.sample_rate)
        return [self._read(stretch, start, stop) for stretch, start, stop in selected]

    def spans(self, split: Split, taps: int, samples: int) -> Iterator[Pair]:
        """See `TrainingData`; the arrays are views of memory maps."""
        stretches = self._stretches[split]
        total = sum(stretch.stop - stretch.first_output(taps) for stretch in stretches)
        every = -(-total // samples)
        count = 0
        for stretch in stretches:
            for pair in read_stretch(self._shards[stretch.shard], stretch, taps, SPAN):
                if count % every == 0:
                    yield pair
                count += 1

    def _read(self, stretch: Stretch, start: int, stop: int) -> Pair:
        shard = self._shards[stretch.shard]
        return shard.dry[start - self._receptive_field + 1 : stop].copy(), shard.wet[start:stop].copy()


def tone_slots(settings: Training) -> list[int]:
    """Return the places of the crops of tones in a batch of all processes: the last ones of each process."""
    tones = min(settings.tone_crops, settings.batch - 1)
    last = range(settings.batch - tones, settings.batch)
    return [process * settings.batch + slot for process in range(settings.processes) for slot in last]


def select_excerpts(
    found: Sequence[Stretch], receptive_field: int, seconds: float, sample_rate: int
) -> list[tuple[Stretch, int, int]]:
    """Return evenly spaced output ranges [start, stop) of at most one second each and at most `seconds` in all."""
    pieces = [
        (stretch, start, min(start + sample_rate, stretch.stop))
        for stretch in found
        for start in range(stretch.first_output(receptive_field), stretch.stop, sample_rate)
    ]
    total, limit = sum(stop - start for _, start, stop in pieces), round(seconds * sample_rate)
    if total <= limit:
        return pieces
    count = max(1, len(pieces) * limit // total)
    return [pieces[(2 * index + 1) * len(pieces) // (2 * count)] for index in range(count)]


def check_shards(checksums: Mapping[Path, str], dataset: Mapping[str, Any]) -> None:
    """Raise `DatasetError` if a shard differs from the manifest.

    `checksums` holds the sha256 of the shards by file, `dataset` is the content of dataset.json.
    """
    recorded = dataset["sums"]["shards"]
    for path, sha256 in checksums.items():
        if sha256 != recorded.get(path.stem):
            raise DatasetError(
                f"{path} is corrupted or was replaced: its checksum differs from that in dataset.json; delete it and "
                "run again"
            )
