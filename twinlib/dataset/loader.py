"""Read a dataset for training and evaluation: seeded random crops and contiguous stretches, with true left context."""

import hashlib
import threading
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
    """A maximal run of usable rows of one split in one shard, without borders.

    `start` and `stop` are positions in the flat `dry` and `wet` of the shard. `context` is the number of samples before
    `start` that are usable as left context, at most `receptive_field - 1`. `dry_start` is the first sample of the
    stretch on the dry file (the reel).
    """

    shard: str
    capture: str
    start: int
    stop: int
    context: int
    dry_start: int

    def first_output(self, receptive_field: int) -> int:
        """Return the first position whose receptive field is inside the stretch and its context."""
        return max(self.start, self.start - self.context + receptive_field - 1)


def find_stretches(segments: pd.DataFrame, split: str, receptive_field: int) -> list[Stretch]:
    """Return the stretches of a split, by capture and position, except those too short for a single output.

    Feed `dry[start - context : stop]` of each, and compare the outputs starting at `first_output(receptive_field)`.
    Raises `DatasetError`, with the longest available stretch, if there is none.
    """
    runs = _runs(segments, split, receptive_field)
    usable = [run for run in runs if run.stop > run.first_output(receptive_field)]
    if not usable:
        raise _too_short(runs, split, receptive_field, 1)
    return usable


class Shards:
    """The shards of a dataset, mapped into memory on first use and checked against the table of segments."""

    def __init__(self, segments: pd.DataFrame, folder: Path, receptive_field: int) -> None:
        written = segments[segments["row"] >= 0]
        # Digests instead of names: memory does not grow with the length of the audio.
        self._expected = {
            str(name): (
                _digest(rows.sort_values("row")["segment_id"].tolist()),
                int((rows["stop"] - rows["start"]).sum()),
            )
            for name, rows in written.groupby("shard")[["row", "segment_id", "start", "stop"]]
        }
        self._folder, self._receptive_field = folder, receptive_field
        self._open: dict[str, Shard] = {}

    def __getitem__(self, name: str) -> Shard:
        if name not in self._open:
            self._open[name] = self._open_checked(name)
        return self._open[name]

    def _open_checked(self, name: str) -> Shard:
        shard = Shard.open(self._folder / name)
        if self._expected[name] != (_digest(shard.segment_ids), len(shard.dry)):
            raise DatasetError(
                f"{shard.path} does not contain the segments listed in segments.parquet: delete it and run its stage "
                f"again"
            )
        if self._receptive_field <= shard.metadata.guard_samples:
            raise DatasetError(
                f"A receptive field of {self._receptive_field} samples is not longer than the guard of "
                f"{shard.metadata.guard_samples} samples that delays the wet signal of {name}: use a larger network"
            )
        return shard


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


class Crops:
    """Seeded random crops of one split, each with the true preceding samples as context.

    `batch(step)` is a pure function of seed and step, so training resumes exactly without saved state. All
    positions are equally likely at which the receptive field crosses no border, `crop_samples` outputs remain before
    the end of the stretch, and the segment is not digital silence. Shards are memory maps, opened at their first crop;
    the system drops their pages if memory is short. Threads may share an instance.

    If the split has tones, the crops of the slots `tone_slots` are of them, within their steady part with the whole
    receptive field. Raises `DatasetError` if no crop fits.
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
        tone_slots: Sequence[int] = (),
    ) -> None:
        if min(crop_samples, receptive_field, batch) < 1 or seed < 0:
            raise DatasetError(
                f"Invalid crops of {crop_samples} samples, {batch} per batch, receptive field {receptive_field} and "
                f"seed {seed}: lengths must be at least 1, seeds at least 0"
            )
        self.crop_samples, self.receptive_field = crop_samples, receptive_field
        self._batch, self._seed = batch, seed
        self._shards = Shards(segments, shards_folder, receptive_field)
        runs = _runs(segments, split, receptive_field)
        silent = _silent_rows(segments)
        ranges = [
            _PositionRange(run, begin, end)
            for run in runs
            for begin, end in subtract_ranges(
                run.first_output(receptive_field), run.stop - crop_samples + 1, silent.get(run.shard, ())
            )
        ]
        if not ranges:
            raise _too_short(runs, split, receptive_field, crop_samples)
        self._positions = _Positions(ranges)
        tones = _tone_ranges(segments, split, runs, crop_samples, receptive_field) if tone_slots else []
        self._tones = _Positions(tones) if tones else None
        self._tone_slots = list(tone_slots)

    @property
    def positions(self) -> int:
        """The number of possible crop positions."""
        return self._positions.count

    @property
    def tone_positions(self) -> int:
        """The number of possible positions of crops of tones."""
        return self._tones.count if self._tones else 0

    @property
    def stretches(self) -> list[Stretch]:
        """The stretches with crop positions."""
        return self._positions.runs

    def batch(self, step: int) -> tuple[Signal, Signal]:
        """Return dry `(batch, receptive_field - 1 + crop_samples)` and wet `(batch, crop_samples)`, float32, of a step.

        A network with valid convolutions maps the first shape to the second.
        """
        context, size = self.receptive_field - 1, self.crop_samples
        dry = np.empty((self._batch, context + size), dtype=np.float32)
        wet = np.empty((self._batch, size), dtype=np.float32)
        for k, (run, position, _) in enumerate(self._draw(step)):
            shard, end = self._shards[run.shard], position + size
            dry[k] = shard.dry[position - context : end]
            wet[k] = shard.wet[position:end]
        return dry, wet

    def tone_hertz(self, step: int) -> npt.NDArray[np.float64]:
        """Return the frequency `(batch,)` in Hz of each crop of a step that was drawn from a tone, 0 for the others."""
        if not self._tones:
            return np.zeros(self._batch)
        return np.array([hz for _, _, hz in self._draw(step)])

    def places(self, step: int) -> list[str]:
        """Return the start of each crop of a step as text: the capture and the sample of its dry file."""
        return [
            f"{run.capture} at sample {run.dry_start + position - run.start}" for run, position, _ in self._draw(step)
        ]

    def _draw(self, step: int) -> list[tuple[Stretch, int, float]]:
        """Return the run, the position and the frequency of the tone, if any, of each crop."""
        generator = _STEP_GENERATOR.seeded(self._seed, step)
        crops = self._positions.draw(generator, self._batch)
        if self._tones:
            for slot, crop in zip(self._tone_slots, self._tones.draw(generator, len(self._tone_slots)), strict=True):
                crops[slot] = crop
        return crops


@dataclass(frozen=True)
class _PositionRange:
    """Positions [first, stop) of crops in a run, and the frequency of the tone there in Hz, if any."""

    run: Stretch
    first: int
    stop: int
    hz: float = 0.0


class _Positions:
    """Positions of crops, all equally likely."""

    def __init__(self, ranges: Sequence[_PositionRange]) -> None:
        counts = np.array([one.stop - one.first for one in ranges], dtype=np.int64)
        firsts = np.array([one.first for one in ranges], dtype=np.int64)
        # A draw in [ends[i - 1], ends[i]) is a position of range i; its offset turns the draw into the position.
        self._ranges, self._ends = list(ranges), np.cumsum(counts)
        self._offsets = firsts - (self._ends - counts)
        self.count = int(self._ends[-1])

    @property
    def runs(self) -> list[Stretch]:
        """The runs with positions, in order."""
        return list(dict.fromkeys(one.run for one in self._ranges))

    def draw(self, generator: np.random.Generator, number: int) -> list[tuple[Stretch, int, float]]:
        drawn = generator.integers(0, self.count, number)
        chosen = self._ends.searchsorted(drawn, side="right")
        positions = (drawn + self._offsets[chosen]).tolist()
        found = (self._ranges[k] for k in chosen.tolist())
        return [(one.run, position, one.hz) for one, position in zip(found, positions, strict=True)]


class _StepGenerator(threading.local):
    """A random generator for each (seed, step).

    Philox is counter-based: its key is its seed. One generator per thread, with its state replaced, costs a fifth of a
    new one, which reads the system's entropy first.
    """

    def __init__(self) -> None:
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state

    def seeded(self, seed: int, step: int) -> np.random.Generator:
        """Return the generator in the state of `Generator(Philox(key=[seed, step]))`."""
        self._state["state"]["key"][:] = seed, step
        self._philox.state = self._state
        return self._generator


_STEP_GENERATOR = _StepGenerator()


def read_stretch(
    shard: Shard, stretch: Stretch, receptive_field: int, block: int = BLOCK
) -> Iterator[tuple[Signal, Signal]]:
    """Yield dry `(receptive_field - 1 + n,)` and wet `(n,)`, n <= block, that tile the outputs of a stretch.

    The first output is `first_output(receptive_field)`. The arrays are views of the memory map: copy them to keep
    them.
    """
    context = receptive_field - 1
    for position in range(stretch.first_output(receptive_field), stretch.stop, block):
        end = min(position + block, stretch.stop)
        yield shard.dry[position - context : end], shard.wet[position:end]


def _runs(segments: pd.DataFrame, split: str, receptive_field: int) -> list[Stretch]:
    """Return all maximal runs of usable rows of a split. A row joins the previous row if its context covers it."""
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


def _tone_ranges(
    segments: pd.DataFrame, split: str, runs: Sequence[Stretch], crop_samples: int, receptive_field: int
) -> list[_PositionRange]:
    """Return the positions of crops with a receptive field within a tone."""
    rows = segments[(segments["split"] == split) & (segments["row"] >= 0) & (segments["tone_hz"] > 0)]
    by_capture = dict(list(rows.sort_values("start").groupby("capture")))
    found = []
    for run in runs:
        table = by_capture.get(run.capture)
        if table is None:
            continue
        offset = run.start - run.dry_start
        inside = table[table["start"].between(run.dry_start, run.stop - offset - 1)]
        ranges: list[tuple[int, int, float]] = []
        for start, stop, hz in inside[["tone_start", "tone_stop", "tone_hz"]].itertuples(index=False):
            # A tone continues in the next segment.
            before = ranges.pop() if ranges and ranges[-1][1:] == (start, hz) else (start, start, hz)
            ranges.append((before[0], stop, hz))
        found += [
            _PositionRange(run, start + offset + receptive_field - 1, stop + offset - crop_samples + 1, hz)
            for start, stop, hz in ranges
        ]
    return [one for one in found if one.first < one.stop]


def _silent_rows(segments: pd.DataFrame) -> dict[str, list[tuple[int, int]]]:
    """Return, by shard, the ordered flat ranges of rows with all-zero dry samples, identified by their digest."""
    size = segments["stop"] - segments["start"]
    zeros = {width: hashlib.sha256(bytes(4 * int(width))).hexdigest() for width in size.unique()}
    silent = segments[segments["dry_sha256"] == size.map(zeros)].sort_values(["shard", "row"])
    ranges: dict[str, list[tuple[int, int]]] = {}
    for shard, row, start, stop in silent[["shard", "row", "start", "stop"]].itertuples(index=False):
        width = int(stop - start)
        ranges.setdefault(str(shard), []).append((int(row) * width, int(row + 1) * width))
    return ranges


def _too_short(runs: Sequence[Stretch], split: str, receptive_field: int, outputs: int) -> DatasetError:
    if not runs:
        return DatasetError(f"The split {split} has no usable segment: see `excluded` in dataset.json")
    needed = (
        f"{outputs} outputs of a network with a receptive field of {receptive_field} need "
        f"{receptive_field - 1 + outputs} consecutive samples"
    )
    longest = max(runs, key=lambda run: run.context + run.stop - run.start)
    length = longest.context + longest.stop - longest.start
    if length >= receptive_field - 1 + outputs:
        return DatasetError(f"The split {split} contains only digital silence: choose other dry files for it")
    return DatasetError(
        f"No crop of the split {split} fits: {needed}, but its longest stretch (capture {longest.capture}, from "
        f"sample {longest.dry_start}) has {length} including context. Use shorter crops, a network with a shorter "
        "receptive field, or longer takes"
    )
