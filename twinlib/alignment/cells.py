"""What was predicted and what came, compared cell by cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from twinlib.alignment.prediction import AFTER, BEFORE, CELL, MARGIN, PACE, Prediction, at_whole_lags, middles, slow
from twinlib.alignment.ranges import runs
from twinlib.alignment.signals import Channel, sound
from twinlib.alignment.spectra import Real
from twinlib.alignment.timemap import TimeMap
from twinlib.audio import BLOCK, Signal

HOLE = 24
"""Zeros in a row that no sound leaves: half a millisecond."""

SOUNDING = 3e-3
"""A dry sample, -50 dB of full scale, to which no device answers with digital silence."""


@dataclass(frozen=True)
class Cells:
    """A row a cell: sums of products, and whether one of its samples is no number, or lies in digital silence.

    `dry` is what was predicted. `lead` is that of its slope and the wet signal, `steep` that of the slope with itself:
    their ratio tells a small lag, of which `early` samples are known. `peak` is the dry signal's.
    """

    cross: Real
    dry: Real
    wet: Real
    lead: Real
    steep: Real
    early: Real
    peak: Real
    broken: npt.NDArray[np.bool_]
    mute: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence["Cells"]) -> "Cells":
        """Those of all blocks."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def grouped(self, size: int) -> "Cells":
        """A row for `size` cells; the lag that is known is that of the first of them."""
        edges = np.arange(0, len(self.cross), size)
        cross, dry, wet, lead, steep = (
            np.add.reduceat(part, edges) for part in (self.cross, self.dry, self.wet, self.lead, self.steep)
        )
        broken, mute = (np.logical_or.reduceat(part, edges) for part in (self.broken, self.mute))
        peak = np.maximum.reduceat(self.peak, edges)
        return Cells(cross, dry, wet, lead, steep, self.early[edges], peak, broken, mute)

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
        broken = ~sound(y)
        if broken.any():
            y = np.where(broken, np.float32(0.0), y)
        mean = float(y[inside].sum())
        loud = np.abs(x[BEFORE : len(x) - AFTER])
        mute = _in_silence(y)[inside] & (loud > SOUNDING)
        lags = timemap.lags(middles(first, whole))
        early = lags - np.round(lags)
        p, slope = (_in_cells(part, CELL // PACE) for part in prediction.of(x))
        b = _in_cells(np.float32(polarity) * slow(y), CELL // PACE)
        sums = np.empty((5, len(p)))
        _products(p, slope, b, early.astype(np.float32), sums)
        peak = _in_cells(loud, CELL).max(axis=1).astype(np.float64)
        wrong, dead = (_in_any(which) for which in (broken[inside], mute))
        cross, xx, yy, lead, steep = sums
        yield Cells(cross, xx, yy, lead, steep, early, peak, wrong, dead), mean


@numba.njit(cache=True, fastmath={"reassoc"})
def _products(predicted: Signal, slope: Signal, wet: Signal, early: Signal, out: Real) -> None:
    # A step of the DC, and rumble, are no part of the answer. Sums go as numpy's do, in the order that is fastest.
    size = predicted.shape[1]
    for i in range(predicted.shape[0]):
        p, s, w = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(size):
            p += predicted[i, j] - early[i] * slope[i, j]
            s += slope[i, j]
            w += wet[i, j]
        p, s, w = p / np.float32(size), s / np.float32(size), w / np.float32(size)
        pw, pp, ww, sw, ss = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(size):
            a, b, c = predicted[i, j] - early[i] * slope[i, j] - p, slope[i, j] - s, wet[i, j] - w
            pw += a * c
            pp += a * a
            ww += c * c
            sw += b * c
            ss += b * b
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i] = pw, pp, ww, sw, ss


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
        for first, last in runs(zero):
            zero[first:last] = last - first >= HOLE
    return np.asarray(zero)
