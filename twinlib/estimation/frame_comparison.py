"""Comparison of a wet signal with its prediction by a linear model, frame by frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Signal
from twinlib.estimation.delay import Real
from twinlib.estimation.linear_model import (
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    DECIMATION,
    FILTER_MARGIN,
    FRAME,
    FirModel,
    decimate,
    frame_centres,
    read_at_integer_lags,
)
from twinlib.intervals import find_runs
from twinlib.resampling import Channel, TimeMap, is_finite_audio

Mask = npt.NDArray[np.bool_]

PART = 32
"""Samples of a part of a frame, 0.7 ms at 44.1 kHz."""

MIN_ZERO_RUN = 24
"""Consecutive zeros, half a millisecond, that do not occur in audio."""

MIN_ZERO_RUN_DRY = 3e-3
"""Dry sample value, -50 dBFS, above which no device outputs digital silence."""

_GROUPED = {
    "non_finite": np.logical_or,
    "zero_run": np.logical_or,
    "peak": np.maximum,
    "dry_edge": np.maximum,
    "wet_edge": np.maximum,
}


@dataclass(frozen=True)
class FrameSums:
    """Sums of products over each frame, float64 `(frames,)`, and flags of bad samples.

    `cross` is predicted times wet, `predicted` and `wet` are energies, `peak` is the dry peak. `non_finite` marks
    frames with NaN or infinite samples, `zero_run` frames with a run of digital zeros. The edges are the highest spikes
    of one sample, the parts `(frames, parts)` the energies of `PART` samples each.
    """

    cross: Real
    predicted: Real
    wet: Real
    peak: Real
    non_finite: Mask
    zero_run: Mask
    dry_edge: Real
    wet_edge: Real
    dry_parts: Real
    wet_parts: Real

    @classmethod
    def concatenate(cls, parts: Sequence["FrameSums"]) -> "FrameSums":
        """Return the frames of all parts."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def grouped(self, size: int) -> "FrameSums":
        """Return one row for every `size` frames."""
        starts = np.arange(0, len(self.cross), size)
        sums = {column.name: getattr(self, column.name) for column in fields(self)}
        return FrameSums(**{name: _GROUPED.get(name, np.add).reduceat(values, starts) for name, values in sums.items()})

    @property
    def residual_ratio(self) -> Real:
        """The residual ratio of each row."""
        return residual_ratio(self.cross, self.predicted, self.wet)


def residual_ratio(cross: Real, predicted: Real, wet: Real) -> Real:
    """Return 1 - r |r| for the correlation r: the wet energy share that no gain explains; up to 2 if inverted."""
    r = cross / np.sqrt(predicted * wet + 1e-20)
    return np.asarray(1.0 - r * np.abs(r))


def compare_frames(
    dry: Channel, wet: Channel, timemap: TimeMap, model: FirModel, start: int, stop: int, polarity: int
) -> Iterator[tuple[FrameSums, float]]:
    """Yield blocks of frames of dry samples [start, stop), and the sum of their wet samples."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        padded = first + -(-(last - first) // DECIMATION) * DECIMATION
        x = dry.read(first - CONTEXT_BEFORE, padded + CONTEXT_AFTER)
        y = read_at_integer_lags(wet, timemap, first, padded, FILTER_MARGIN)
        inside = slice(FILTER_MARGIN, len(y) - FILTER_MARGIN)
        bad = ~is_finite_audio(y)
        if bad.any():
            y = np.where(bad, np.float32(0.0), y)
        total = float(y[inside].sum())
        count = (padded - first) // FRAME + ((padded - first) % FRAME > 0)
        shapes = np.empty((2, 2, count)), np.empty((2, count, FRAME // PART))
        for number, (part, margin, end) in enumerate(
            ((x, CONTEXT_BEFORE, CONTEXT_AFTER), (y, FILTER_MARGIN, FILTER_MARGIN))
        ):
            framed = part[margin - 1 : len(part) - end + 1]
            framed = np.pad(framed, (0, count * FRAME + 2 - len(framed)))
            measure_shapes(framed, shapes[0][0, number], shapes[0][1, number], shapes[1][number])
        level = np.abs(x[CONTEXT_BEFORE : len(x) - CONTEXT_AFTER])
        zero = _in_zero_run(y)[inside] & (level > MIN_ZERO_RUN_DRY)
        lags = timemap.lags(frame_centres(first, padded))
        fractions = (lags - np.round(lags)).astype(np.float32)
        predicted, slope = (_in_frames(part, FRAME // DECIMATION) for part in model.predict(x))
        recorded = _in_frames(np.float32(polarity) * decimate(y), FRAME // DECIMATION)
        sums = np.empty((3, len(predicted)))
        _sum_products(predicted, slope, recorded, fractions, sums)
        (dry_edge, wet_edge), (peak, _) = shapes[0]
        flags = _any_in_frame(bad[inside]), _any_in_frame(zero)
        yield FrameSums(sums[0], sums[1], sums[2], peak, *flags, dry_edge, wet_edge, shapes[1][0], shapes[1][1]), total


@numba.njit(cache=True, fastmath={"reassoc"})
def _sum_products(predicted: Signal, slope: Signal, wet: Signal, fractions: Signal, out: Real) -> None:
    # Without the mean of each frame: DC steps and rumble are not part of the prediction. The slope corrects the
    # prediction for the fraction of a sample by which the integer lag is off.
    size = predicted.shape[1]
    for i in range(predicted.shape[0]):
        p, w = np.float32(0.0), np.float32(0.0)
        for j in range(size):
            p += predicted[i, j] - fractions[i] * slope[i, j]
            w += wet[i, j]
        p, w = p / np.float32(size), w / np.float32(size)
        pw, pp, ww = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(size):
            a, b = predicted[i, j] - fractions[i] * slope[i, j] - p, wet[i, j] - w
            pw += a * b
            pp += a * a
            ww += b * b
        out[0, i], out[1, i], out[2, i] = pw, pp, ww


def _in_frames(samples: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = -len(samples) % size
    return (np.pad(samples, (0, missing)) if missing else samples).reshape(-1, size)


def _any_in_frame(mask: Mask) -> Mask:
    if not mask.any():
        return np.zeros(-(-len(mask) // FRAME), np.bool_)
    return np.asarray(_in_frames(mask, FRAME).any(axis=1))


def _in_zero_run(samples: Signal) -> Mask:
    """Return the mask of samples in runs of `MIN_ZERO_RUN` or more zeros."""
    zero = samples == 0.0
    if zero.any():
        for first, last in find_runs(zero):
            zero[first:last] = last - first >= MIN_ZERO_RUN
    return np.asarray(zero)


@numba.njit(cache=True)
def measure_shapes(samples: Signal, edges: Real, peaks: Real, parts: Real) -> None:
    """Measure whole frames of `samples`, which include one more sample on either side."""
    for i in range(len(edges)):
        edge, peak = np.float32(0.0), np.float32(0.0)
        for k in range(parts.shape[1]):
            energy = np.float32(0.0)
            first = 1 + i * FRAME + k * PART
            for j in range(first, first + PART):
                value = samples[j]
                energy += value * value
                peak = max(peak, abs(value))
                # A step, such as the border of two joined clips, is no spike.
                before, after = value - samples[j - 1], value - samples[j + 1]
                if before * after > 0.0:
                    edge = max(edge, min(abs(before), abs(after)))
            parts[i, k] = energy
        edges[i], peaks[i] = edge, peak
