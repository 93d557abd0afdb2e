"""Drawing the cue sheet: which slice of which source stands where on a reel, how loud, and in which split."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinlib.audio import Signal
from twinlib.contracts import CUES, EXCITATION, SPLITS, SplitName
from twinlib.db import amp_to_db, db_to_power
from twinlib.errors import ExcitationError
from twinlib.excitation.layout import Block, Reel, lay_out_reels, slice_hop
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sources import Sources, apply_fades, apply_gain, crossfade_ramp, rate_ratio, source_frames
from twinlib.excitation.splits import assign_splits, group_by_split
from twinlib.excitation.sweeps import LEVEL_DB, LICENCE, TRACK, draw_sweep, sweep_sha256
from twinlib.files import write_json, write_table
from twinlib.progress import Progress, no_progress

PEAK = 0.98
"""No sample of the programme lies above this part of full scale."""

SLICE_PEAK = 0.9
"""No sample of a slice by itself does: a neighbour always has room to fade in beside it."""

REDRAWS = 1000
"""Silent slices in a row after which planning gives up."""


class Cue(NamedTuple):
    """A row of the cue sheet: [start, stop) in samples on the reel, [source_start, source_stop) in the source."""

    reel: str
    position: int
    start: int
    stop: int
    track_id: str
    artist: str
    licence: str
    source: str
    source_sha256: str
    source_start: int
    source_stop: int
    gain_db: float
    split: str


@dataclass(frozen=True)
class CueSheet:
    """The cue sheet (contract `cues/1`) and what stands where on the reels (contract `excitation/1`)."""

    cues: pd.DataFrame
    excitation: dict[str, Any]


class _Sweep(NamedTuple):
    """What a sweep has of a row of the table of tracks."""

    track_id: str
    artist: str
    licence: str
    path: str
    sha256: str
    sample_rate: int


@dataclass(frozen=True)
class _Pool:
    """The sources of one split: rows of the table of tracks, and the odds of each as a running sum up to 1."""

    rows: list[Any]
    odds: npt.NDArray[np.float64]


def draw_cue_sheet(
    name: str,
    settings: Excitation,
    tracks: pd.DataFrame,
    excluded: set[str],
    root: Path,
    progress: Progress = no_progress,
) -> CueSheet:
    """Draw the cue sheet of an excitation from the sources in `tracks` (contract `tracks/1`) below `root`.

    Every slice is drawn by itself: a source with odds in proportion to its duration, a start, a gain uniform in dB;
    silent ones again. Of the training slices as many as the settings say are sweeps. Each reel and split has its own
    generator, so that none depends on another. `progress` counts slices. Raises `ExcitationError` when nothing is long
    or loud enough, or a split has no track.
    """
    reels = lay_out_reels(name, settings)
    usable, left_out = _long_enough(tracks, excluded, settings)
    given = assign_splits(dict(zip(usable.track_id, usable.artist, strict=True)), settings.split)
    pools = {split: _pool(usable[usable.track_id.map(given) == split]) for split in settings.split.shares}
    cues: list[Cue] = []
    redrawn: Counter[str] = Counter()
    with Sources(root, settings) as sources:
        for number, reel in enumerate(reels):
            first = 0
            for block in reel.blocks:
                seed = np.random.SeedSequence(settings.seed, spawn_key=(number, SPLITS.index(block.split)))
                generator, sweeps = np.random.default_rng(seed), settings.sweeps if block.split == "train" else 0.0
                draw = _Draw(pools[block.split], sources, settings, generator, redrawn, sweeps)
                cues += _block_cues(reel, block, first, draw, progress)
                first += block.slices
    excitation = {
        "name": name,
        "settings": settings.planned,
        "sample_rate": settings.sample_rate,
        "reels": {reel.name: reel.to_dict() for reel in reels},
        "tracks": group_by_split(given),
        "seconds": _seconds(reels, settings),
        "left_out": left_out,
        "redrawn_silent": dict(sorted(redrawn.items())),
    }
    return CueSheet(pd.DataFrame(cues, columns=list(Cue._fields)), excitation)


def write_cue_sheet(folder: Path, plan: CueSheet) -> None:
    """Write `cues.parquet` and `excitation.json` into a folder."""
    write_table(folder / "cues.parquet", CUES, plan.cues)
    write_json(folder / "excitation.json", EXCITATION, plan.excitation)


def max_gain_db(samples: Signal, tail: Signal) -> float:
    """The highest gain in dB at which a faded slice stays below `SLICE_PEAK`, and below `PEAK` where it overlaps the
    faded `tail` of its neighbour; infinite for digital silence.
    """
    size = np.abs(samples)
    loudest = float(size.max(initial=0.0))
    if loudest == 0.0:
        return math.inf
    bound = SLICE_PEAK / loudest
    head = size[: len(tail)]
    if len(tail) and bound * float(head.max()) + float(np.abs(tail).max()) > PEAK:
        sounding = head > 0
        room = PEAK - tail[sounding] * np.sign(samples[: len(tail)][sounding])
        bound = min(bound, float(np.min(room / head[sounding].astype(np.float64), initial=bound)))
    # Rounded down: what the cue sheet says is what is played, and stays within the bound.
    return math.floor(amp_to_db(bound) * 1000) / 1000


class _Draw:
    """A generator of slices of one split."""

    def __init__(
        self,
        pool: _Pool,
        sources: Sources,
        settings: Excitation,
        generator: np.random.Generator,
        redrawn: Counter[str],
        sweeps: float,
    ) -> None:
        self.settings = settings
        self._pool, self._sources, self._generator, self._redrawn = pool, sources, generator, redrawn
        self._power = db_to_power(settings.silence_dbfs)
        self._sweeps = sweeps

    def slice(self) -> tuple[Any, int, Signal, float]:
        """A row of the table of tracks, where the slice starts in its source, its samples, and a gain in dB."""
        # Nothing is drawn where there are no sweeps: a cue sheet of before there were any is the same.
        if self._sweeps and self._generator.random() < self._sweeps:
            return self._sweep()
        return (*self._music(), self._gain_db(self.settings.level_db))

    def _sweep(self) -> tuple[Any, int, Signal, float]:
        name = draw_sweep(self._generator, self.settings.sample_rate)
        row = _Sweep(TRACK, TRACK, LICENCE, name, sweep_sha256(name), self.settings.sample_rate)
        return row, 0, self._sources.slice(name, 0), self._gain_db(LEVEL_DB)

    def _music(self) -> tuple[Any, int, Signal]:
        silent_ones: Counter[str] = Counter()
        for _ in range(REDRAWS):
            place = int(np.searchsorted(self._pool.odds, self._generator.random(), side="right"))
            row = self._pool.rows[min(place, len(self._pool.rows) - 1)]
            start = row.step * int(self._generator.integers(row.starts))
            samples = self._sources.slice(row.path, start)
            if float(np.mean(np.square(samples), dtype=np.float64)) >= self._power:
                self._redrawn.update(silent_ones)
                return row, start, samples
            silent_ones[row.path] += 1
        worst, times = min(silent_ones.items(), key=lambda item: (-item[1], item[0]))
        raise ExcitationError(
            f"{REDRAWS} slices in a row were silent, {times} of them from {worst}: exclude its track, or lower "
            f"silence_dbfs ({self.settings.silence_dbfs:g})"
        )

    def _gain_db(self, bounds: tuple[float, float]) -> float:
        """A gain within bounds, in thousandths of a decibel."""
        return round(float(self._generator.uniform(*bounds)), 3)


def _block_cues(reel: Reel, block: Block, first: int, draw: _Draw, progress: Progress) -> list[Cue]:
    settings = draw.settings
    fade = crossfade_ramp(settings.crossfade_samples)
    tail: Signal = np.zeros((0, settings.channels), np.float32)
    cues = []
    for number in range(block.slices):
        row, source_start, samples, wanted_db = draw.slice()
        shaped = apply_fades(samples, fade)
        gain_db = min(wanted_db, max_gain_db(shaped, tail))
        tail = apply_gain(shaped[slice_hop(settings) :], gain_db)
        start = block.start + number * slice_hop(settings)
        source_stop = source_start + source_frames(settings.slice_samples, row.sample_rate, settings.sample_rate)
        about = (row.track_id, row.artist, row.licence, row.path, row.sha256, source_start, source_stop)
        cues.append(Cue(reel.name, first + number, start, start + settings.slice_samples, *about, gain_db, block.split))
        progress(1, reel.name)
    return cues


def _long_enough(
    tracks: pd.DataFrame, excluded: set[str], settings: Excitation
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The sources that may be used, with the number of possible starts and their step; and those too short."""
    table = tracks[~tracks.track_id.isin(excluded)].sort_values(["track_id", "kind", "path"], ignore_index=True)
    rates = table.sample_rate.tolist()
    step = np.array([rate_ratio(rate, settings.sample_rate)[1] for rate in rates], dtype=np.int64)
    needed = [source_frames(settings.slice_samples, rate, settings.sample_rate) for rate in rates]
    room = table.frames.to_numpy() - np.array(needed, dtype=np.int64)
    table = table.assign(step=step, starts=room // step + 1)
    short = table.path[room < 0].tolist()
    seconds = settings.slice_samples / settings.sample_rate
    if len(short) == len(table):
        raise ExcitationError(
            f"no source is as long as one slice ({seconds:.2f} s): set slice_samples lower, or add longer recordings"
            if short
            else "every track of the corpus is excluded: nothing is left to play"
        )
    reason = f"shorter than one slice ({seconds:.2f} s)"
    return table[room >= 0], [{"source": path, "reason": reason} for path in short]


def _pool(table: pd.DataFrame) -> _Pool:
    seconds = (table.frames / table.sample_rate).to_numpy(np.float64)
    return _Pool(list(table.itertuples(index=False)), np.cumsum(seconds) / seconds.sum())


def _seconds(reels: list[Reel], settings: Excitation) -> dict[SplitName, float]:
    """Seconds of programme of each split on all reels."""
    frames = Counter(dict.fromkeys(SPLITS, 0))
    for reel in reels:
        for block in reel.blocks:
            frames[block.split] += block.stop - block.start
    return {split: round(frames[split] / settings.sample_rate, 6) for split in SPLITS}
