"""Whether the clocks wander, the part of the residual that neighbouring windows share, and the curve they follow."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import solveh_banded
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

MOST_APART = 0.1
"""Of a curve, by which lows and highs may follow it differently: those of clocks do by a hundredth, and an all-pass
that breathes delays them by shares that are a third apart."""

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

    `constants` are in samples, in the order of the pieces; the curve's weighted mean is none. `cost` is that of what
    the curve leaves.
    """

    knots: tuple[Real, Real]
    constants: Real
    cost: float


def bend(position: Real, residual: Real, weights: Real, labels: Labels) -> Bend | None:
    """The slow curve about a line: a least-squares cubic spline with as many knots as pay; None where none pay.

    `residual` is that of the windows heard, in order, `weights` their inverse variances; `labels` number the pieces
    they lie on, each with a constant of its own. Twice as many knots must pay by Schwarz's criterion, counted double,
    for neighbouring windows overlap.
    """
    _, pieces = np.unique(labels, return_inverse=True)
    best, cheapest = None, cost(_flat(residual, pieces), weights, 0)
    # Beside its neighbours at first: a spline goes through a mistaken window at its end and then finds it right.
    start = _trust(residual - median_filter(residual, 5, mode="reflect"))
    intervals = 1
    while LEAST_WINDOWS * intervals <= len(position) and len(position) >= 4 * LEAST_WINDOWS:
        basis, places = _basis(position, intervals)
        trust = start
        for _ in range(6):
            coefficients, constants = _solved(basis, residual, weights * trust, pieces)
            off = residual - basis.values(coefficients) - constants[pieces]
            trust = _trust(off)
        price = cost(off, weights, intervals + 3)
        if price < cheapest:
            best, cheapest = Bend((places, basis.at(places, coefficients)), constants, price), price
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


def _basis(position: Real, intervals: int) -> tuple[_Basis, Real]:
    """Splines whose intervals hold as many windows each; where one may be sampled to be known again."""
    borders = position[np.linspace(0, len(position) - 1, intervals + 1).round().astype(int)]
    knots = np.concatenate((np.repeat(borders[0], 3), borders, np.repeat(borders[-1], 3)))
    matrix = BSpline.design_matrix(position, knots, 3)
    basis = _Basis(knots, matrix.indices[::4].astype(np.int64), matrix.data.reshape(-1, 4))
    # Four places an interval: the natural spline through them bends otherwise only at its very ends.
    return basis, np.interp(np.arange(4 * intervals + 1) / 4.0, np.arange(intervals + 1), borders)


def _solved(basis: _Basis, values: Real, weights: Real, pieces: Labels) -> tuple[Real, Real]:
    """The spline and the constants of the pieces that together lie nearest to the values: coefficients, constants.

    One least-squares problem: where a piece ends within a swing, what is its constant and what the curve is told only
    by both. Of its normal equations, those of the spline are banded and are eliminated.
    """
    count, own = basis.count, int(pieces.max()) + 1
    weighted = weights[:, None] * basis.four
    banded = np.zeros((4, count))
    for low in range(4):
        for high in range(low, 4):
            products = weighted[:, low] * basis.four[:, high]
            banded[high - low] += np.bincount(basis.first + low, products, count)
    shared, right = np.zeros((count, own)), np.zeros(count)
    for number in range(4):
        index = basis.first + number
        right += np.bincount(index, weighted[:, number] * values, count)
        shared += np.bincount(index * own + pieces, weighted[:, number], count * own).reshape(count, own)
    # So little that nothing moves, and enough where an interval has only windows that hardly count.
    banded[0] *= 1.0 + 1e-10
    solved = solveh_banded(banded, np.column_stack((right, shared)), lower=True)
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
