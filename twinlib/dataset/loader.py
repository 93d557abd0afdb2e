"""Hands a dataset to training and evaluation: seeded random crops, and whole stretches, with true left context."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinlib.audio import BLOCK, Signal
from twinlib.dataset.shards import Shard
from twinlib.errors import DatasetError
from twinlib.intervals import subtract_ranges


@dataclass(frozen=True)
class Stretch:
    """A maximal run of usable rows of one split in one shard, without a border inside.

    `start` and `stop` are positions in the flat `dry` and `wet` of the shard; `context` is how many samples before
    `start` may serve as left context, at most what the receptive field asks for. `dry_start` is the sample of the
    dry file (the reel) at which the stretch begins.
    """

    shard: str
    capture: str
    start: int
    stop: int
    context: int
    dry_start: int

    def first_output(self, receptive_field: int) -> int:
        """The first position in the stretch whose whole receptive field lies in the stretch and its context."""
        return max(self.start, self.start - self.context + receptive_field - 1)


def find_stretches(segments: pd.DataFrame, split: str, receptive_field: int) -> list[Stretch]:
    """The stretches of a split, by capture and position; those too short for a single output are left out.

    For each, feed `dry[start - context : stop]` and compare the outputs from `first_output(receptive_field)` on.
    Raises `DatasetError` if there is none, with the longest stretch that there is.
    """
    runs = _runs(segments, split, receptive_field)
    found = [run for run in runs if run.stop > run.first_output(receptive_field)]
    if not found:
        raise _too_short(runs, split, receptive_field, 1)
    return found


class Shards:
    """The shards of a dataset, each mapped into memory when it is first asked for, and checked against the table."""

    def __init__(self, segments: pd.DataFrame, folder: Path, receptive_field: int) -> None:
        written = segments[segments["row"] >= 0]
        # Sums and not names: what is kept does not grow with the length of the audio.
        self._sums = {
            str(name): _sum(rows.sort_values("row")["segment_id"].tolist())
            for name, rows in written.groupby("shard")[["row", "segment_id"]]
        }
        self._folder, self._receptive_field = folder, receptive_field
        self._open: dict[str, Shard] = {}

    def __getitem__(self, name: str) -> Shard:
        if name not in self._open:
            self._open[name] = self._checked(name)
        return self._open[name]

    def _checked(self, name: str) -> Shard:
        shard = Shard.open(self._folder / name)
        if self._sums[name] != _sum(shard.segment_ids):
            raise DatasetError(
                f"{shard.path} does not hold the segments that segments.parquet names: run the shard stage again"
            )
        if self._receptive_field <= shard.metadata.guard_samples:
            raise DatasetError(
                f"A receptive field of {self._receptive_field} samples cannot span the guard of "
                f"{shard.metadata.guard_samples} by which the wet signal of {name} is delayed: use a larger network"
            )
        return shard


def _sum(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


class Crops:
    """Seeded random crops of one split, each with the true samples before it as context.

    `batch(step)` is a pure function of seed and step, so that a training resumes exactly and nothing needs saving.
    A crop may begin at every sample of the split, with equal probability, whose receptive field crosses no border,
    that leaves `crop_samples` outputs before the end of its stretch, and whose segment is not digital silence.
    Shards are read through memory maps, opened at their first crop; what is resident of them the system drops when
    memory is short. Raises `DatasetError` if no crop fits.
    """

    def __init__(
        self,
        segments: pd.DataFrame,
        shards_folder: Path,
        split: str,
        crop_samples: int,
        receptive_field: int,
        batch: int,
        seed: int,
    ) -> None:
        if min(crop_samples, receptive_field, batch) < 1 or seed < 0:
            raise DatasetError(
                f"Crops of {crop_samples} samples, {batch} a batch, with a receptive field of {receptive_field} and "
                f"the seed {seed} make no sense: lengths are at least 1, seeds at least 0"
            )
        self.crop_samples, self.receptive_field = crop_samples, receptive_field
        self._batch, self._seed = batch, seed
        self._shards = Shards(segments, shards_folder, receptive_field)
        runs = _runs(segments, split, receptive_field)
        silent = _silent_rows(segments)
        self._runs: list[Stretch] = []
        firsts: list[int] = []
        counts: list[int] = []
        for run in runs:
            first, last = run.first_output(receptive_field), run.stop - crop_samples + 1
            for begin, end in subtract_ranges(first, last, silent.get(run.shard, ())):
                self._runs.append(run)
                firsts.append(begin)
                counts.append(end - begin)
        if not counts:
            raise _too_short(runs, split, receptive_field, crop_samples)
        self._firsts = np.array(firsts, dtype=np.int64)
        self._ends = np.cumsum(np.array(counts, dtype=np.int64))

    @property
    def positions(self) -> int:
        """At how many samples a crop may begin."""
        return int(self._ends[-1])

    def batch(self, step: int) -> tuple[Signal, Signal]:
        """Dry `(batch, receptive_field - 1 + crop_samples)` and wet `(batch, crop_samples)`, float32, of one step.

        A network of valid convolutions maps the one to the shape of the other, sample for sample.
        """
        context, size = self.receptive_field - 1, self.crop_samples
        dry = np.empty((self._batch, context + size), dtype=np.float32)
        wet = np.empty((self._batch, size), dtype=np.float32)
        for k, (run, position) in enumerate(self._draw(step)):
            shard = self._shards[run.shard]
            dry[k] = shard.dry[position - context : position + size]
            wet[k] = shard.wet[position : position + size]
        return dry, wet

    def places(self, step: int) -> list[str]:
        """Where the crops of a step begin, for people: the capture and the sample of its dry file."""
        return [f"{run.capture} at sample {run.dry_start + position - run.start}" for run, position in self._draw(step)]

    def _draw(self, step: int) -> list[tuple[Stretch, int]]:
        # Philox is counter-based: a generator of its own for each (seed, step) costs nothing to reach.
        key: npt.NDArray[np.uint64] = np.array([self._seed, step], dtype=np.uint64)
        drawn = np.random.Generator(np.random.Philox(key=key)).integers(0, self._ends[-1], self._batch)
        chosen = np.searchsorted(self._ends, drawn, side="right")
        # The draws below _ends[i] and above _ends[i - 1] fall on run i: count back from its last start.
        counts = np.diff(self._ends, prepend=0)
        positions = self._firsts[chosen] + counts[chosen] - (self._ends[chosen] - drawn)
        return [(self._runs[k], int(position)) for k, position in zip(chosen, positions, strict=True)]


def read_stretch(
    shard: Shard, stretch: Stretch, receptive_field: int, block: int = BLOCK
) -> Iterator[tuple[Signal, Signal]]:
    """Pairs of dry `(receptive_field - 1 + n,)` and wet `(n,)`, n <= block, that tile the outputs of a stretch.

    They begin at `first_output(receptive_field)`. The arrays are views of the memory map: copy them to keep them.
    """
    context = receptive_field - 1
    for position in range(stretch.first_output(receptive_field), stretch.stop, block):
        end = min(position + block, stretch.stop)
        yield shard.dry[position - context : end], shard.wet[position:end]


def _runs(segments: pd.DataFrame, split: str, receptive_field: int) -> list[Stretch]:
    """All maximal runs of usable rows of a split; a row joins the one before it if its context reaches over it."""
    rows = segments[(segments["split"] == split) & (segments["row"] >= 0)]
    rows = rows.sort_values(["capture", "row"], kind="stable").reset_index(drop=True)
    size = rows["stop"] - rows["start"]
    joins = (
        (rows["shard"] == rows["shard"].shift())
        & (rows["row"] == rows["row"].shift() + 1)
        & (rows["start"] == rows["stop"].shift())
        & (rows["context"] == rows["context"].shift() + size.shift())
    )
    lengths = size.groupby((~joins).cumsum()).sum()
    heads = rows[~joins].assign(size=size[~joins], length=lengths.to_numpy())
    columns = ["shard", "capture", "row", "size", "length", "context", "start"]
    return [
        Stretch(
            shard=str(shard),
            capture=str(capture),
            start=int(row * width),
            stop=int(row * width + length),
            context=min(int(context), receptive_field - 1),
            dry_start=int(start),
        )
        for shard, capture, row, width, length, context, start in zip(*(heads[c] for c in columns), strict=True)
    ]


def _silent_rows(segments: pd.DataFrame) -> dict[str, list[tuple[int, int]]]:
    """By shard, the flat ranges of the rows whose dry samples are all zero, in order; known by their sum."""
    size = segments["stop"] - segments["start"]
    zeros = {width: hashlib.sha256(bytes(4 * int(width))).hexdigest() for width in size.unique()}
    silent = segments[segments["dry_sha256"] == size.map(zeros)].sort_values(["shard", "row"])
    found: dict[str, list[tuple[int, int]]] = {}
    for shard, row, start, stop in silent[["shard", "row", "start", "stop"]].itertuples(index=False):
        width = int(stop - start)
        found.setdefault(str(shard), []).append((int(row) * width, int(row + 1) * width))
    return found


def _too_short(runs: Sequence[Stretch], split: str, receptive_field: int, outputs: int) -> DatasetError:
    if not runs:
        return DatasetError(f"The split {split} has no usable segment: see `excluded` in dataset.json")
    asked = (
        f"{outputs} outputs of a network with a receptive field of {receptive_field} need "
        f"{receptive_field - 1 + outputs} samples in a row"
    )
    longest = max(runs, key=lambda run: run.context + run.stop - run.start)
    length = longest.context + longest.stop - longest.start
    if length >= receptive_field - 1 + outputs:
        return DatasetError(f"The split {split} holds digital silence only: choose other dry files for it")
    return DatasetError(
        f"No crop of the split {split} fits: {asked}, and its longest stretch (capture {longest.capture}, from "
        f"sample {longest.dry_start}) has {length} with its context. Use shorter crops, a network with a shorter "
        "receptive field, or longer takes"
    )
