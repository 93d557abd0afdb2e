"""Drawing the cue sheet: position, source, gain and split of every slice."""

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
from twinlib.excitation.splits import assign_splits, group_by_split, with_salt
from twinlib.excitation.sweeps import LEVEL_DB, LICENCE, TRACK, draw_sweep
from twinlib.excitation.tones import TONE_LEVEL_DB, TONES, draw_tone, tone_slices
from twinlib.files import sha256_bytes, write_json, write_table
from twinlib.progress import Progress, no_progress

PEAK = 0.98
"""Maximum peak of the programme, relative to full scale."""

SLICE_PEAK = 0.9
"""Maximum peak of a single slice; leaves headroom for the crossfade with the next slice."""

REDRAWS = 1000
"""Number of consecutive silent slices after which drawing fails."""


class Cue(NamedTuple):
    """A row of the cue sheet: samples [start, stop) on the reel, [source_start, source_stop) in the source."""

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
    """The cue sheet (contract `cues/1`) and the layout of the reels (contract `excitation/1`)."""

    cues: pd.DataFrame
    excitation: dict[str, Any]


class _Synthetic(NamedTuple):
    """The columns of the table of tracks that also apply to sweeps and tones."""

    track_id: str
    artist: str
    licence: str
    path: str
    sha256: str
    sample_rate: int


@dataclass(frozen=True)
class _Pool:
    """The sources of one split: rows of the table of tracks, with their cumulative probabilities."""

    rows: list[Any]
    cumulative: npt.NDArray[np.float64]


def draw_cue_sheet(
    name: str,
    settings: Excitation,
    tracks: pd.DataFrame,
    excluded: set[str],
    root: Path,
    progress: Progress = no_progress,
) -> CueSheet:
    """Draw the cue sheet of an excitation from the sources in `tracks` (contract `tracks/1`) below `root`.

    Splits are by `artist_family`; without this column, by `artist`.

    Every slice is drawn independently: a source with a probability proportional to its duration, a start, and a gain
    uniform in dB. Redraws silent slices. Shares `settings.sweeps` and `settings.tones` of the training slices are
    sweeps and tones. Each reel and split has its own random generator. `progress` counts slices. Raises
    `ExcitationError` if no source is long or loud enough, or if a split has no track. `excitation` records the salt of
    the splits.
    """
    reels = lay_out_reels(name, settings)
    usable, skipped = _usable_sources(tracks, excluded, settings)
    artists = dict(zip(usable.track_id, usable.get("artist_family", usable.artist), strict=True))
    settings = settings.model_copy(update={"split": with_salt(artists, settings.split)})
    splits = assign_splits(artists, settings.split)
    pools = {split: _pool(usable[usable.track_id.map(splits) == split]) for split in settings.split.shares}
    cues: list[Cue] = []
    redrawn: Counter[str] = Counter()
    with Sources(root, settings) as sources:
        for number, reel in enumerate(reels):
            samplers = {}
            for split, pool in pools.items():
                seed = np.random.SeedSequence(settings.seed, spawn_key=(number, SPLITS.index(split)))
                generator = np.random.default_rng(seed)
                samplers[split] = _SliceSampler(pool, sources, settings, generator, redrawn, split == "train")
            first = 0
            for block in reel.blocks:
                cues += _block_cues(reel, block, first, samplers[block.split], progress)
                first += block.slices
    excitation = {
        "name": name,
        "settings": settings.planned,
        "sample_rate": settings.sample_rate,
        "reels": {reel.name: reel.to_dict() for reel in reels},
        "tracks": group_by_split(splits),
        "seconds": _seconds(reels, settings),
        "left_out": skipped,
        "redrawn_silent": dict(sorted(redrawn.items())),
    }
    return CueSheet(pd.DataFrame(cues, columns=list(Cue._fields)), excitation)


def write_cue_sheet(folder: Path, sheet: CueSheet) -> None:
    """Write `cues.parquet` and `excitation.json` into a folder."""
    write_table(folder / "cues.parquet", CUES, sheet.cues)
    write_json(folder / "excitation.json", EXCITATION, sheet.excitation)


def max_gain_db(samples: Signal, tail: Signal) -> float:
    """Return the maximum gain in dB that keeps a faded slice below `SLICE_PEAK`, and below `PEAK` in its overlap with
    the faded `tail` of the previous slice; infinite for digital silence.
    """
    size = np.abs(samples)
    loudest = float(size.max(initial=0.0))
    if loudest == 0.0:
        return math.inf
    bound = SLICE_PEAK / loudest
    head = size[: len(tail)]
    if len(tail) and bound * float(head.max()) + float(np.abs(tail).max()) > PEAK:
        nonzero = head > 0
        headroom = PEAK - tail[nonzero] * np.sign(samples[: len(tail)][nonzero])
        bound = min(bound, float(np.min(headroom / head[nonzero].astype(np.float64), initial=bound)))
    # Rounded down, so that the gain on the cue sheet is exact and within the bound.
    return math.floor(amp_to_db(bound) * 1000) / 1000


class _SliceSampler:
    """Sampler of random slices of one split."""

    def __init__(
        self,
        pool: _Pool,
        sources: Sources,
        settings: Excitation,
        generator: np.random.Generator,
        redrawn: Counter[str],
        has_synthetic: bool,
    ) -> None:
        self.settings = settings
        self._pool, self._sources, self._generator, self._redrawn = pool, sources, generator, redrawn
        self._power = db_to_power(settings.silence_dbfs)
        self._sweeps = settings.sweeps if has_synthetic else 0.0
        self._tone_slices = tone_slices(settings.slice_samples, settings.crossfade_samples, settings.sample_rate)
        tones = settings.tones if has_synthetic else 0.0
        # The probability that a tone starts at a slice, for a share `tones` of all slices.
        self._tone_starts = tones / (self._tone_slices * (1.0 - tones) + tones)

    def draw_tone(self, place: int, slices: int) -> tuple[Any, int, float] | None:
        """Return a tone, its number of slices and a gain in dB; None if no tone starts at this place of a block.

        Music precedes and follows the tones of a block, so that the cue sheet tells where their crossfades end.
        """
        # Without tones, draw no random number: older cue sheets stay reproducible.
        if not self._tone_starts or self._generator.random() >= self._tone_starts:
            return None
        if not place or place + self._tone_slices >= slices:
            return None
        name = draw_tone(self._generator, self.settings.sample_rate)
        return self._synthetic(name, TONES), self._tone_slices, self._gain_db(TONE_LEVEL_DB)

    def slice(self, row: Any, start: int) -> Signal:
        """Return a slice of a source."""
        return self._sources.slice(row.path, start)

    def draw(self) -> tuple[Any, int, Signal, float]:
        """Return a row of the table of tracks, the start of the slice in its source, its samples, and a gain in dB."""
        # Without sweeps, draw no random number: older cue sheets stay reproducible.
        if self._sweeps and self._generator.random() < self._sweeps:
            return self._sweep()
        return (*self._music(), self._gain_db(self.settings.level_db))

    def _sweep(self) -> tuple[Any, int, Signal, float]:
        name = draw_sweep(self._generator, self.settings.sample_rate)
        return self._synthetic(name, TRACK), 0, self._sources.slice(name, 0), self._gain_db(LEVEL_DB)

    def _synthetic(self, name: str, track: str) -> _Synthetic:
        # The name determines the samples, so its digest stands for theirs.
        return _Synthetic(track, track, LICENCE, name, sha256_bytes(name.encode()), self.settings.sample_rate)

    def _music(self) -> tuple[Any, int, Signal]:
        silent: Counter[str] = Counter()
        for _ in range(REDRAWS):
            place = int(np.searchsorted(self._pool.cumulative, self._generator.random(), side="right"))
            row = self._pool.rows[min(place, len(self._pool.rows) - 1)]
            start = row.step * int(self._generator.integers(row.starts))
            samples = self._sources.slice(row.path, start)
            if float(np.mean(np.square(samples), dtype=np.float64)) >= self._power:
                self._redrawn.update(silent)
                return row, start, samples
            silent[row.path] += 1
        worst, times = min(silent.items(), key=lambda item: (-item[1], item[0]))
        raise ExcitationError(
            f"{REDRAWS} consecutive slices were silent, {times} of them from {worst}: exclude its track, or lower "
            f"silence_dbfs ({self.settings.silence_dbfs:g})"
        )

    def _gain_db(self, bounds: tuple[float, float]) -> float:
        """Draw a gain within bounds, rounded to 0.001 dB."""
        return round(float(self._generator.uniform(*bounds)), 3)


def _block_cues(reel: Reel, block: Block, first: int, sampler: _SliceSampler, progress: Progress) -> list[Cue]:
    settings, hop = sampler.settings, slice_hop(sampler.settings)
    fade = crossfade_ramp(settings.crossfade_samples)
    tail: Signal = np.zeros((0, settings.channels), np.float32)
    cues: list[Cue] = []
    while len(cues) < block.slices:
        tone = sampler.draw_tone(len(cues), block.slices)
        if tone is None:
            row, source_start, samples, gain_db = sampler.draw()
            parts = [(source_start, samples)]
        else:
            row, count, gain_db = tone
            parts = [(number * hop, sampler.slice(row, number * hop)) for number in range(count)]
        for number, (source_start, samples) in enumerate(parts):
            shaped = apply_fades(samples, fade, number > 0, number + 1 < len(parts))
            if number == 0:
                gain_db = min(gain_db, max_gain_db(shaped, tail))
            tail = apply_gain(shaped[hop:], gain_db)
            start = block.start + len(cues) * hop
            source_stop = source_start + source_frames(settings.slice_samples, row.sample_rate, settings.sample_rate)
            about = (row.track_id, row.artist, row.licence, row.path, row.sha256, source_start, source_stop)
            position, stop = first + len(cues), start + settings.slice_samples
            cues.append(Cue(reel.name, position, start, stop, *about, gain_db, block.split))
            progress(1, reel.name)
    return cues


def _usable_sources(
    tracks: pd.DataFrame, excluded: set[str], settings: Excitation
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the usable sources, with number and step of their possible starts, and the sources that are too short."""
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
            f"every source is shorter than one slice ({seconds:.2f} s): reduce slice_samples, or add longer recordings"
            if short
            else "every track of the corpus is excluded: remove some exclusions or add music"
        )
    reason = f"shorter than one slice ({seconds:.2f} s)"
    return table[room >= 0], [{"source": path, "reason": reason} for path in short]


def _pool(table: pd.DataFrame) -> _Pool:
    seconds = (table.frames / table.sample_rate).to_numpy(np.float64)
    return _Pool(list(table.itertuples(index=False)), np.cumsum(seconds) / seconds.sum())


def _seconds(reels: list[Reel], settings: Excitation) -> dict[SplitName, float]:
    """Return the seconds of programme of each split on all reels."""
    frames = Counter(dict.fromkeys(SPLITS, 0))
    for reel in reels:
        for block in reel.blocks:
            frames[block.split] += block.stop - block.start
    return {split: round(frames[split] / settings.sample_rate, 6) for split in SPLITS}
