"""Whether the clocks wander, the part of the residual that neighbouring windows share, and the curve they follow."""

import math

import numpy as np
from scipy.interpolate import BSpline, make_lsq_spline
from scipy.ndimage import median_filter
from scipy.special import fdtri

from twinlib.alignment.line import Labels
from twinlib.alignment.spectra import Real
from twinlib.alignment.track import Measured, agreeing

BLOCK_SECONDS = 10.0
"""Clocks wander in many seconds; a device's phase changes with the programme, from window to window."""

LEAST_WINDOWS = 4
"""Windows that a block holds at least."""

LEAST_EXCESS = 6.0
"""The variance of block means over that which scatter explains, below which nothing wanders, however long the take:
neighbouring windows hold programme alike, and then a device's phase is alike."""

CHANCE = 1e-3
"""How often chance may exceed that ratio in a take of few blocks."""


def residual_rms(measured: Measured) -> float | None:
    """The rms about the line, in samples, of the windows that agree with it, weighted by their precision."""
    fits = agreeing(measured)
    if not fits.any():
        return None
    values, weights = measured.residual[fits], measured.weight[fits]
    values = values - np.average(values, weights=weights)
    return float(np.sqrt(np.average(values**2, weights=weights)))


def wander(measured: Measured, sample_rate: int) -> float:
    """The rms in samples that the means of blocks of windows have beyond what scatter explains; 0 if it explains all.

    A block is about 10 s, an eighth of a shorter signal. Scatter is how much windows differ from their neighbours,
    large for devices that distort much: their phase changes with the programme, and a block takes the mean of it.
    The ratio of the two variances follows Fisher's F distribution. With too few windows for that, the plain residual.
    """
    fits = agreeing(measured)
    count = int(fits.sum())
    if count < 2 * LEAST_WINDOWS:
        return residual_rms(measured) or 0.0
    position = measured.position[fits]
    values = measured.residual[fits] - np.median(measured.residual[fits])
    most = 4.5 * float(np.median(np.abs(values)))
    values = np.clip(values, -most, most)
    seconds = float(position[-1] - position[0]) / (count - 1) / sample_rate
    length = max(LEAST_WINDOWS, min(count // 8, round(BLOCK_SECONDS / seconds)))
    # Windows may overlap their neighbour by half, so the next but one is the first independent of it.
    chance = float(np.mean((values[2:] - values[:-2]) ** 2)) / 2.0 / length
    blocks = values[: count // length * length].reshape(-1, length).mean(axis=1)
    variance = float(np.var(blocks, ddof=1))
    least = max(LEAST_EXCESS, float(fdtri(len(blocks) - 1, count - len(blocks), 1.0 - CHANCE)))
    return math.sqrt(variance - chance) if variance > least * chance else 0.0


def bend(position: Real, residual: Real, weights: Real, labels: Labels) -> tuple[Real, Real] | None:
    """The slow curve about a line, as knots (positions, samples): a least-squares cubic spline with as many as pay.

    `residual` is that of the windows heard, in order, `weights` their inverse variances; `labels` number the pieces
    they lie on, each with a constant of its own. Twice as many knots must pay by Schwarz's criterion, counted double,
    for neighbouring windows overlap. None where none pay.
    """
    best, cheapest = None, _cost(_flat(residual, labels), weights, 0)
    intervals = 1
    while LEAST_WINDOWS * intervals <= len(position) and len(position) >= 4 * LEAST_WINDOWS:
        curve, knots = np.zeros(len(position)), position
        # Beside its neighbours at first: a spline goes through a mistaken window at its end and then finds it right.
        flat = _flat(residual, labels)
        trust = _trust(flat - median_filter(flat, 5, mode="reflect"))
        for _ in range(6):
            flat = _flat(residual - curve, labels) + curve
            fitted, knots = _spline(position, flat, weights * trust, intervals)
            curve = np.asarray(fitted(position))
            trust = _trust(flat - curve)
        cost = _cost(_flat(residual - curve, labels), weights, intervals + 3)
        if cost < cheapest:
            best, cheapest = (knots, np.asarray(fitted(knots))), cost
        intervals *= 2
    return best


def _trust(off: Real) -> Real:
    """What a window counts by: what stands out by far is mistaken (Tukey's biweight)."""
    return np.asarray(np.clip(1.0 - (off / _most(off)) ** 2, 1e-3, None) ** 2)


def _most(off: Real) -> float:
    """What no window is off by that is not mistaken: six standard deviations, told by the median."""
    return 6.0 * max(1.4826 * float(np.median(np.abs(off))), 1e-4)


def _flat(values: Real, labels: Labels) -> Real:
    """The values without the median of each piece."""
    medians = np.zeros(int(labels.max()) + 1)
    for label in np.unique(labels).tolist():
        medians[label] = np.median(values[labels == label])
    return np.asarray(values - medians[labels])


def _cost(off: Real, weights: Real, parameters: int) -> float:
    most = _most(off)
    mean = float(np.average(np.clip(off, -most, most) ** 2, weights=weights))
    return len(off) * math.log(mean + 1e-10) + 2.0 * parameters * math.log(len(off))


def _spline(position: Real, values: Real, weights: Real, intervals: int) -> tuple[BSpline, Real]:
    """A cubic spline whose intervals hold as many windows each; where it may be sampled to be known again."""
    borders = position[np.linspace(0, len(position) - 1, intervals + 1).round().astype(int)]
    knots = np.concatenate((np.repeat(borders[0], 3), borders, np.repeat(borders[-1], 3)))
    spline = make_lsq_spline(position, values, knots, k=3, w=np.sqrt(weights / weights.max()))
    # Four places an interval: the natural spline through them bends otherwise only at its very ends.
    return spline, np.interp(np.arange(4 * intervals + 1) / 4.0, np.arange(intervals + 1), borders)
