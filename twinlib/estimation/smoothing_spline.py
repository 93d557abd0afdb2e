"""Robust smoothing spline through the lags of windows, with standard errors: the curve of a clock that varies.

`scipy.interpolate.make_smoothing_spline` has neither a constant for each piece, nor a harmonic penalty (needed to
continue a curve across pauses), nor standard errors.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import median_filter
from scipy.sparse.linalg import splu

from twinlib.estimation.delay import Real
from twinlib.estimation.robust import mad_limit
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

ROWS_AT_ONCE = 256
"""Places whose standard errors are computed together."""

WINDOWS_PER_SAMPLE = 4.0
"""Windows per independent sample: windows overlap by half and share programme."""


@dataclass(frozen=True)
class SmoothCurve:
    """A slow curve about a line as knots (positions, samples), and the constant of each piece with windows, in samples.

    `errors` are the standard errors of the knots in samples. The weighted mean of the curve is 0.
    """

    knots: tuple[Real, Real]
    errors: Real
    constants: Real


def fit_smoothing_spline(position: Real, residual: Real, weights: Real, labels: Labels) -> SmoothCurve | None:
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
                stiffness = len(position) / intervals * (intervals / half_periods / np.pi) ** 6
                found = _fit_spline(
                    _make_basis(position, intervals, omega, stiffness), residual, weights, start, pieces
                )
                criterion = _bic(found.deviation, weights, half_periods + 3 + 2 * (omega > 0.0))
                if criterion < lowest:
                    best, lowest = found, criterion
            half_periods *= 2
    return best.curve() if best is not None else None


@dataclass(frozen=True)
class _Basis:
    """Cubic B-splines with uniform knots, their `design` matrix `(windows, splines)`, and the penalty for weights of 1.

    The values of a curve at `places` determine it.
    """

    knots: Real
    places: Real
    design: sparse.csr_array
    penalty: sparse.csr_array


@dataclass(frozen=True)
class _SplineFit:
    """Spline coefficients, piece constants, the residual of the windows, and the normal matrix of the spline."""

    basis: _Basis
    coefficients: Real
    constants: Real
    deviation: Real
    normal: sparse.csc_array

    def curve(self) -> SmoothCurve:
        """Return the values of the spline and their standard errors."""
        places = self.basis.places
        solve, variance = splu(self.normal).solve, []
        from scipy.interpolate import BSpline  # Imported here: few takes need it, and it takes long.

        # A few rows at a time: the inverse of a band matrix is dense.
        for part in np.array_split(places, -(-len(places) // ROWS_AT_ONCE)):
            rows = BSpline.design_matrix(part, self.basis.knots, 3, extrapolate=True).toarray()
            variance.append((rows * solve(rows.T).T).sum(axis=1))
        errors = np.sqrt(WINDOWS_PER_SAMPLE * np.maximum(np.concatenate(variance), 0.0))
        return SmoothCurve((places, BSpline(self.basis.knots, self.coefficients, 3)(places)), errors, self.constants)


def _fit_spline(basis: _Basis, residual: Real, weights: Real, precision: Real, pieces: Labels) -> _SplineFit:
    """Fit a spline and the piece constants robustly, starting with the weights `precision`."""
    count, own = basis.design.shape[1], int(pieces.max()) + 1
    membership = sparse.csr_array((np.ones(len(pieces)), (np.arange(len(pieces)), pieces)), (len(pieces), own))
    joint = sparse.hstack((basis.design, membership), format="csr")
    transposed, entries = joint.T, np.diff(joint.indptr)
    penalty = sparse.block_diag((basis.penalty, sparse.csr_array((own, own))), format="csc")
    for _ in range(6):
        weighted = sparse.csr_array(
            (joint.data * np.repeat(precision, entries), joint.indices, joint.indptr), joint.shape
        )
        # The bandwidth of the spline grows with the sixth root of the weights.
        normal = sparse.csc_array(transposed @ weighted + float(np.mean(precision ** (1 / 6))) ** 6 * penalty)
        # Regularises the common constant, which is ambiguous, and intervals whose windows are nearly rejected.
        diagonal = normal.diagonal()
        normal.setdiag(diagonal + 1e-10 * diagonal)
        solve = splu(normal).solve
        solution, deviation = np.zeros(count + own), residual
        # Twicing (Tukey 1977): a single pass underestimates the curve at the ends and next to pauses.
        for _ in range(TWICING_PASSES):
            solution = solution + solve(transposed @ (precision * deviation))
            deviation = residual - joint @ solution
        mean = float(np.average(basis.design @ solution[:count], weights=precision))
        precision = _robust_weights(deviation, weights)
    return _SplineFit(basis, solution[:count] - mean, solution[count:] + mean, deviation, normal[:count, :count])


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
    own = min(1.0, 2.0 * mad_limit(deviation * np.sqrt(weights)) / 6.0) ** 2
    variance = own / weights + (mad_limit(deviation) / 6.0) ** 2
    return np.asarray(np.clip(1.0 - deviation**2 / (36.0 * variance), 1e-3, None) ** 2 / variance)


def _without_medians(values: Real, labels: Labels) -> Real:
    """Return the values without the median of each piece."""
    medians = np.zeros(int(labels.max()) + 1)
    for label in np.unique(labels).tolist():
        medians[label] = np.median(values[labels == label])
    return np.asarray(values - medians[labels])


def _bic(deviation: Real, weights: Real, parameters: int) -> float:
    """Return Schwarz's criterion of a fit's deviations; parameters count twice, because windows overlap."""
    limit = mad_limit(deviation)
    mean = float(np.average(np.clip(deviation, -limit, limit) ** 2, weights=weights))
    return len(deviation) * math.log(mean + 1e-10) + 2.0 * parameters * math.log(len(deviation))


def _make_basis(position: Real, intervals: int, omega: float, stiffness: float) -> _Basis:
    """Return B-splines with uniform intervals that extend beyond the windows, some windows or a period of `omega`.

    The penalty is that of curves other than a parabola or an oscillation `omega`.
    """
    length = float(position[-1] - position[0]) / intervals
    reach = EXTENSION_WINDOWS * float(np.median(np.diff(position)))
    reach = max(reach, 2.0 * np.pi / omega) if omega > 0.0 else reach
    more = math.ceil(reach / length)
    first, count = float(position[0]) - more * length, intervals + 2 * more
    knots = np.asarray(first + length * np.arange(-3, count + 4), np.float64)
    # Four places an interval: a natural spline through them differs only at its very ends.
    places = first + length * np.arange(4 * count + 1) / 4.0
    places = places[(places > position[0] - reach) & (places < position[-1] + reach)]
    from scipy.interpolate import BSpline

    factor = 1.0 + 2.0 * math.cos(omega * length)
    third = sparse.diags_array([-1.0, factor, -factor, 1.0], offsets=[0, 1, 2, 3], shape=(count, count + 3))
    return _Basis(knots, places, BSpline.design_matrix(position, knots, 3), stiffness * third.T @ third)
