"""What a training learns from: crops of the training split, excerpts of the validation split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from twinlib.audio import Signal
from twinlib.dataset.loader import Crops, Shards, Stretch, find_stretches
from twinlib.training.settings import Training

Pair = tuple[Signal, Signal]
"""Dry and wet, float32; the dry has `receptive_field - 1` more samples in front, its true left context."""


class TrainingData(Protocol):
    """What `train` asks for. Everything is a pure function of its arguments, so that a training can be resumed."""

    sample_rate: int
    """Hz."""
    guard_samples: int
    """Samples by which the wet signals are late on purpose."""
    device: str
    """Name of the device."""
    digest: str
    """Identity of the dataset."""

    def batch(self, step: int) -> Pair:
        """Dry `(B, receptive_field - 1 + n)` and wet `(B, n)` of one step of the training split."""

    def places(self, step: int) -> list[str]:
        """Where the crops of a step come from, for people."""

    def excerpts(self, seconds: float) -> list[Pair]:
        """Dry `(receptive_field - 1 + n,)` and wet `(n,)` excerpts of the validation split, `seconds` in all."""


class ShardData:
    """A dataset as `TrainingData`.

    `segments` is the table segments/1 (its `columns` are enough), `dataset` the content of dataset.json. Batches hold
    the crops of all processes. Raises `DatasetError` if the stretches of the training or the validation split are too
    short for the receptive field.
    """

    columns = ("shard", "capture", "row", "split", "start", "stop", "context", "segment_id", "dry_sha256")
    """The columns of segments/1 that it reads: the others would only take memory."""

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
        )
        self._shards = Shards(segments, shards_folder, receptive_field)
        self._stretches = find_stretches(segments, "valid", receptive_field)
        self._receptive_field = receptive_field

    def batch(self, step: int) -> Pair:
        """See `Crops.batch`."""
        return self._crops.batch(step)

    def places(self, step: int) -> list[str]:
        """See `Crops.places`."""
        return self._crops.places(step)

    def excerpts(self, seconds: float) -> list[Pair]:
        """Evenly spread excerpts of a second or less, copied into memory."""
        wanted = spread(self._stretches, self._receptive_field, seconds, self.sample_rate)
        return [self._excerpt(stretch, start, stop) for stretch, start, stop in wanted]

    def _excerpt(self, stretch: Stretch, start: int, stop: int) -> Pair:
        shard = self._shards[stretch.shard]
        return shard.dry[start - self._receptive_field + 1 : stop].copy(), shard.wet[start:stop].copy()


def spread(
    found: Sequence[Stretch], receptive_field: int, seconds: float, sample_rate: int
) -> list[tuple[Stretch, int, int]]:
    """Ranges [start, stop) of outputs of a second or less, evenly spread over stretches, at most `seconds` in all."""
    pieces = [
        (stretch, start, min(start + sample_rate, stretch.stop))
        for stretch in found
        for start in range(stretch.first_output(receptive_field), stretch.stop, sample_rate)
    ]
    lengths = np.array([stop - start for _, start, stop in pieces], dtype=np.int64)
    total, wanted = int(lengths.sum()), round(seconds * sample_rate)
    if total <= wanted:
        return pieces
    count = max(1, len(pieces) * wanted // total)
    return [pieces[(2 * index + 1) * len(pieces) // (2 * count)] for index in range(count)]
