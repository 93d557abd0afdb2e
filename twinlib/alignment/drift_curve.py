"""The curve that wandering clocks follow: a smoothing spline through what windows tell, and how well it is known."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import median_filter

from twinlib.alignment.delay import Real
from twinlib.alignment.time_map import Labels

WINDOWS_PER_HALF_PERIOD = 4
"""Windows to each half period of the fastest swing that is tried."""

INTERVALS_PER_HALF_PERIOD = 2
"""Of the spline, to each half period of the fastest swing that it still follows by half."""

TWICING_PASSES = 3
"""Times that a curve is smoothed, each time what the ones before left."""

EXTENSION_WINDOWS = 16
"""Windows for which a curve goes on beyond the first and the last."""

MAX_INTERVALS_PER_HALF_PERIOD = 128
"""Intervals to each half period of that fastest swing: beyond it, rounding tells."""

WINDOWS_PER_SAMPLE = 4.0
"""Windows overlap by half and hold programme alike: of so many, one is another witness."""


@dataclass(frozen=True)
class DriftCurve:
    """A slow curve about a line as knots (positions, samples), and what each piece that has windows lies off it by.

    `errors` are the standard errors of the knots and `constants` what the pieces lie off, in samples, in their order;
    the curve's weighted mean is none. `cost` is that of what the curve leaves.
    """

    knots: tuple[Real, Real]
    errors: Real
    constants: Real
    cost: float


def fit_drift_curve(position: Real, residual: Real, weights: Real, labels: Labels) -> DriftCurve | None:
    """The slow curve about a line: a smoothing spline that bends as fast as pays; None where none pays.

    `residual` is that of the windows heard, in order, `weights` their inverse variances; `labels` number the pieces
    they lie on, each with a constant of its own. Where windows tell little, or there are none, the curve goes on as it
    does beside them: along a parabola or, for what turns makes a tape's speed swing, along the strongest swing there is
    (Ramsay & Silverman 2005, harmonic acceleration). What bends twice as fast must pay by Schwarz's criterion, counted
    double, for neighbouring windows overlap.
    """
    if len(position) < 4 * WINDOWS_PER_HALF_PERIOD:
        return None
    _, pieces = np.unique(labels, return_inverse=True)
    start = _robust_weights(_neighbour_residuals(residual), weights)
    best, cheapest = None, bic(_without_medians(residual, pieces), weights, 0)
    seconds = float(position[-1] - position[0])
    for swing in (0.0, _dominant_frequency(position, residual, start)):
        # Eight intervals follow a swing to a thousandth.
        least = math.ceil(8.0 * swing * seconds / (2.0 * np.pi))
        bends = 1
        while WINDOWS_PER_HALF_PERIOD * bends <= len(position):
            intervals = max(INTERVALS_PER_HALF_PERIOD * bends, least)
            if intervals <= MAX_INTERVALS_PER_HALF_PERIOD * bends:
                basis, places = _make_basis(position, intervals, swing)
                stiffness = len(position) / intervals * (intervals / bends / np.pi) ** 6
                found = _fit_spline(basis, _harmonic_penalty(basis, swing, stiffness), residual, weights, start, pieces)
                price = bic(found.off, weights, bends + 3 + 2 * (swing > 0.0))
                if price < cheapest:
                    knots = places, basis.at(places, found.coefficients)
                    errors = _standard_errors(basis, found.worth, found.penalty, places)
                    best, cheapest = DriftCurve(knots, errors, found.constants, price), price
            bends *= 2
    return best


@dataclass(frozen=True)
class _SplineFit:
    """A spline, the constants of the pieces, what both leave of the windows, and what these and the bending count."""

    coefficients: Real
    constants: Real
    off: Real
    worth: Real
    penalty: Real


def _fit_spline(basis: "_Basis", unit: Real, residual: Real, weights: Real, worth: Real, pieces: Labels) -> _SplineFit:
    """The spline that agrees with most windows; first they count by `worth`. `unit`: the penalty if all count 1."""
    for _ in range(6):
        # Sixth roots, for so fast a curve can bend with the weight of its windows.
        penalty = float(np.mean(worth ** (1 / 6))) ** 6 * unit
        coefficients, constants, off = np.zeros(basis.count), np.zeros(pieces.max() + 1), residual
        # Twicing (Tukey 1977): a single time falls short at the ends and beside pauses.
        for _ in range(TWICING_PASSES):
            more = _solve(basis, off, worth, pieces, penalty)
            coefficients, constants = coefficients + more[0], constants + more[1]
            off = residual - basis.values(coefficients) - constants[pieces]
        worth = _robust_weights(off, weights)
    return _SplineFit(coefficients, constants, off, worth, penalty)


def _neighbour_residuals(residual: Real) -> Real:
    """How far windows lie off their neighbours, or, at the ends, off the line through the next two.

    A spline goes through a mistaken window at its end and then finds it right.
    """
    beside = residual - median_filter(residual, 5, mode="reflect")
    beside[0] = residual[0] - 2.0 * residual[1] + residual[2]
    beside[-1] = residual[-1] - 2.0 * residual[-2] + residual[-3]
    return np.asarray(beside)


def _dominant_frequency(position: Real, residual: Real, worth: Real) -> float:
    """The strongest swing of a track, in radians a sample: where its spectrum is highest."""
    cell = 0.5 * float(np.median(np.diff(position)))
    places = np.round((position - position[0]) / cell).astype(np.int64)
    values = np.bincount(places, worth * (residual - np.average(residual, weights=worth)))
    size = 1 << int(np.ceil(np.log2(8 * len(values))))
    # Two swings a take are the least, and the highest has four windows each.
    first, last = 2 * size // len(values), size // 8
    power = np.abs(np.fft.rfft(values, size))[first:last]
    return float(2.0 * np.pi * (first + int(power.argmax())) / size / cell) if len(power) else 0.0


def _robust_weights(off: Real, weights: Real) -> Real:
    """The inverse variances of windows, with what all of them scatter; those that are off by far more are mistaken.

    The errors that windows have of their own count twice what is seen of them at most.
    """
    own = min(1.0, 2.0 * _mad_limit(off * np.sqrt(weights)) / 6.0) ** 2
    variance = own / weights + (_mad_limit(off) / 6.0) ** 2
    return np.asarray(np.clip(1.0 - off**2 / (36.0 * variance), 1e-3, None) ** 2 / variance)


def biweight(off: Real) -> Real:
    """What a window counts by: what stands out by far is mistaken (Tukey's biweight)."""
    return np.asarray(np.clip(1.0 - (off / _mad_limit(off)) ** 2, 1e-3, None) ** 2)


def _mad_limit(off: Real) -> float:
    """What no window is off by that is not mistaken: six standard deviations, told by the median."""
    return 6.0 * max(1.4826 * float(np.median(np.abs(off))), 1e-4)


def _without_medians(values: Real, labels: Labels) -> Real:
    """The values without the median of each piece."""
    medians = np.zeros(int(labels.max()) + 1)
    for label in np.unique(labels).tolist():
        medians[label] = np.median(values[labels == label])
    return np.asarray(values - medians[labels])


def bic(off: Real, weights: Real, parameters: int) -> float:
    """Schwarz's criterion of what a fit leaves, its parameters counted double, for neighbouring windows overlap."""
    most = _mad_limit(off)
    mean = float(np.average(np.clip(off, -most, most) ** 2, weights=weights))
    return len(off) * math.log(mean + 1e-10) + 2.0 * parameters * math.log(len(off))


@dataclass(frozen=True)
class _Basis:
    """Cubic B-splines at the windows: the four that are not zero there, `(windows, 4)`, and the number of the first."""

    knots: Real
    first: Labels
    four: Real

    @property
    def count(self) -> int:
        return len(self.knots) - 4

    def values(self, coefficients: Real) -> Real:
        """A spline at the windows."""
        return np.asarray((self.four * coefficients[self.first[:, None] + np.arange(4)]).sum(axis=1))

    def at(self, places: Real, coefficients: Real) -> Real:
        """A spline anywhere."""
        from scipy.interpolate import BSpline

        return np.asarray(BSpline(self.knots, coefficients, 3)(places))


def _design(knots: Real, places: Real) -> tuple[Labels, Real]:
    """Of the splines that are not zero at some places the number of the first, and all four, `(places, 4)`."""
    # Most clocks are lines, and these imports take longer than to align a minute.
    from scipy.interpolate import BSpline

    # The last window lies within the last interval but for rounding.
    matrix = BSpline.design_matrix(np.clip(places, knots[3], knots[-4]), knots, 3)
    return matrix.indices[::4].astype(np.int64), matrix.data.reshape(-1, 4)


def _make_basis(position: Real, intervals: int, swing: float) -> tuple[_Basis, Real]:
    """Splines whose intervals last as long each; where one may be sampled to be known again.

    They go on beyond the first window and the last one for some more of them, and for a turn of the `swing`.
    """
    length = float(position[-1] - position[0]) / intervals
    reach = EXTENSION_WINDOWS * float(np.median(np.diff(position)))
    reach = max(reach, 2.0 * np.pi / swing) if swing > 0.0 else reach
    more = math.ceil(reach / length)
    first, count = float(position[0]) - more * length, intervals + 2 * more
    knots = np.asarray(first + length * np.arange(-3, count + 4), np.float64)
    basis = _Basis(knots, *_design(knots, position))
    # Four places an interval: the natural spline through them bends otherwise only at its very ends.
    places = first + length * np.arange(4 * count + 1) / 4.0
    return basis, places[(places > position[0] - reach) & (places < position[-1] + reach)]


def _harmonic_penalty(basis: _Basis, swing: float, stiffness: float) -> Real:
    """What a curve costs that is neither a parabola nor a `swing`: the diagonals of a banded matrix, `(4, splines)`."""
    turn = 1.0 + 2.0 * math.cos(swing * float(basis.knots[1] - basis.knots[0]))
    third, count = np.array([-1.0, turn, -turn, 1.0]), basis.count
    banded = np.zeros((4, count))
    for low in range(4):
        for high in range(low, 4):
            banded[high - low, low : count - 3 + low] += stiffness * third[low] * third[high]
    return banded


def _normal_equations(basis: _Basis, weights: Real, penalty: Real) -> Real:
    """The diagonals of the normal equations of a spline, `(4, splines)`."""
    banded = penalty.copy()
    weighted = weights[:, None] * basis.four
    for low in range(4):
        for high in range(low, 4):
            products = weighted[:, low] * basis.four[:, high]
            banded[high - low] += np.bincount(basis.first + low, products, basis.count)
    # So little that nothing moves, and enough where an interval has only windows that hardly count.
    banded[0] *= 1.0 + 1e-10
    return banded


def _standard_errors(basis: _Basis, weights: Real, penalty: Real, places: Real) -> Real:
    """The standard errors of a spline at some places."""
    from scipy.linalg import cholesky_banded

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
    # What lies on the diagonals of the inverse follows from the last on (Takahashi et al. 1973).
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
    """The spline and the constants of the pieces that together lie nearest to the values: coefficients, constants.

    One least-squares problem: where a piece ends within a swing, what is its constant and what the curve is told only
    by both. Of its normal equations, those of the spline are banded and are eliminated.
    """
    from scipy.linalg import solveh_banded

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
    # A constant may be the curve's or that of all pieces: of these solutions the smallest, then a curve without one.
    unit = np.sqrt(total)
    constants = np.linalg.lstsq(left / np.outer(unit, unit), rest / unit, rcond=1e-8)[0] / unit
    coefficients = alone - (through * constants).sum(axis=1)
    mean = float(np.average(basis.values(coefficients), weights=weights))
    return coefficients - mean, constants + mean
