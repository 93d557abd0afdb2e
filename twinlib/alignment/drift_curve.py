"""The drift curve of a clock that varies: a smoothing spline through the lags of windows, with standard errors.

`scipy.interpolate.make_smoothing_spline` has neither a constant for each piece, nor a harmonic penalty (needed to
continue a curve across pauses), nor standard errors. The same equations in `scipy.sparse` take 2.4 times as long.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import cholesky_banded, solveh_banded
from scipy.ndimage import median_filter

from twinlib.alignment.delay import Real
from twinlib.resampling import Labels

WINDOWS_PER_HALF_PERIOD = 4
"""Windows per half period of the fastest variation that a fit tries."""

INTERVALS_PER_HALF_PERIOD = 2
"""Spline intervals per half period of the fastest variation, which the spline attenuates by half."""

TWICING_PASSES = 3
"""Smoothing passes, each applied to the residual of the previous passes."""

EXTENSION_WINDOWS = 16
"""Extension of a curve beyond the first and the last window, in windows."""

MAX_INTERVALS_PER_HALF_PERIOD = 128
"""Limit of the intervals for each half period: beyond it, rounding errors dominate."""

WINDOWS_PER_SAMPLE = 4.0
"""Windows per independent sample: windows overlap by half and share programme."""


@dataclass(frozen=True)
class DriftCurve:
    """A slow curve about a line as knots (positions, samples), and the constant of each piece with windows, in samples.

    `errors` are the standard errors of the knots in samples. The weighted mean of the curve is 0.
    """

    knots: tuple[Real, Real]
    errors: Real
    constants: Real


def fit_drift_curve(position: Real, residual: Real, weights: Real, labels: Labels) -> DriftCurve | None:
    """Fit a smoothing spline with the flexibility of lowest information criterion; None if no curve lowers it.

    `residual` in samples is that of the detected windows, in order, `weights` are their inverse variances, `labels` the
    numbers of their pieces, each with its own constant. Where windows are missing or imprecise, the curve continues as
    a parabola or, because rotating parts cause wow and flutter, as the dominant oscillation (harmonic acceleration,
    Ramsay & Silverman 2005). The criterion is Schwarz's with parameters counted twice, because windows overlap.
    """
    if len(position) < 4 * WINDOWS_PER_HALF_PERIOD:
        return None
    _, pieces = np.unique(labels, return_inverse=True)
    start = _robust_weights(_neighbour_residuals(residual), weights)
    best, lowest = None, _bic(_without_medians(residual, pieces), weights, 0)
    seconds = float(position[-1] - position[0])
    for omega in (0.0, _dominant_frequency(position, residual, start)):
        # Eight intervals a period resolve an oscillation to a thousandth.
        min_intervals = math.ceil(8.0 * omega * seconds / (2.0 * np.pi))
        half_periods = 1
        while WINDOWS_PER_HALF_PERIOD * half_periods <= len(position):
            intervals = max(INTERVALS_PER_HALF_PERIOD * half_periods, min_intervals)
            if intervals <= MAX_INTERVALS_PER_HALF_PERIOD * half_periods:
                basis, places = _make_basis(position, intervals, omega)
                stiffness = len(position) / intervals * (intervals / half_periods / np.pi) ** 6
                found = _fit_spline(basis, _harmonic_penalty(basis, omega, stiffness), residual, weights, start, pieces)
                criterion = _bic(found.deviation, weights, half_periods + 3 + 2 * (omega > 0.0))
                if criterion < lowest:
                    knots = places, basis.at(places, found.coefficients)
                    errors = _standard_errors(basis, found.precision, found.penalty, places)
                    best, lowest = DriftCurve(knots, errors, found.constants), criterion
            half_periods *= 2
    return best


@dataclass(frozen=True)
class _SplineFit:
    """Spline coefficients, piece constants, the residual of the windows, their weights, and the roughness penalty."""

    coefficients: Real
    constants: Real
    deviation: Real
    precision: Real
    penalty: Real


def _fit_spline(
    basis: "_Basis", unit: Real, residual: Real, weights: Real, precision: Real, pieces: Labels
) -> _SplineFit:
    """Fit a spline robustly, starting with the weights `precision`; `unit` is the penalty for weights of 1."""
    for _ in range(6):
        # The bandwidth of the spline grows with the sixth root of the weights.
        penalty = float(np.mean(precision ** (1 / 6))) ** 6 * unit
        coefficients, constants, deviation = np.zeros(basis.count), np.zeros(pieces.max() + 1), residual
        # Twicing (Tukey 1977): a single pass underestimates the curve at the ends and next to pauses.
        for _ in range(TWICING_PASSES):
            more = _solve(basis, deviation, precision, pieces, penalty)
            coefficients, constants = coefficients + more[0], constants + more[1]
            deviation = residual - basis.values(coefficients) - constants[pieces]
        precision = _robust_weights(deviation, weights)
    return _SplineFit(coefficients, constants, deviation, precision, penalty)


def _neighbour_residuals(residual: Real) -> Real:
    """Return the difference of each window from its neighbours, or, at the ends, from the line through the next two.

    The spline itself would follow an outlier at an end.
    """
    deviation = residual - median_filter(residual, 5, mode="reflect")
    deviation[0] = residual[0] - 2.0 * residual[1] + residual[2]
    deviation[-1] = residual[-1] - 2.0 * residual[-2] + residual[-3]
    return np.asarray(deviation)


def _dominant_frequency(position: Real, residual: Real, precision: Real) -> float:
    """Return the frequency of the strongest oscillation of a track, in radians a sample."""
    cell = 0.5 * float(np.median(np.diff(position)))
    places = np.round((position - position[0]) / cell).astype(np.int64)
    values = np.bincount(places, precision * (residual - np.average(residual, weights=precision)))
    size = 1 << int(np.ceil(np.log2(8 * len(values))))
    # From two periods in the take to four windows a period.
    first, last = 2 * size // len(values), size // 8
    power = np.abs(np.fft.rfft(values, size))[first:last]
    return float(2.0 * np.pi * (first + int(power.argmax())) / size / cell) if len(power) else 0.0


def _robust_weights(deviation: Real, weights: Real) -> Real:
    """Return robust inverse variances: the windows' own variances plus the common scatter, with outliers down-weighted.

    The windows' own variances count at most twice their observed size.
    """
    own = min(1.0, 2.0 * _mad_limit(deviation * np.sqrt(weights)) / 6.0) ** 2
    variance = own / weights + (_mad_limit(deviation) / 6.0) ** 2
    return np.asarray(np.clip(1.0 - deviation**2 / (36.0 * variance), 1e-3, None) ** 2 / variance)


def biweight(deviation: Real) -> Real:
    """Return Tukey's biweight of each deviation, at least 0.001."""
    return np.asarray(np.clip(1.0 - (deviation / _mad_limit(deviation)) ** 2, 1e-3, None) ** 2)


def _mad_limit(deviation: Real) -> float:
    """Return six standard deviations, estimated by the median absolute deviation."""
    return 6.0 * max(1.4826 * float(np.median(np.abs(deviation))), 1e-4)


def _without_medians(values: Real, labels: Labels) -> Real:
    """Return the values without the median of each piece."""
    medians = np.zeros(int(labels.max()) + 1)
    for label in np.unique(labels).tolist():
        medians[label] = np.median(values[labels == label])
    return np.asarray(values - medians[labels])


def _bic(deviation: Real, weights: Real, parameters: int) -> float:
    """Return Schwarz's criterion of a fit's deviations; parameters count twice, because windows overlap."""
    limit = _mad_limit(deviation)
    mean = float(np.average(np.clip(deviation, -limit, limit) ** 2, weights=weights))
    return len(deviation) * math.log(mean + 1e-10) + 2.0 * parameters * math.log(len(deviation))


@dataclass(frozen=True)
class _Basis:
    """Cubic B-splines at the windows: the four nonzero splines `(windows, 4)` and the number of the first."""

    knots: Real
    first: Labels
    four: Real

    @property
    def count(self) -> int:
        return len(self.knots) - 4

    def values(self, coefficients: Real) -> Real:
        """Evaluate a spline at the windows."""
        return np.asarray((self.four * coefficients[self.first[:, None] + np.arange(4)]).sum(axis=1))

    def at(self, places: Real, coefficients: Real) -> Real:
        """Evaluate a spline anywhere."""
        return np.asarray(BSpline(self.knots, coefficients, 3)(places))


def _design(knots: Real, places: Real) -> tuple[Labels, Real]:
    """Return the number of the first nonzero B-spline at each place, and the four nonzero splines `(places, 4)`."""
    # Rounding may place the last window beyond the last interval.
    matrix = BSpline.design_matrix(np.clip(places, knots[3], knots[-4]), knots, 3)
    return matrix.indices[::4].astype(np.int64), matrix.data.reshape(-1, 4)


def _make_basis(position: Real, intervals: int, omega: float) -> tuple[_Basis, Real]:
    """Return B-splines with uniform intervals, and places whose values determine the curve.

    They extend beyond the first and last window by some windows, or by a period of the oscillation `omega`.
    """
    length = float(position[-1] - position[0]) / intervals
    reach = EXTENSION_WINDOWS * float(np.median(np.diff(position)))
    reach = max(reach, 2.0 * np.pi / omega) if omega > 0.0 else reach
    more = math.ceil(reach / length)
    first, count = float(position[0]) - more * length, intervals + 2 * more
    knots = np.asarray(first + length * np.arange(-3, count + 4), np.float64)
    basis = _Basis(knots, *_design(knots, position))
    # Four places an interval: a natural spline through them differs only at its very ends.
    places = first + length * np.arange(4 * count + 1) / 4.0
    return basis, places[(places > position[0] - reach) & (places < position[-1] + reach)]


def _harmonic_penalty(basis: _Basis, omega: float, stiffness: float) -> Real:
    """Return the banded penalty `(4, splines)` of curves other than a parabola or an oscillation `omega`."""
    factor = 1.0 + 2.0 * math.cos(omega * float(basis.knots[1] - basis.knots[0]))
    third, count = np.array([-1.0, factor, -factor, 1.0]), basis.count
    banded = np.zeros((4, count))
    for low in range(4):
        for high in range(low, 4):
            banded[high - low, low : count - 3 + low] += stiffness * third[low] * third[high]
    return banded


def _normal_equations(basis: _Basis, weights: Real, penalty: Real) -> Real:
    """Return the banded normal equations of a spline, `(4, splines)`."""
    banded = penalty.copy()
    weighted = weights[:, None] * basis.four
    for low in range(4):
        for high in range(low, 4):
            products = weighted[:, low] * basis.four[:, high]
            banded[high - low] += np.bincount(basis.first + low, products, basis.count)
    # Regularises intervals whose windows are nearly rejected.
    banded[0] *= 1.0 + 1e-10
    return banded


def _standard_errors(basis: _Basis, weights: Real, penalty: Real, places: Real) -> Real:
    """Return the standard errors of a spline at some places."""
    inverse = np.zeros((4, basis.count + 3))
    _invert(cholesky_banded(_normal_equations(basis, weights, penalty), lower=True), inverse)
    first, four = _design(basis.knots, places)
    variance = np.zeros(len(places))
    for low in range(4):
        for high in range(4):
            variance += four[:, low] * four[:, high] * inverse[abs(high - low), first + min(low, high)]
    return np.asarray(np.sqrt(WINDOWS_PER_SAMPLE * np.maximum(variance, 0.0)))


@numba.njit(cache=True)
def _invert(factor: Real, inverse: Real) -> None:
    # The diagonals of the inverse follow from the last column backwards (Takahashi et al. 1973).
    count = factor.shape[1]
    for j in range(count - 1, -1, -1):
        for d in range(3, -1, -1):
            if j + d >= count:
                continue
            total = 0.0
            for k in range(1, min(4, count - j)):
                total += factor[k, j] * inverse[abs(k - d), j + min(k, d)]
            own = 1.0 / factor[0, j] if d == 0 else 0.0
            inverse[d, j] = (own - total) / factor[0, j]


def _solve(basis: _Basis, values: Real, weights: Real, pieces: Labels, penalty: Real) -> tuple[Real, Real]:
    """Solve the joint least-squares problem of the spline and the piece constants; return coefficients, constants.

    The banded spline part of the normal equations is eliminated (Schur complement).
    """
    count, own = basis.count, int(pieces.max()) + 1
    weighted = weights[:, None] * basis.four
    shared, right = np.zeros((count, own)), np.zeros(count)
    for number in range(4):
        index = basis.first + number
        right += np.bincount(index, weighted[:, number] * values, count)
        shared += np.bincount(index * own + pieces, weighted[:, number], count * own).reshape(count, own)
    solved = solveh_banded(_normal_equations(basis, weights, penalty), np.column_stack((right, shared)), lower=True)
    alone, through = solved[:, 0], solved[:, 1:]
    total = np.bincount(pieces, weights, own)
    left = np.diag(total) - np.einsum("ij,ik->jk", shared, through)
    rest = np.bincount(pieces, weights * values, own) - (shared * alone[:, None]).sum(axis=0)
    # A common constant is ambiguous: take the smallest solution, then a curve with mean 0.
    unit = np.sqrt(total)
    constants = np.linalg.lstsq(left / np.outer(unit, unit), rest / unit, rcond=1e-8)[0] / unit
    coefficients = alone - (through * constants).sum(axis=1)
    mean = float(np.average(basis.values(coefficients), weights=weights))
    return coefficients - mean, constants + mean
