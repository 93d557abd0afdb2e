"""Whether the clocks wander, and the part of the residual that neighbouring windows share."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri

from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import ClockModel
from twinlib.alignment.delay import HIGH_HZ, LOW_HZ, Real
from twinlib.alignment.drift_curve import biweight
from twinlib.alignment.lag_track import MAX_RESIDUAL, LagTrack, WindowPlan, inliers, measure_lags
from twinlib.db import db_to_amp

BLOCK_SECONDS = 10.0
"""Clocks wander in many seconds; a device's phase changes with the programme, from window to window."""

MIN_WINDOWS = 4
"""Windows that a block holds at least."""

MIN_F_RATIO = 6.0
"""The variance of block means over that which scatter explains, below which nothing wanders, however long the take:
neighbouring windows hold programme alike, and then a device's phase is alike."""

MIN_COVARIANCE_SHARE = 0.7
"""Of the larger of the variances of two halves of the band, that both must share where it is the clock."""

MIN_VARIANCE_RATIO = 0.6
"""Of the larger variance, that the smaller one of lows and highs has where a clock swings: an all-pass that breathes
delays highs by two thirds of what it delays lows."""

MAX_SUBBAND_SLOPE = 0.1
"""Of a curve, by which lows and highs may follow it differently: those of clocks do by a hundredth, and an all-pass
that breathes delays them by shares that are a third apart."""

SLOPE_SIGMAS = 2.5
"""Standard errors within which they may all the same."""

FALSE_ALARM_RATE = 1e-3
"""How often chance may exceed that ratio in a take of few blocks."""


def residual_rms(measured: LagTrack) -> float | None:
    """The rms about the line, in samples, of the windows that agree with it, weighted by their precision."""
    fits = inliers(measured)
    if not fits.any():
        return None
    values, weights = measured.residual[fits], measured.weight[fits]
    values = values - np.average(values, weights=weights)
    return float(np.sqrt(np.average(values**2, weights=weights)))


def wander_rms(measured: LagTrack, sample_rate: int) -> float:
    """The rms in samples that the means of blocks of windows have beyond what scatter explains; 0 if it explains all.

    A block is about 10 s, an eighth of a shorter signal. Scatter is how much windows differ from their neighbours,
    large for devices that distort much: their phase changes with the programme, and a block takes the mean of it.
    What its level explains (`regress_out_level`) is no clock's, however slowly it changes. The ratio of the two
    variances follows Fisher's F distribution. With too few windows for that, the plain residual.
    """
    fits = inliers(measured)
    count = int(fits.sum())
    if count < 2 * MIN_WINDOWS:
        return residual_rms(measured) or 0.0
    length = _block(measured.position[fits], sample_rate)
    values = _clipped(regress_out_level(measured.residual[fits], measured.level_db[fits]))
    chance = _noise_variance(values) / length
    blocks = _block_means(values, length)
    variance = float(np.var(blocks, ddof=1))
    least = max(MIN_F_RATIO, float(fdtri(len(blocks) - 1, count - len(blocks), 1.0 - FALSE_ALARM_RATE)))
    return math.sqrt(variance - chance) if variance > least * chance else 0.0


def subbands_covary(low: LagTrack, high: LagTrack, sample_rate: int) -> bool:
    """Whether the lags that the lows and the highs of the same windows tell change together, by windows or slowly.

    A clock takes all frequencies along. A device that distorts delays each by as much as the programme makes it to.
    """
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (low.weight[first] > 0) & (high.weight[second] > 0) & (low.sign[first] > 0) & (high.sign[second] > 0)
    if told.sum() < 2 * MIN_WINDOWS:
        return True
    # The device delays either half by another constant.
    pair = [half - np.median(half[told]) for half in (low.residual[first], high.residual[second])]
    levels = low.level_db[first], high.level_db[second]
    told &= (np.abs(pair[0]) < MAX_RESIDUAL) & (np.abs(pair[1]) < MAX_RESIDUAL)
    if told.sum() < 2 * MIN_WINDOWS:
        return True
    length = _block(low.position[first][told], sample_rate)
    a, b = (_clipped(regress_out_level(half[told], level[told])) for half, level in zip(pair, levels, strict=True))
    for size in (1, length):
        means = np.array([_block_means(a, size), _block_means(b, size)])
        common = np.cov(means)
        explained = np.array([_noise_variance(half) / size if size > 1 else 0.0 for half in (a, b)])
        own = np.maximum(np.diag(common) - explained, 1e-12)
        # What chance explains most of is no slow change.
        if (own < 0.5 * np.diag(common)).any():
            continue
        if float(common[0, 1]) > MIN_COVARIANCE_SHARE * float(own.max()):
            return True
    return False


def common_rms(low: Real, high: Real, level_db: Real) -> float:
    """The rms in samples of what the lags of lows and highs of the same windows share; 0 where they are not alike.

    What the level of the dry signal explains of either is not counted.
    """
    if len(low) < 2 * MIN_WINDOWS:
        return 0.0
    spread = np.cov([_clipped(regress_out_level(half, level_db)) for half in (low, high)])
    shared, (least, most) = float(spread[0, 1]), sorted(np.diag(spread).tolist())
    alike = shared > MIN_COVARIANCE_SHARE * math.sqrt(least * most) and least > MIN_VARIANCE_RATIO * most
    return math.sqrt(shared) if alike else 0.0


def is_broadband(low: LagTrack, high: LagTrack, curve: Real) -> bool:
    """Whether lows and highs follow a `curve` alike, whose value is given at each window of the lows, as by a clock.

    The difference of the two lags has no part of a clock's curve in it; of a device's phase it has.
    """
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (low.weight[first] > 0) & (high.weight[second] > 0) & (low.sign[first] > 0) & (high.sign[second] > 0)
    apart = (high.residual[second] - low.residual[first])[told]
    if len(apart) < 2 * MIN_WINDOWS:
        return True
    apart, swing = apart - np.median(apart), curve[first][told]
    trust = biweight(apart)
    swing = swing - np.average(swing, weights=trust)
    size = float((trust * swing**2).sum()) + 1e-30
    share = float((trust * swing * apart).sum()) / size
    # Windows overlap by half: every other one is another witness.
    error = math.sqrt(2.0 * float((trust * (apart - share * swing) ** 2).sum()) / float(trust.sum()) / size)
    return abs(share) < max(MAX_SUBBAND_SLOPE, SLOPE_SIGMAS * error)


def regress_out_level(values: Real, level_db: Real) -> Real:
    """The lags of windows in order without what the level of the dry signal explains of how neighbours differ.

    A clock hardly changes from one window to the next, and a device that distorts does, with what is played: how it
    answers levels, told by neighbours alone, holds for slow changes of the level, too. Loudness and its logarithm, with
    its square, are what the phase of compressors, clippers and transformers goes with.
    """
    loudness = db_to_amp(level_db - level_db.max())
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
        trust = biweight(change - columns @ slopes)
    explained = features @ slopes
    return np.asarray(values - explained + np.median(explained))


def _block(position: Real, sample_rate: int) -> int:
    """How many windows make a block."""
    seconds = float(position[-1] - position[0]) / (len(position) - 1) / sample_rate
    return max(MIN_WINDOWS, min(len(position) // 8, round(BLOCK_SECONDS / seconds)))


def _clipped(values: Real) -> Real:
    """The values about their median; what stands out by far counts no more than the rest."""
    values = values - np.median(values)
    most = 4.5 * float(np.median(np.abs(values)))
    return np.asarray(np.clip(values, -most, most))


def _noise_variance(values: Real) -> float:
    """The variance of a window by itself."""
    # Windows may overlap their neighbour by half, so the next but one is the first independent of it.
    return float(np.mean((values[2:] - values[:-2]) ** 2)) / 2.0


def _block_means(values: Real, length: int) -> Real:
    return np.asarray(values[: len(values) // length * length].reshape(-1, length).mean(axis=1))


SUBBAND_SPLIT_HZ = 1500.0
"""Below and above it lies about as much that tells a delay."""


def measure_subbands(
    dry: Channel, wet: Channel, clock: ClockModel, polarity: int, windows: WindowPlan
) -> tuple[LagTrack, LagTrack]:
    """The same windows as the lows tell them, and as the highs do; residuals in samples about the clock."""
    low = measure_band(dry, wet, clock, polarity, windows, (LOW_HZ, SUBBAND_SPLIT_HZ))
    return low, measure_band(dry, wet, clock, polarity, windows, (SUBBAND_SPLIT_HZ, HIGH_HZ))


def measure_band(
    dry: Channel, wet: Channel, clock: ClockModel, polarity: int, windows: WindowPlan, band_hz: tuple[float, float]
) -> LagTrack:
    """Windows as what lies between two frequencies in Hz tells them, once the device's phase there is known."""
    timemap = clock.time_map(dry.start, dry.stop)
    _, known = measure_lags(dry, wet, windows, timemap, None, polarity, clock.excluded, between_hz=band_hz)
    return measure_lags(dry, wet, windows, timemap, known, polarity, clock.excluded, between_hz=band_hz)[0]


FLUTTER_WINDOW = 1024
"""Samples of a window: 23 ms at 44.1 kHz, which still shows half of what swings fifty times a second."""

FLUTTER_PLACES = 12
"""Places all over a take that tell its flutter."""

FLUTTER_SECONDS = 0.25
"""Of programme at each of them."""

MIN_FLUTTER_WEIGHT = 1000.0
"""Inverse variance, 0.03 samples rms, from which a short window tells flutter."""

MIN_FLUTTER = 0.015
"""Samples rms that are not worth the question whether they are the clock's."""


def flutter_rms(dry: Channel, wet: Channel, clock: ClockModel, polarity: int, programme: tuple[int, int]) -> float:
    """The rms in samples by which short windows all over a dry range [start, stop) swing about the clock.

    A clock takes lows and highs along alike; what only one of them does is the device's, and no flutter. Long windows
    take the mean of what swings faster than they last, and look right. What swings faster than fifty times a second
    these short ones hardly show either.
    """
    reach = round(FLUTTER_SECONDS * dry.rate)
    places = np.linspace(programme[0], max(programme[0], programme[1] - reach), FLUTTER_PLACES).astype(np.int64)
    windows = WindowPlan(np.unique(places[:, None] + np.arange(0, reach, FLUTTER_WINDOW // 2)), FLUTTER_WINDOW)
    whole = measure_band(dry, wet, clock, polarity, windows, (LOW_HZ, HIGH_HZ))
    sharp = whole.residual[_is_precise(whole)]
    if len(sharp) < 2 or float(np.std(sharp)) < MIN_FLUTTER:
        return 0.0
    low, high = measure_subbands(dry, wet, clock, polarity, windows)
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (_is_precise(low)[first]) & (_is_precise(high)[second])
    level = low.level_db[first][told]
    return common_rms(low.residual[first][told], high.residual[second][told], level)


def _is_precise(measured: LagTrack) -> npt.NDArray[np.bool_]:
    """The windows that tell flutter."""
    return np.asarray(
        (measured.weight > MIN_FLUTTER_WEIGHT) & (measured.sign > 0) & (np.abs(measured.residual) < MAX_RESIDUAL)
    )
