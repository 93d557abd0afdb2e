"""The place of one step of the lag: the change point between two time maps, by residual and by phase."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from twinlib.alignment.lag_track import Response, band_spectra
from twinlib.audio import Signal
from twinlib.estimation import FRAME, FirModel, FrameSums, Real, band, change_scores, compare_frames, phat_weighted
from twinlib.intervals import Range
from twinlib.resampling import WARP_KERNEL, Channel, TimeMap, interpolate

Mask = npt.NDArray[np.bool_]

RESIDUAL_FLOOR = 0.003
"""Residual ratio of a frame below which two residuals count as equal."""

AUDIBLE = 1e-3
"""Dry peak, -60 dB of full scale, below which a frame is ignored."""

BLOCK_FRAMES = 16
"""Frames, 0.1 s in all, whose mean counts as one independent sample: notes last longer than frames."""

LOG_LIKELIHOOD = 10.0
"""Maximum log-likelihood ratio of a possible position of a step against the best position."""

PHASE_WINDOW = 1024
"""Samples of the windows of phases, which begin every `FRAME` samples."""


@dataclass(frozen=True)
class TwoMaps:
    """A pair of signals with a step in the dry range `zone`, and the time maps that hold before and after the step."""

    dry: Channel
    wet: Channel
    maps: tuple[TimeMap, TimeMap]
    polarity: int
    zone: Range

    @property
    def step(self) -> int:
        """The change of the lag in samples, rounded."""
        middle = np.array([0.5 * sum(self.zone)])
        return round(float((self.maps[1].lags(middle) - self.maps[0].lags(middle))[0]))


@dataclass(frozen=True)
class ChangePoint:
    """The most likely dry position of a step, its range, and the log-likelihood ratio against no step."""

    position: int
    first: int
    last: int
    log_likelihood: float


def locate_by_residual(pair: TwoMaps, model: FirModel) -> tuple[Range | None, float]:
    """Locate the step before which the first map predicts the wet signal, and after which the second does.

    Returns the range of the step, None if there is none, and the smaller t statistic of the two sides. The cumulative
    sum of the log ratio of both residuals is lowest at the step (CUSUM, Page 1954). Samples that were lost or repeated
    there count for neither side.
    """
    zone, samples = pair.zone, abs(pair.step)
    compared = (compare_frames(pair.dry, pair.wet, one, model, *zone, pair.polarity) for one in pair.maps)
    frames = [FrameSums.concatenate([block for block, _ in blocks]) for blocks in compared]
    residuals = [np.maximum(one.residual_ratio, 0.0) + RESIDUAL_FLOOR for one in frames]
    audible = frames[0].peak > AUDIBLE
    ratio = np.where(audible, np.log(residuals[0] / residuals[1]), 0.0)
    total = np.concatenate(([0.0], np.cumsum(ratio)))
    width = round(samples / FRAME)
    if width >= len(ratio):
        return None, 0.0
    score = 0.5 * (total[: len(total) - width] + total[width:])
    best = int(score.argmin())
    sides = [_blocks(-ratio[:best], audible[:best]), _blocks(ratio[best + width :], audible[best + width :])]
    if min(len(blocks) for blocks in sides) < 2:
        return None, 0.0
    mean = min(float(blocks.mean()) for blocks in sides)
    deviations = np.concatenate([blocks - blocks.mean() for blocks in sides])
    variance = max(float(np.square(deviations).sum()) / (len(deviations) - 2), 1e-9)
    statistic = mean * math.sqrt(min(len(blocks) for blocks in sides) / variance)
    # The log-likelihood ratio of a random walk with drift is 2 x mean / variance times the sum.
    scale = 2.0 * max(mean, 0.0) / (BLOCK_FRAMES * variance)
    likely = np.flatnonzero((score - score[best]) * scale < LOG_LIKELIHOOD)
    first, last = zone[0] + FRAME * (int(likely[0]) - 1), zone[0] + FRAME * (int(likely[-1]) + 1) + samples
    return (max(zone[0], first), min(zone[1], last)), statistic


def _blocks(values: Real, audible: Mask) -> Real:
    """Return the means of blocks of the audible frames."""
    values = values[audible]
    count = len(values) // BLOCK_FRAMES
    return np.asarray(values[: count * BLOCK_FRAMES].reshape(count, BLOCK_FRAMES).mean(axis=1))


def locate_by_phase(pair: TwoMaps, response: Response, known: Range) -> ChangePoint | None:
    """Locate the step within its `known` range; `response` is the device's, in windows of `PHASE_WINDOW` samples.

    Distortion hides the residual of a lost sample below 4 kHz, but hardly the phase above. In each window, the
    correlations with the dry signal under both maps differ by an amount that the dry signal determines. The windows
    outside `known` give the gain of that difference, and the scatter and serial correlation of its errors. The
    likelihood of a position follows from their innovations, a first-order autoregressive process (`change_scores`).
    None if these windows are too few or do not show the step.
    """
    zone, step = pair.zone, pair.step
    if zone[1] - zone[0] < 2 * PHASE_WINDOW + abs(step):
        return None
    observed, expected, audible = _phase_differences(pair, response)
    middle = zone[0] + PHASE_WINDOW // 2 + FRAME * np.arange(len(observed))
    side = (np.where(middle > known[1], 1.0, 0.0) - np.where(middle < known[0], 1.0, 0.0)) * audible
    width = round(abs(step) / FRAME)
    inside = slice(*np.searchsorted(middle[: len(middle) - width], (known[0] - PHASE_WINDOW, known[1] + PHASE_WINDOW)))
    gain = float((observed * side * expected).sum() / (np.square(side * expected).sum() + 1e-12))
    errors = [observed - sign * gain * expected for sign in (-1.0, 1.0)]
    scores = change_scores(errors, expected, side, audible, width)
    if scores is None or gain <= 0.0 or inside.stop <= inside.start:
        return None
    score = scores[inside]
    best, likely = int(score.argmax()), np.flatnonzero(score.max() - score < LOG_LIKELIHOOD)
    # A change at window n is between the middles of the windows n - 1 and n.
    edge = int(middle[inside.start]) - FRAME // 2
    first, last = edge + FRAME * (int(likely[0]) - 1), edge + FRAME * (int(likely[-1]) + 1) + abs(step)
    return ChangePoint(edge + FRAME * best, max(zone[0], first), min(zone[1], last), float(score[best]))


def _phase_differences(pair: TwoMaps, response: Response) -> tuple[Real, Real, Mask]:
    """Return the difference of the correlations of each window, its expected magnitude, and the audible windows."""
    dry, wet, step = pair.dry, pair.wet, pair.step
    bins = band(PHASE_WINDOW, dry.rate, wet.max_hz)
    taper = np.hanning(PHASE_WINDOW).astype(np.float32)
    device = (response.phase.conj() * response.weight).astype(np.complex64)
    shifted = np.cos(2.0 * np.pi * step / PHASE_WINDOW * np.arange(bins.start, bins.stop)).astype(np.float32)

    def windows(samples: Signal) -> npt.NDArray[np.float32]:
        return np.asarray(sliding_window_view(samples, PHASE_WINDOW)[::FRAME])

    samples = dry.read(*pair.zone)
    x, correlations, expected = band_spectra(windows(samples) * taper, bins), [], np.zeros(0)
    for time_map in pair.maps:
        y = np.float32(pair.polarity) * interpolate(wet, time_map, *pair.zone, WARP_KERNEL)
        cross = phat_weighted(x.conj() * band_spectra(windows(y) * taper, bins), 0.5) * device
        magnitude = np.abs(cross)
        total = magnitude.sum(axis=1) + 1e-30
        correlations.append(cross.real.sum(axis=1) / total)
        expected = 1.0 - (magnitude * shifted).sum(axis=1) / total
    if abs(step) > PHASE_WINDOW // 2:
        expected = np.ones(len(x))
    difference = np.asarray(correlations[1] - correlations[0], np.float64)
    return difference, np.asarray(expected, np.float64), np.abs(windows(samples)).max(axis=1) > AUDIBLE


def join_ranges(one: Range, other: Range) -> Range:
    """Return the inner of two ranges of a step; their union if neither contains the other: both may end too early."""
    inner = max(one[0], other[0]), min(one[1], other[1])
    return inner if inner in (one, other) else (min(one[0], other[0]), max(one[1], other[1]))
