"""Whether the clocks wander: the part of the residual that neighbouring windows share over many seconds."""

import math

import numpy as np
from scipy.special import fdtri

from twinlib.alignment.track import Track, agreeing

BLOCK_SECONDS = 10.0
"""Clocks wander in many seconds; a device's phase changes with the programme, from window to window."""

LEAST_WINDOWS = 4
"""Windows that a block holds at least."""

LEAST_EXCESS = 6.0
"""The variance of block means over that which scatter explains, below which nothing wanders, however long the take:
neighbouring windows hold programme alike, and then a device's phase is alike."""

CHANCE = 1e-3
"""How often chance may exceed that ratio in a take of few blocks."""


def residual_rms(track: Track) -> float | None:
    """The rms about the line, in samples, of the windows that agree with it, weighted by their precision."""
    fits = agreeing(track.measured)
    if not fits.any():
        return None
    values, weights = track.measured.residual[fits], track.measured.weight[fits]
    values = values - np.average(values, weights=weights)
    return float(np.sqrt(np.average(values**2, weights=weights)))


def wander(track: Track, sample_rate: int) -> float:
    """The rms in samples that the means of blocks of windows have beyond what scatter explains; 0 if it explains all.

    A block is about 10 s, an eighth of a shorter signal. Scatter is how much windows differ from their neighbours,
    large for devices that distort much: their phase changes with the programme, and a block takes the mean of it.
    The ratio of the two variances follows Fisher's F distribution. With too few windows for that, the plain residual.
    """
    fits = agreeing(track.measured)
    count = int(fits.sum())
    if count < 2 * LEAST_WINDOWS:
        return residual_rms(track) or 0.0
    position = track.measured.position[fits]
    values = track.measured.residual[fits] - np.median(track.measured.residual[fits])
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
