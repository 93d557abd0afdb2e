"""Robust line fits: Theil-Sen and Tukey's biweight, for one line and for parallel lines of several pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from twinlib.estimation.robust import mad_sigma
from twinlib.resampling import Labels

Array = npt.NDArray[np.float64]

MAX_STEP_SIGMAS = 5.0
"""Standard errors by which the pieces may deviate from whole-sample steps."""


@dataclass(frozen=True)
class Line:
    """wet index = lag + (1 + drift_ppm * 1e-6) * dry index, in samples; + = wet late, wet longer."""

    lag: float
    drift_ppm: float

    def at(self, position: float) -> float:
        """Return the lag in samples at a dry position."""
        return self.lag + self.drift_ppm * 1e-6 * position

    def wet(self, position: float) -> float:
        """Return the wet index of a dry position."""
        return position + self.at(position)


@dataclass(frozen=True)
class LineFit:
    """A fitted line and the standard error of its drift in ppm."""

    line: Line
    drift_error_ppm: float


@dataclass(frozen=True)
class PieceFit:
    """Parallel lines: one drift, because clocks continue during a dropout, and the lag of each piece at dry sample 0.

    `lag_errors` are the standard errors of the lags in samples, `drift_error_ppm` that of the drift.
    """

    lags: Array
    drift_ppm: float
    lag_errors: Array
    drift_error_ppm: float

    def at(self, positions: Array, labels: Labels) -> Array:
        """Return the lag in samples at each position, by the line of the piece with that number."""
        return np.asarray(self.lags[labels] + self.drift_ppm * 1e-6 * positions)


def theil_sen(positions: Array, lags: Array, max_points: int = 400) -> Line:
    """Fit a line with the median of all pairwise slopes (Sen 1968), of at most `max_points` evenly chosen points."""
    slope = _median_slope(positions, lags, np.zeros(len(positions), np.int64), max_points)
    return Line(float(np.median(lags - slope * positions)), slope * 1e6)


def _median_slope(positions: Array, lags: Array, labels: Labels, max_points: int = 400) -> float:
    # Unlike in `scipy.stats.theilslopes`, both points of a pair must be in the same piece.
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(max_points, len(positions))).round().astype(int))
    x, y, piece = positions[chosen], lags[chosen], labels[chosen]
    i, j = np.triu_indices(len(x), 1)
    valid = (np.abs(x[j] - x[i]) > 0) & (piece[i] == piece[j])
    slopes = (y[j] - y[i])[valid] / (x[j] - x[i])[valid]
    return float(np.median(slopes)) if len(slopes) else 0.0


def fit_line(positions: Array, lags: Array, weights: Array) -> LineFit:
    """Fit a weighted line by Tukey's biweight, starting from Theil-Sen.

    `positions` and `lags` are in samples, `weights` are inverse variances. Needs two windows or more.
    """
    found = fit_pieces(positions, lags, weights, np.zeros(len(positions), np.int64), 1)
    return LineFit(Line(float(found.lags[0]), found.drift_ppm), found.drift_error_ppm)


def fit_pieces(
    positions: Array, lags: Array, weights: Array, labels: Labels, count: int, steps: Sequence[float] | None = None
) -> PieceFit:
    """Fit parallel lines to `count` pieces, as robustly as `fit_line`; `labels` are the windows' piece numbers from 0.

    A piece without windows gets the lag of the previous piece (the first pieces: of the next) plus the `steps` in
    samples between them, with an infinite standard error.
    """
    slope = _median_slope(positions, lags, labels)
    level = lags - slope * positions
    constants = np.full(count, float(np.median(level)))
    present = np.unique(labels)
    for number in present.tolist():
        constants[number] = np.median(level[labels == number])
    error, constant_errors = np.inf, np.full(count, np.inf)
    for _ in range(20):
        residuals = lags - (constants[labels] + slope * positions)
        scale = max(mad_sigma(residuals), 1e-5)
        w = weights * np.clip(1.0 - (residuals / (6.0 * scale)) ** 2, 0.0, None) ** 2
        total = np.maximum(np.bincount(labels, w, count), 1e-30)
        middle = np.bincount(labels, w * positions, count) / total
        height = np.bincount(labels, w * lags, count) / total
        x, y = positions - middle[labels], lags - height[labels]
        inertia = float((w * x * x).sum())
        # Pieces with one window, or with rejected windows only, do not determine the drift.
        if inertia <= 1e-12 or float(w.sum()) <= 1e-12:
            break
        before = slope, constants
        slope = float((w * x * y).sum()) / inertia
        constants = np.where(total > 1e-30, height - slope * middle, constants)
        left = lags - (constants[labels] + slope * positions)
        variance = float((w * left * left).sum()) / max(len(lags) - count - 1, 1) * len(lags) / float(w.sum())
        mean_weight = float(w.sum()) / len(lags)
        error = float(np.sqrt(variance * mean_weight / inertia))
        constant_errors = np.sqrt(variance * mean_weight / total + (error * middle) ** 2)
        constant_errors = np.where(total > 1e-30, constant_errors, np.inf)
        if abs(before[0] - slope) < 1e-15 and float(np.abs(before[1] - constants).max()) < 1e-9:
            break
    nearest = present[np.maximum(np.searchsorted(present, np.arange(count), side="right") - 1, 0)]
    offsets = np.concatenate(([0.0], np.cumsum(steps if steps is not None else np.zeros(count - 1))))
    constants = constants[nearest] + offsets - offsets[nearest]
    return PieceFit(constants, slope * 1e6, constant_errors, error * 1e6)


def with_integer_steps(
    fit: PieceFit, positions: Array, lags: Array, weights: Array, labels: Labels, sample_period: float, floor: float
) -> PieceFit | None:
    """Refit all pieces as one line with steps of whole wet samples; None if the windows contradict that.

    An interface loses whole samples of `sample_period` dry samples each. One constant instead of one for each piece
    gives a far more precise drift. The windows contradict it if separate constants fit much better. `floor` is the
    limit of the precision of any lag, in samples rms.
    """
    count = len(fit.lags)
    if count < 2:
        return None
    whole = np.concatenate(([0.0], np.cumsum(np.round(np.diff(fit.lags) / sample_period) * sample_period)))
    line = fit_pieces(positions, lags - whole[labels], weights, np.zeros(len(positions), np.int64), 1)
    joint, separate = lags - whole[labels] - line.at(positions, np.zeros_like(labels)), lags - fit.at(positions, labels)
    # Clip outliers equally in both.
    limit = 6.0 * mad_sigma(separate) + floor
    squares = [float(np.square(np.clip(left, -limit, limit)).mean()) + floor**2 for left in (joint, separate)]
    # Windows overlap by half and share programme: count four as one independent sample.
    if 0.25 * len(lags) * np.log(squares[0] / squares[1]) > MAX_STEP_SIGMAS**2:
        return None
    return replace(line, lags=line.lags[0] + whole, lag_errors=np.full(count, line.lag_errors[0]))
