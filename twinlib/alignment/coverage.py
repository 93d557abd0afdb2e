"""Listening to all of it: places where the wet signal is no answer to the dry one, whatever the windows say.

A lag track sees what shifts all that follows. A buffer played twice in place of another, a muted stretch, a burst of
noise shift nothing; but for some milliseconds the two signals are not alike.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, median_filter

from twinlib.alignment.signals import Channel, sound
from twinlib.alignment.spectra import Real
from twinlib.alignment.timemap import TimeMap
from twinlib.audio import BLOCK, Signal
from twinlib.progress import Progress, silent

CELL = 256
"""Samples whose likeness is told as one: 6 ms."""

COARSE = 32
"""Cells that are remembered as one."""

AROUND_SECONDS = 1.5
"""How far a cell is compared with its neighbourhood."""

QUIET_DB = 20.0
"""A cell so far below the loudest of its neighbourhood is not judged."""

LEAST_USUAL = 0.8
"""Correlation that three of four cells must reach before one can be told to be none."""

LEAST_ALIKE = 0.6
"""The same, of long stretches."""

MOST_UNLIKE = 0.3
"""Correlation of a cell that is no answer."""

HOLE = 24
"""Zeros in a row that no sound leaves: half a millisecond."""

SOUNDING = 3e-3
"""A dry sample, -50 dB of full scale, to which no device answers with digital silence."""

NEARLY = 0.8
"""Share of the usual correlation that a stretch must reach to be taken for right."""

LEAST_SHIFT = 0.6
"""Samples that a stretch must seem to be off to be looked at closely."""

_GROUP = 6
_REACH = 7
_PREEMPHASIS = np.float32(0.9)
_CHUNK = 64 * BLOCK


@dataclass(frozen=True)
class Heard:
    """What listening to dry samples from `start` on told.

    `cross`, `dry` and `wet` are sums of products of both signals, pre-emphasised over `COARSE` cells each, the sign of
    the device's polarity taken away. `unlike` are the dry ranges [start, stop) that answer far worse than their
    neighbourhood does or are mute, `shifted` those that may lie some samples off (a closer look is to tell), `broken`
    those with samples that are no numbers; `mean` is the wet signal's.
    """

    start: int
    cross: Real
    dry: Real
    wet: Real
    unlike: tuple[tuple[int, int], ...]
    shifted: tuple[tuple[int, int], ...]
    broken: tuple[tuple[int, int], ...]
    mean: float

    @property
    def usual(self) -> float:
        """The correlation of all of it."""
        return _correlation(self.cross.sum(), self.dry.sum(), self.wet.sum())

    @property
    def tells(self) -> bool:
        """Whether the device leaves the signals alike enough for a stretch to be told from others by it."""
        return self.usual > LEAST_ALIKE

    def alike(self, start: int, stop: int) -> bool:
        """Whether dry samples [start, stop) are as alike as the rest, or nearly, as far as the noise lets them be."""
        size = CELL * COARSE
        first, last = max(0, (start - self.start) // size), max(0, -(-(stop - self.start) // size))
        cross, dry, wet = (float(part[first:last].sum()) for part in (self.cross, self.dry, self.wet))
        noise = float(self.wet.min(initial=np.inf)) * (last - first)
        signal = dry * float(self.wet.sum() / (self.dry.sum() + 1e-20))
        return _correlation(cross, dry, wet) > NEARLY * self.usual * math.sqrt(signal / (signal + noise + 1e-20))


@dataclass(frozen=True)
class _Cells:
    """A row a cell: sums of products, whether one of its samples is no number, or lies in digital silence.

    `lead` is that of the dry signal's slope and the wet signal, `steep` that of the slope with itself: their ratio
    tells a small lag.
    """

    cross: Real
    dry: Real
    wet: Real
    lead: Real
    steep: Real
    broken: npt.NDArray[np.bool_]
    mute: npt.NDArray[np.bool_]


def listen(
    dry: Channel, wet: Channel, timemap: TimeMap, start: int, stop: int, polarity: int, progress: Progress = silent
) -> Heard:
    """Compare [start, stop) of the dry signal, cell by cell, with the wet one, read at whole lags (`exact`)."""
    unlike: list[tuple[int, int]] = []
    shifted: list[tuple[int, int]] = []
    broken: list[tuple[int, int]] = []
    sums: list[Real] = []
    total = 0.0
    for first in range(start, stop, _CHUNK):
        last = min(first + _CHUNK, stop)
        parts = []
        for cells, mean in _cells(dry, wet, timemap, first, last, polarity):
            parts.append(cells)
            total += mean
        names = ("cross", "dry", "wet", "lead", "steep", "broken", "mute")
        whole = _Cells(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
        shifted += [(first + a * CELL, first + b * CELL) for a, b in _shifted(whole, dry.rate)]
        unlike += [(first + a * CELL, first + b * CELL) for a, b in _unlike(whole, dry.rate)]
        broken += [(first + a * CELL, first + b * CELL) for a, b in _runs(whole.broken)]
        edges = np.arange(0, len(whole.cross), COARSE)
        sums.append(np.array([np.add.reduceat(part, edges) for part in (whole.cross, whole.dry, whole.wet)]))
        progress(last - first)
    cross, xx, yy = np.concatenate(sums, axis=1)
    return Heard(start, cross, xx, yy, tuple(unlike), tuple(shifted), tuple(broken), total / max(1, stop - start))


def _cells(
    dry: Channel, wet: Channel, timemap: TimeMap, start: int, stop: int, polarity: int
) -> Iterator[tuple[_Cells, float]]:
    """Blocks of cells, and the sum of their wet samples."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        x, y = dry.read(first - _REACH, last), _at_whole_lags(wet, timemap, first - _REACH, last)
        broken = ~sound(y)
        if broken.any():
            y = np.where(broken, np.float32(0.0), y)
        mute = _in_silence(y) & (np.abs(x) > SOUNDING)
        a, b = _in_cells(_middle(x)), _in_cells(_middle(y))
        c = np.zeros_like(a)
        np.subtract(a[:, 2:], a[:, :-2], out=c[:, 1:-1])
        c *= np.float32(0.5)
        products = ((a, b), (a, a), (b, b), (c, b), (c, c))
        cross, xx, yy, lead, steep = (np.einsum("ij,ij->i", *two).astype(np.float64) for two in products)
        wrong, silent = (np.any(_in_cells(which[_REACH:]), axis=1) for which in (broken, mute))
        yield (
            _Cells(polarity * cross, xx, yy, polarity * lead, steep, wrong, silent),
            float(y[_REACH:].sum(dtype=np.float64)),
        )


def _at_whole_lags(wet: Channel, timemap: TimeMap, start: int, stop: int) -> Signal:
    """The wet signal at dry positions, to the nearest sample, cell by cell."""
    middles: Real = np.arange(start, stop, CELL, dtype=np.float64) + CELL / 2.0
    lags = np.round(timemap.lags(middles)).astype(np.int64)
    out = np.empty(stop - start, np.float32)
    runs = [0, *(np.flatnonzero(np.diff(lags)) + 1).tolist(), len(lags)]
    for first, last in pairwise(runs):
        low, high = first * CELL, min(last * CELL, len(out))
        shift = start + int(lags[first])
        out[low:high] = wet.read(low + shift, high + shift)
    return out


def _middle(samples: Signal) -> Signal:
    """The signal less its first `_REACH` samples, pre-emphasised, and without the highs, whose phase devices turn.

    Sums of four samples, twice, are a low-pass of 4 kHz: they cost little, and sharpness is not needed.
    """
    for _ in range(2):
        pairs = samples[1:] + samples[:-1]
        samples = pairs[2:] + pairs[:-2]
    return np.asarray(samples[1:] - _PREEMPHASIS * samples[:-1])


def _in_cells(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    count = -(-len(samples) // CELL)
    return np.pad(samples, (0, count * CELL - len(samples))).reshape(count, CELL)


def _in_silence(samples: Signal) -> npt.NDArray[np.bool_]:
    """Which samples lie in a run of `HOLE` or more zeros."""
    zero = samples == 0.0
    if zero.any():
        for first, last in _runs(zero):
            zero[first:last] = last - first >= HOLE
    return np.asarray(zero)


def _unlike(cells: _Cells, sample_rate: int) -> list[tuple[int, int]]:
    """Runs of two cells or more, a cell of margin included, that answer far worse than their neighbourhood does."""
    around = max(3, round(AROUND_SECONDS * sample_rate / CELL))
    r = cells.cross / np.sqrt(cells.dry * cells.wet + 1e-20)
    most = maximum_filter1d(cells.dry, 2 * around + 1, mode="nearest")
    loud = cells.dry > np.maximum(most * 10.0 ** (-QUIET_DB / 10.0), CELL * 1e-7)
    if not loud.any():
        return []
    # What the device should answer must stand out from the noise of the recording.
    gain = float(np.median(cells.wet[loud] / cells.dry[loud]))
    loud &= gain * cells.dry > 10.0 * float(np.percentile(cells.wet, 2.0))
    # A device that distorts much, or turns the phase, is alike only so far: then nothing can be told from this.
    tells = bool(loud.any()) and float(np.percentile(r[loud], 25.0)) > LEAST_USUAL
    bad = loud & (r < MOST_UNLIKE) if tells else np.zeros(len(r), np.bool_)
    # Digital silence amid sound is an under-run, however short.
    return [
        (first - 1, last + 1)
        for first, last in _runs(bad | cells.mute)
        if last - first >= 2 or cells.mute[first:last].any()
    ]


def _shifted(cells: _Cells, sample_rate: int) -> list[tuple[int, int]]:
    """Runs of three groups of cells or more whose lag, by the slope of the dry signal, is not their neighbourhood's."""
    edges = np.arange(0, len(cells.cross), _GROUP)
    cross, dry, lead, steep = (
        np.add.reduceat(part, edges) for part in (cells.cross, cells.dry, cells.lead, cells.steep)
    )
    loud = (dry > 1e-7 * CELL * _GROUP) & (cross > 0.0) & (steep > 0.0)
    lag = np.zeros(len(dry))
    lag[loud] = -lead[loud] * dry[loud] / (cross[loud] * steep[loud])
    size = 2 * max(4, round(AROUND_SECONDS * sample_rate / CELL / _GROUP)) + 1
    off = np.where(loud, lag, np.median(lag[loud]) if loud.any() else 0.0)
    off = off - median_filter(off, size, mode="nearest")
    scatter = 1.4826 * median_filter(np.abs(off), size, mode="nearest")
    ranges = []
    for sign in (1.0, -1.0):
        for first, last in _runs(loud & (sign * off > np.maximum(LEAST_SHIFT, 6.0 * scatter))):
            if last - first >= 3:
                ranges.append(((first - 1) * _GROUP, (last + 1) * _GROUP))
    return sorted(ranges)


def _correlation(cross: float, dry: float, wet: float) -> float:
    return float(cross / np.sqrt(dry * wet + 1e-20))


def _runs(where: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], where.astype(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
