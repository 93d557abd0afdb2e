"""Whether the clocks wander, the part of the residual that neighbouring windows share, and the curve they follow."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import cholesky_banded, solveh_banded
from scipy.ndimage import median_filter
from scipy.special import fdtri

from twinlib.alignment.line import Labels
from twinlib.alignment.spectra import Real
from twinlib.alignment.track import NEARER, Measured, agreeing

BLOCK_SECONDS = 10.0
"""Clocks wander in many seconds; a device's phase changes with the programme, from window to window."""

LEAST_WINDOWS = 4
"""Windows that a block holds at least."""

LEAST_EXCESS = 6.0
"""The variance of block means over that which scatter explains, below which nothing wanders, however long the take:
neighbouring windows hold programme alike, and then a device's phase is alike."""

LEAST_COMMON = 0.7
"""Of the larger of the variances of two halves of the band, that both must share where it is the clock."""

LEAST_ALIKE = 0.6
"""Of the larger variance, that the smaller one of lows and highs has where a clock swings: an all-pass that breathes
delays highs by two thirds of what it delays lows."""

MOST_APART = 0.1
"""Of a curve, by which lows and highs may follow it differently: those of clocks do by a hundredth, and an all-pass
that breathes delays them by shares that are a third apart."""

INTERVALS = 2
"""Of the spline, to each half period of the fastest swing that it still follows by half."""

PASSES = 3
"""Times that a curve is smoothed, each time what the ones before left."""

BEYOND = 16
"""Windows for which a curve goes on beyond the first and the last."""

MOST_STIFF = 128
"""Intervals to each half period of that fastest swing: beyond it, rounding tells."""

ALIKE = 4.0
"""Windows overlap by half and hold programme alike: of so many, one is another witness."""

UNSURE = 2.5
"""Standard errors within which they may all the same."""

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
    What its level explains (`less_level`) is no clock's, however slowly it changes. The ratio of the two variances
    follows Fisher's F distribution. With too few windows for that, the plain residual.
    """
    fits = agreeing(measured)
    count = int(fits.sum())
    if count < 2 * LEAST_WINDOWS:
        return residual_rms(measured) or 0.0
    length = _block(measured.position[fits], sample_rate)
    values = _clipped(less_level(measured.residual[fits], measured.level_db[fits]))
    chance = _chance(values) / length
    blocks = _means(values, length)
    variance = float(np.var(blocks, ddof=1))
    least = max(LEAST_EXCESS, float(fdtri(len(blocks) - 1, count - len(blocks), 1.0 - CHANCE)))
    return math.sqrt(variance - chance) if variance > least * chance else 0.0


def move_together(low: Measured, high: Measured, sample_rate: int) -> bool:
    """Whether the lags that the lows and the highs of the same windows tell change together, by windows or slowly.

    A clock takes all frequencies along. A device that distorts delays each by as much as the programme makes it to.
    """
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (low.weight[first] > 0) & (high.weight[second] > 0) & (low.sign[first] > 0) & (high.sign[second] > 0)
    if told.sum() < 2 * LEAST_WINDOWS:
        return True
    # The device delays either half by another constant.
    pair = [half - np.median(half[told]) for half in (low.residual[first], high.residual[second])]
    levels = low.level_db[first], high.level_db[second]
    told &= (np.abs(pair[0]) < NEARER) & (np.abs(pair[1]) < NEARER)
    if told.sum() < 2 * LEAST_WINDOWS:
        return True
    length = _block(low.position[first][told], sample_rate)
    a, b = (_clipped(less_level(half[told], level[told])) for half, level in zip(pair, levels, strict=True))
    for size in (1, length):
        means = np.array([_means(a, size), _means(b, size)])
        common = np.cov(means)
        explained = np.array([_chance(half) / size if size > 1 else 0.0 for half in (a, b)])
        own = np.maximum(np.diag(common) - explained, 1e-12)
        # What chance explains most of is no slow change.
        if (own < 0.5 * np.diag(common)).any():
            continue
        if float(common[0, 1]) > LEAST_COMMON * float(own.max()):
            return True
    return False


def common(low: Real, high: Real, level_db: Real) -> float:
    """The rms in samples of what the lags of lows and highs of the same windows share; 0 where they are not alike.

    What the level of the dry signal explains of either is not counted.
    """
    if len(low) < 2 * LEAST_WINDOWS:
        return 0.0
    spread = np.cov([_clipped(less_level(half, level_db)) for half in (low, high)])
    shared, (least, most) = float(spread[0, 1]), sorted(np.diag(spread).tolist())
    alike = shared > LEAST_COMMON * math.sqrt(least * most) and least > LEAST_ALIKE * most
    return math.sqrt(shared) if alike else 0.0


def takes_along(low: Measured, high: Measured, curve: Real) -> bool:
    """Whether lows and highs follow a `curve` alike, whose value is given at each window of the lows, as by a clock.

    The difference of the two lags has no part of a clock's curve in it; of a device's phase it has.
    """
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (low.weight[first] > 0) & (high.weight[second] > 0) & (low.sign[first] > 0) & (high.sign[second] > 0)
    apart = (high.residual[second] - low.residual[first])[told]
    if len(apart) < 2 * LEAST_WINDOWS:
        return True
    apart, swing = apart - np.median(apart), curve[first][told]
    trust = _trust(apart)
    swing = swing - np.average(swing, weights=trust)
    size = float((trust * swing**2).sum()) + 1e-30
    share = float((trust * swing * apart).sum()) / size
    # Windows overlap by half: every other one is another witness.
    error = math.sqrt(2.0 * float((trust * (apart - share * swing) ** 2).sum()) / float(trust.sum()) / size)
    return abs(share) < max(MOST_APART, UNSURE * error)


def less_level(values: Real, level_db: Real) -> Real:
    """The lags of windows in order without what the level of the dry signal explains of how neighbours differ.

    A clock hardly changes from one window to the next, and a device that distorts does, with what is played: how it
    answers levels, told by neighbours alone, holds for slow changes of the level, too. Loudness and its logarithm, with
    its square, are what the phase of compressors, clippers and transformers goes with.
    """
    loudness = 10.0 ** ((level_db - level_db.max()) / 20.0)
    decades = (level_db - level_db.mean()) / 20.0
    features = np.column_stack((loudness, decades, decades**2))
    # Windows may overlap their neighbour by half, so the next but one is the first independent of it.
    columns, change = features[2:] - features[:-2], values[2:] - values[:-2]
    if len(change) < 4 * features.shape[1]:
        return values
    trust, slopes = np.ones(len(change)), np.zeros(features.shape[1])
    for _ in range(6):
        root = np.sqrt(trust)
        slopes = np.linalg.lstsq(columns * root[:, None], change * root, rcond=1e-6)[0]
        trust = _trust(change - columns @ slopes)
    explained = features @ slopes
    return np.asarray(values - explained + np.median(explained))


def _block(position: Real, sample_rate: int) -> int:
    """How many windows make a block."""
    seconds = float(position[-1] - position[0]) / (len(position) - 1) / sample_rate
    return max(LEAST_WINDOWS, min(len(position) // 8, round(BLOCK_SECONDS / seconds)))


def _clipped(values: Real) -> Real:
    """The values about their median; what stands out by far counts no more than the rest."""
    values = values - np.median(values)
    most = 4.5 * float(np.median(np.abs(values)))
    return np.asarray(np.clip(values, -most, most))


def _chance(values: Real) -> float:
    """The variance of a window by itself."""
    # Windows may overlap their neighbour by half, so the next but one is the first independent of it.
    return float(np.mean((values[2:] - values[:-2]) ** 2)) / 2.0


def _means(values: Real, length: int) -> Real:
    return np.asarray(values[: len(values) // length * length].reshape(-1, length).mean(axis=1))


@dataclass(frozen=True)
class Bend:
    """A slow curve about a line as knots (positions, samples), and what each piece that has windows lies off it by.

    `errors` are the standard errors of the knots and `constants` what the pieces lie off, in samples, in their order;
    the curve's weighted mean is none. `cost` is that of what the curve leaves.
    """

    knots: tuple[Real, Real]
    errors: Real
    constants: Real
    cost: float


def bend(position: Real, residual: Real, weights: Real, labels: Labels) -> Bend | None:
    """The slow curve about a line: a smoothing spline that bends as fast as pays; None where none pays.

    `residual` is that of the windows heard, in order, `weights` their inverse variances; `labels` number the pieces
    they lie on, each with a constant of its own. Where windows tell little, or there are none, the curve goes on as it
    does beside them: along a parabola or, for what turns makes a tape's speed swing, along the strongest swing there is
    (Ramsay & Silverman 2005, harmonic acceleration). What bends twice as fast must pay by Schwarz's criterion, counted
    double, for neighbouring windows overlap.
    """
    if len(position) < 4 * LEAST_WINDOWS:
        return None
    _, pieces = np.unique(labels, return_inverse=True)
    start = _worth(_beside(residual), weights)
    best, cheapest = None, cost(_flat(residual, pieces), weights, 0)
    seconds = float(position[-1] - position[0])
    for swing in (0.0, _swing(position, residual, start)):
        # Eight intervals follow a swing to a thousandth.
        least = math.ceil(8.0 * swing * seconds / (2.0 * np.pi))
        bends = 1
        while LEAST_WINDOWS * bends <= len(position):
            intervals = max(INTERVALS * bends, least)
            if intervals <= MOST_STIFF * bends:
                basis, places = _basis(position, intervals, swing)
                worth = start
                for _ in range(6):
                    # Sixth roots, for so fast a curve can bend with the weight of its windows.
                    mean = float(np.mean(worth ** (1 / 6))) ** 6
                    stiffness = mean * len(position) / intervals * (intervals / bends / np.pi) ** 6
                    penalty = _penalty(basis, swing, stiffness)
                    coefficients, constants, off = np.zeros(basis.count), np.zeros(pieces.max() + 1), residual
                    # Twicing (Tukey 1977): a single time falls short at the ends and beside pauses.
                    for _ in range(PASSES):
                        more = _solved(basis, off, worth, pieces, penalty)
                        coefficients, constants = coefficients + more[0], constants + more[1]
                        off = residual - basis.values(coefficients) - constants[pieces]
                    worth = _worth(off, weights)
                price = cost(off, weights, bends + 3 + 2 * (swing > 0.0))
                if price < cheapest:
                    cheapest = price
                    errors = _errors(basis, worth, penalty, places)
                    best = Bend((places, basis.at(places, coefficients)), errors, constants, price)
            bends *= 2
    return best


def _beside(residual: Real) -> Real:
    """How far windows lie off their neighbours, or, at the ends, off the line through the next two.

    A spline goes through a mistaken window at its end and then finds it right.
    """
    beside = residual - median_filter(residual, 5, mode="reflect")
    beside[0] = residual[0] - 2.0 * residual[1] + residual[2]
    beside[-1] = residual[-1] - 2.0 * residual[-2] + residual[-3]
    return np.asarray(beside)


def _swing(position: Real, residual: Real, worth: Real) -> float:
    """The strongest swing of a track, in radians a sample: where its spectrum is highest."""
    cell = 0.5 * float(np.median(np.diff(position)))
    places = np.round((position - position[0]) / cell).astype(np.int64)
    values = np.bincount(places, worth * (residual - np.average(residual, weights=worth)))
    size = 1 << int(np.ceil(np.log2(8 * len(values))))
    # Two swings a take are the least, and the highest has four windows each.
    first, last = 2 * size // len(values), size // 8
    power = np.abs(np.fft.rfft(values, size))[first:last]
    return float(2.0 * np.pi * (first + int(power.argmax())) / size / cell) if len(power) else 0.0


def _worth(off: Real, weights: Real) -> Real:
    """The inverse variances of windows, with what all of them scatter; those that are off by far more are mistaken.

    The errors that windows have of their own count twice what is seen of them at most.
    """
    own = min(1.0, 2.0 * _most(off * np.sqrt(weights)) / 6.0) ** 2
    variance = own / weights + (_most(off) / 6.0) ** 2
    return np.asarray(np.clip(1.0 - off**2 / (36.0 * variance), 1e-3, None) ** 2 / variance)


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


def cost(off: Real, weights: Real, parameters: int) -> float:
    """Schwarz's criterion of what a fit leaves, its parameters counted double, for neighbouring windows overlap."""
    most = _most(off)
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
        return np.asarray(BSpline(self.knots, coefficients, 3)(places))


def _basis(position: Real, intervals: int, swing: float) -> tuple[_Basis, Real]:
    """Splines whose intervals last as long each; where one may be sampled to be known again.

    They go on beyond the first window and the last one for some more of them, and for a turn of the `swing`.
    """
    length = float(position[-1] - position[0]) / intervals
    reach = BEYOND * float(np.median(np.diff(position)))
    reach = max(reach, 2.0 * np.pi / swing) if swing > 0.0 else reach
    more = math.ceil(reach / length)
    first, count = float(position[0]) - more * length, intervals + 2 * more
    knots = first + length * np.arange(-3, count + 4)
    # The last window lies within the last interval but for rounding.
    matrix = BSpline.design_matrix(np.clip(position, knots[3], knots[-4]), knots, 3)
    basis = _Basis(np.asarray(knots, np.float64), matrix.indices[::4].astype(np.int64), matrix.data.reshape(-1, 4))
    # Four places an interval: the natural spline through them bends otherwise only at its very ends.
    places = first + length * np.arange(4 * count + 1) / 4.0
    return basis, places[(places > position[0] - reach) & (places < position[-1] + reach)]


def _penalty(basis: _Basis, swing: float, stiffness: float) -> Real:
    """What a curve costs that is neither a parabola nor a `swing`: the diagonals of a banded matrix, `(4, splines)`."""
    turn = 1.0 + 2.0 * math.cos(swing * float(basis.knots[1] - basis.knots[0]))
    third, count = np.array([-1.0, turn, -turn, 1.0]), basis.count
    banded = np.zeros((4, count))
    for low in range(4):
        for high in range(low, 4):
            banded[high - low, low : count - 3 + low] += stiffness * third[low] * third[high]
    return banded


def _normal(basis: _Basis, weights: Real, penalty: Real) -> Real:
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


def _errors(basis: _Basis, weights: Real, penalty: Real, places: Real) -> Real:
    """The standard errors of a spline at some places."""
    inverse = np.zeros((4, basis.count + 3))
    _invert(cholesky_banded(_normal(basis, weights, penalty), lower=True), inverse)
    matrix = BSpline.design_matrix(np.clip(places, basis.knots[3], basis.knots[-4]), basis.knots, 3)
    first, four = matrix.indices[::4].astype(np.int64), matrix.data.reshape(-1, 4)
    variance = np.zeros(len(places))
    for low in range(4):
        for high in range(4):
            variance += four[:, low] * four[:, high] * inverse[abs(high - low), first + min(low, high)]
    return np.asarray(np.sqrt(ALIKE * np.maximum(variance, 0.0)))


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


def _solved(basis: _Basis, values: Real, weights: Real, pieces: Labels, penalty: Real) -> tuple[Real, Real]:
    """The spline and the constants of the pieces that together lie nearest to the values: coefficients, constants.

    One least-squares problem: where a piece ends within a swing, what is its constant and what the curve is told only
    by both. Of its normal equations, those of the spline are banded and are eliminated.
    """
    count, own = basis.count, int(pieces.max()) + 1
    weighted = weights[:, None] * basis.four
    shared, right = np.zeros((count, own)), np.zeros(count)
    for number in range(4):
        index = basis.first + number
        right += np.bincount(index, weighted[:, number] * values, count)
        shared += np.bincount(index * own + pieces, weighted[:, number], count * own).reshape(count, own)
    solved = solveh_banded(_normal(basis, weights, penalty), np.column_stack((right, shared)), lower=True)
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
