"""Listening to all of it: places where the wet signal is no answer to the dry one, whatever the windows say.

A lag track sees what shifts all that follows. A buffer played twice in place of another, a muted stretch, a burst of
noise, some samples moved and back shift nothing; but for some milliseconds the wet signal is not what the device's
linear response predicts, or far less so than is usual at that level and around.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, percentile_filter

from twinlib.alignment.channel import Channel, is_finite_audio
from twinlib.alignment.delay import Real
from twinlib.alignment.linear_model import (
    AFTER,
    BEFORE,
    CELL,
    MARGIN,
    PACE,
    Prediction,
    at_whole_lags,
    middles,
    predicted_by,
    slow,
)
from twinlib.alignment.time_map import TimeMap
from twinlib.audio import BLOCK, Signal
from twinlib.intervals import find_runs
from twinlib.progress import Progress, no_progress

HOLE = 24
"""Zeros in a row that no sound leaves: half a millisecond."""

SOUNDING = 3e-3
"""A dry sample, -50 dB of full scale, to which no device answers with digital silence."""


@dataclass(frozen=True)
class Cells:
    """A row a cell: sums of products, and whether one of its samples is no number, or lies in digital silence.

    `dry` is what was predicted. `peak` is the dry signal's.
    """

    cross: Real
    dry: Real
    wet: Real
    peak: Real
    broken: npt.NDArray[np.bool_]
    mute: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence["Cells"]) -> "Cells":
        """Those of all blocks."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def grouped(self, size: int) -> "Cells":
        """A row for `size` cells."""
        edges = np.arange(0, len(self.cross), size)
        cross, dry, wet = (np.add.reduceat(part, edges) for part in (self.cross, self.dry, self.wet))
        broken, mute = (np.logical_or.reduceat(part, edges) for part in (self.broken, self.mute))
        peak = np.maximum.reduceat(self.peak, edges)
        return Cells(cross, dry, wet, peak, broken, mute)

    @property
    def unlike(self) -> Real:
        """The part of each row's energy that is unlike."""
        return unlike(self.cross, self.dry, self.wet)


def unlike(cross: Real, dry: Real, wet: Real) -> Real:
    """The part of the wet energy that a gain does not explain, 0 to 1; up to 2 where it is upside down."""
    r = cross / np.sqrt(dry * wet + 1e-20)
    return np.asarray(1.0 - r * np.abs(r))


def compared(
    dry: Channel, wet: Channel, timemap: TimeMap, prediction: Prediction, start: int, stop: int, polarity: int
) -> Iterator[tuple[Cells, float]]:
    """Blocks of cells of dry samples [start, stop), and the sum of their wet samples."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        whole = first + -(-(last - first) // PACE) * PACE
        x, y = dry.read(first - BEFORE, whole + AFTER), at_whole_lags(wet, timemap, first, whole, MARGIN)
        inside = slice(MARGIN, len(y) - MARGIN)
        broken = ~is_finite_audio(y)
        if broken.any():
            y = np.where(broken, np.float32(0.0), y)
        mean = float(y[inside].sum())
        loud = np.abs(x[BEFORE : len(x) - AFTER])
        mute = _in_silence(y)[inside] & (loud > SOUNDING)
        lags = timemap.lags(middles(first, whole))
        early = lags - np.round(lags)
        p, slope = (_in_cells(part, CELL // PACE) for part in prediction.of(x))
        b = _in_cells(np.float32(polarity) * slow(y), CELL // PACE)
        sums = np.empty((3, len(p)))
        _products(p, slope, b, early.astype(np.float32), sums)
        peak = _in_cells(loud, CELL).max(axis=1).astype(np.float64)
        wrong, dead = (_in_any(which) for which in (broken[inside], mute))
        cross, xx, yy = sums
        yield Cells(cross, xx, yy, peak, wrong, dead), mean


@numba.njit(cache=True, fastmath={"reassoc"})
def _products(predicted: Signal, slope: Signal, wet: Signal, early: Signal, out: Real) -> None:
    # A step of the DC, and rumble, are no part of the answer. Sums go as numpy's do, in the order that is fastest.
    size = predicted.shape[1]
    for i in range(predicted.shape[0]):
        p, w = np.float32(0.0), np.float32(0.0)
        for j in range(size):
            p += predicted[i, j] - early[i] * slope[i, j]
            w += wet[i, j]
        p, w = p / np.float32(size), w / np.float32(size)
        pw, pp, ww = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(size):
            a, b = predicted[i, j] - early[i] * slope[i, j] - p, wet[i, j] - w
            pw += a * b
            pp += a * a
            ww += b * b
        out[0, i], out[1, i], out[2, i] = pw, pp, ww


def _in_cells(samples: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = -len(samples) % size
    return (np.pad(samples, (0, missing)) if missing else samples).reshape(-1, size)


def _in_any(which: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether any sample of each cell is true."""
    if not which.any():
        return np.zeros(-(-len(which) // CELL), np.bool_)
    return np.asarray(_in_cells(which, CELL).any(axis=1))


def _in_silence(samples: Signal) -> npt.NDArray[np.bool_]:
    """Which samples lie in a run of `HOLE` or more zeros."""
    zero = samples == 0.0
    if zero.any():
        for first, last in find_runs(zero):
            zero[first:last] = last - first >= HOLE
    return np.asarray(zero)


GROUP = 6
"""Cells that are also told as one: 35 ms tell less unlikeness than 6 ms do, and more surely."""

COARSE = 32
"""Cells that are remembered as one."""

AROUND_SECONDS = 1.5
"""How far a cell is compared with its neighbourhood."""

LEAST_ALIKE = 0.6
"""Correlation of a whole take from which on long stretches can be told."""

FAR_WORSE = 6.0
"""Times the part that is usually unlike which a stretch must reach to be no answer."""

PLAINLY_WORSE = 15.0
"""Times what is usual at its level, at which a group is no answer even where much of its neighbourhood is none."""

LEAST_UNLIKE = 0.8
"""The part of its energy that is unlike, which a cell or a group must reach: a bass that saturates the transformer of
the demo makes six tenths of it."""

AUDIBLE = 4.0
"""Times the noise of the recording, and what the loud neighbourhood leaves behind, that the unlike part must reach."""

LEFT_BEHIND = 1e-4
"""Of the energy of the loudest cell around: what any device may leave in a soft one."""

FAINT = 1e-8
"""The power of a pre-emphasised dry signal below which nothing is judged."""

SILENT = 1e-4
"""A dry peak, -80 dB of full scale, below which nothing is judged either."""

BETTER = 0.5
"""Of what is unlike, that must be left where a stretch really lies."""

LEVELS = 24
"""Groups of like level whose likeness is told apart: devices distort more what is louder."""

LEAST_CELLS = 16
"""Cells or groups of a level that tell what is usual there."""

CLEARLY_SOUNDING = 1e-2
"""A dry peak, -40 dB of full scale, that is to be heard through the noise of a recording."""

DROWNED = 0.9
"""The part of a group's energy that is unlike where noise drowns it; devices that distort much reach a third."""

UPSIDE_DOWN = 1.4
"""The part of a group's energy that is unlike where its answer is upside down, whatever is usual around."""

FAR_LOUDER = 10.0
"""Times the energy that was predicted, at which what is unlike is no matter of distortion."""

NEARLY = 4.0
"""Times the usual unlike part, and two in a hundred, that a stretch may have to be taken for right."""

_CHUNK = 64 * BLOCK


@dataclass(frozen=True)
class Heard:
    """What listening to dry samples from `start` on told, by the device's `prediction`.

    `cross`, `dry` and `wet` are sums of products of what was predicted and what came, pre-emphasised, over `COARSE`
    cells each. `unlike` are the dry ranges [start, stop) that answer far worse than their neighbourhood does or are
    mute, `broken` those with samples that are no numbers. `drowned` is the share of the sounding programme whose
    answer other sound drowns, `mean` the mean of the wet signal.
    """

    start: int
    prediction: Prediction
    cross: Real
    dry: Real
    wet: Real
    unlike: tuple[tuple[int, int], ...]
    broken: tuple[tuple[int, int], ...]
    drowned: float
    mean: float

    @property
    def usual(self) -> float:
        """The correlation of all of it."""
        return float(self.cross.sum() / np.sqrt(self.dry.sum() * self.wet.sum() + 1e-20))

    @property
    def tells(self) -> bool:
        """Whether the device leaves the signals alike enough for a stretch to be told from others by it."""
        return self.usual > LEAST_ALIKE

    def alike(self, start: int, stop: int) -> bool:
        """Whether dry samples [start, stop) are as alike as the rest, or nearly, as far as the noise lets them be."""
        size = CELL * COARSE
        first, last = max(0, (start - self.start) // size), max(0, -(-(stop - self.start) // size))
        cross, dry, wet = (part[first:last].sum(keepdims=True) for part in (self.cross, self.dry, self.wet))
        noise = float((unlike(self.cross, self.dry, self.wet) * self.wet).min(initial=np.inf)) * (last - first)
        usual = 1.0 - self.usual**2
        allowed = NEARLY * usual + 0.02 + 2.0 * noise / (float(wet.sum()) + 1e-20)
        return bool((unlike(cross, dry, wet) < min(allowed, 0.9)).all())


def lies_better(
    dry: Channel,
    wet: Channel,
    timemap: TimeMap,
    prediction: Prediction,
    polarity: int,
    stretch: tuple[int, int],
    samples: float,
) -> bool:
    """Whether a stretch of dry samples is answered far better some samples later than the map says."""
    left = []
    for later in (0.0, samples):
        blocks = compared(dry, wet, timemap.shifted(later), prediction, *stretch, polarity)
        cells = Cells.joined([block for block, _ in blocks])
        left.append(float(cells.grouped(len(cells.cross)).unlike[0]))
    return left[1] < BETTER * left[0]


def listen(
    dry: Channel, wet: Channel, timemap: TimeMap, start: int, stop: int, polarity: int, progress: Progress = no_progress
) -> Heard:
    """Compare [start, stop) of the wet signal, read at whole lags (`exact`), with what the dry one predicts."""
    no_answer: list[tuple[int, int]] = []
    broken: list[tuple[int, int]] = []
    sums: list[Real] = []
    total, sounding, drowned = 0.0, 0, 0
    prediction = predicted_by(dry, wet, timemap, start, stop, polarity)
    for first in range(start, stop, _CHUNK):
        last = min(first + _CHUNK, stop)
        parts = []
        for block, mean in compared(dry, wet, timemap, prediction, first, last, polarity):
            parts.append(block)
            total += mean
        cells = Cells.joined(parts)
        groups, coarse = cells.grouped(GROUP), cells.grouped(COARSE)
        usual = _Usual.of(cells, dry.rate, 1)
        for ranges, found in (
            (no_answer, _no_answer(cells, groups, usual, dry.rate)),
            (broken, find_runs(cells.broken)),
        ):
            ranges += [(first + a * CELL, first + b * CELL) for a, b in found]
        sounds, no_sound = groups.peak > CLEARLY_SOUNDING, (groups.unlike > DROWNED) & (groups.wet > groups.dry)
        sounding, drowned = sounding + int(sounds.sum()), drowned + int((sounds & no_sound).sum())
        sums.append(np.array([coarse.cross, coarse.dry, coarse.wet]))
        progress(last - first)
    cross, xx, yy = np.concatenate(sums, axis=1)
    share, mean = drowned / max(1, sounding), total / max(1, stop - start)
    told = tuple(no_answer), tuple(broken)
    return Heard(start, prediction, cross, xx, yy, *told, share, mean)


@dataclass(frozen=True)
class _Usual:
    """The unlike part that is usual for each row at its level, and that or what is usual around, whichever is more.

    `audible` rows differ by more than what any device leaves behind.
    """

    at_level: Real
    around: Real
    audible: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Cells, sample_rate: int, size: int) -> "_Usual":
        """By rows of `size` cells."""
        # A response that begins before its time answers to silence before an attack, but little is known of it.
        sounding = (rows.dry > FAINT * CELL / PACE * size) & (rows.peak > SILENT)
        off, nothing = rows.unlike, np.zeros(len(rows.dry))
        if not sounding.any():
            return cls(nothing, nothing, sounding)
        around = 2 * max(3, round(AROUND_SECONDS * sample_rate / CELL / size)) + 1
        # Where the answer is missing, what should have been there is what is wrong.
        energy = np.maximum(rows.wet, rows.dry)
        noise = float(np.percentile((off * rows.wet)[sounding], 10.0))
        loudest = maximum_filter1d(energy, around)
        audible = AUDIBLE * (noise + LEFT_BEHIND * loudest)
        clear = sounding & (rows.dry > audible)
        if not clear.any():
            return cls(nothing, nothing, clear)
        at_level = _usual(off, rows.peak, clear)
        nearby = percentile_filter(np.where(clear, off, 0.0), 90, around, mode="nearest")
        return cls(at_level, np.maximum(at_level, nearby), sounding & (off * energy > audible))


def _no_answer(cells: Cells, groups: Cells, usual: _Usual, sample_rate: int) -> list[tuple[int, int]]:
    """Runs of cells, one of margin included, that answer far worse than is usual; two cells or two groups at least."""
    off = cells.unlike
    # Digital silence amid sound is an under-run, however short.
    bad = _far_worse(cells, usual, 1) | cells.mute
    for first, last in find_runs(_far_worse(groups, _Usual.of(groups, sample_rate, GROUP), GROUP)):
        inside = slice(first * GROUP, last * GROUP)
        # The cells at its ends may be those of the neighbours.
        odd = np.flatnonzero(off[inside] > 0.5 * float(np.median(off[inside])))
        bad[inside.start + odd[0] : inside.start + odd[-1] + 1] = True
    return [(first - 1, last + 1) for first, last in find_runs(bad)]


def _far_worse(rows: Cells, usual: _Usual, size: int) -> npt.NDArray[np.bool_]:
    """Whether a row of `size` cells, and one beside it, are unlike what was predicted, far beyond what is usual."""
    off, most = rows.unlike, FAR_WORSE * usual.around
    worse = off > np.maximum(most, LEAST_UNLIKE)
    if size > 1:
        worse |= off > np.maximum(PLAINLY_WORSE * usual.at_level, LEAST_UNLIKE)
        worse |= ((off > DROWNED) & (rows.wet > FAR_LOUDER * rows.dry)) | (off > UPSIDE_DOWN)
    worse &= usual.audible
    for first, last in find_runs(worse):
        worse[first:last] = last - first >= 2
    return np.asarray(worse)


def _usual(off: Real, peak: Real, clear: npt.NDArray[np.bool_]) -> Real:
    """The part that three of four cells of like level do not exceed; nearly all of the loudest, which may be rare."""
    level, part = peak[clear], off[clear]
    groups = np.array_split(np.argsort(level, kind="stable"), max(1, min(LEVELS, len(level) // LEAST_CELLS)))
    middle = [float(level[group[len(group) // 2]]) for group in groups]
    most = [float(np.percentile(part[group], 75.0)) for group in groups[:-1]]
    most.append(float(np.percentile(part[groups[-1]], 85.0)))
    return np.asarray(np.interp(peak, middle, most))
