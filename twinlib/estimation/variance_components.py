"""Variance components of a lag measured in windows that overlap by half: slow variation, scatter, shared parts."""

import math

import numpy as np
from scipy.special import fdtri

from twinlib.db import db_to_amp
from twinlib.estimation.delay import Real
from twinlib.estimation.robust import biweight

MIN_BLOCK = 4
"""Smallest number of windows in a block."""

MIN_F_RATIO = 6.0
"""Ratio of the variance of block means to that expected from scatter, below which nothing wanders. Neighbouring windows
share programme and thus the device's phase, so this limit holds for a take of any length."""

FALSE_ALARM_RATE = 1e-3
"""Probability that chance exceeds the ratio in a take of few blocks."""

MIN_COVARIANCE_SHARE = 0.7
"""Share of the larger subband variance that both subbands must have in common if the clock causes it."""

MIN_VARIANCE_RATIO = 0.6
"""Smaller to larger subband variance for flutter of the clock. Breathing all-passes delay highs by a third less."""


def excess_rms(values: Real, length: int) -> float:
    """Return the rms of the means of blocks of `length` in excess of scatter; 0 if scatter explains all of it.

    Scatter is the difference between neighbouring windows, which is large for devices that distort much. The ratio of
    the two variances follows Fisher's F distribution.
    """
    values = _clip_outliers(values)
    expected = _noise_variance(values) / length
    blocks = _block_means(values, length)
    variance = float(np.var(blocks, ddof=1))
    limit = max(MIN_F_RATIO, float(fdtri(len(blocks) - 1, len(values) - len(blocks), 1.0 - FALSE_ALARM_RATE)))
    return math.sqrt(variance - expected) if variance > limit * expected else 0.0


def covary(first: Real, second: Real, length: int) -> bool:
    """Return whether the means of blocks of `length` vary by about the same amount at the same time, beyond scatter."""
    first, second = _clip_outliers(first), _clip_outliers(second)
    covariance = np.cov(np.array([_block_means(first, length), _block_means(second, length)]))
    noise = np.array([_noise_variance(each) / length if length > 1 else 0.0 for each in (first, second)])
    excess = np.maximum(np.diag(covariance) - noise, 1e-12)
    if (excess < 0.5 * np.diag(covariance)).any():
        return False
    return float(covariance[0, 1]) > MIN_COVARIANCE_SHARE * float(excess.max())


def common_rms(low: Real, high: Real, level_db: Real) -> float:
    """Return the rms in samples of the variation that both subband lags share, without the part explained by level.

    0 if the two differ too much for a clock.
    """
    if len(low) < 2 * MIN_BLOCK:
        return 0.0
    covariance = np.cov([_clip_outliers(regress_out_level(band, level_db)) for band in (low, high)])
    shared, (smaller, larger) = float(covariance[0, 1]), sorted(np.diag(covariance).tolist())
    alike = shared > MIN_COVARIANCE_SHARE * math.sqrt(smaller * larger) and smaller > MIN_VARIANCE_RATIO * larger
    return math.sqrt(shared) if alike else 0.0


def robust_slope(reference: Real, values: Real) -> tuple[float, float]:
    """Return the slope of values on a reference by Tukey's biweight, and its standard error."""
    weights = biweight(values)
    reference = reference - np.average(reference, weights=weights)
    energy = float((weights * reference**2).sum()) + 1e-30
    slope = float((weights * reference * values).sum()) / energy
    # Windows overlap by half: count every other one as independent.
    square = float((weights * (values - slope * reference) ** 2).sum())
    return slope, math.sqrt(2.0 * square / float(weights.sum()) / energy)


def regress_out_level(values: Real, level_db: Real) -> Real:
    """Subtract from the lags of windows, in order, the part that the level of the dry signal explains.

    The regression uses differences of neighbours, over which a clock hardly changes, and thus keeps slow clock changes
    even if the level changes slowly too. Amplitude, level and its square model compressors, clippers and transformers.
    """
    amplitude = db_to_amp(level_db - level_db.max())
    decades = (level_db - level_db.mean()) / 20.0
    features = np.column_stack((amplitude, decades, decades**2))
    # Windows overlap by half, so the second next is the first independent one.
    columns, change = features[2:] - features[:-2], values[2:] - values[:-2]
    if len(change) < 4 * features.shape[1]:
        return values
    weights, slopes = np.ones(len(change)), np.zeros(features.shape[1])
    for _ in range(6):
        root = np.sqrt(weights)
        slopes = np.linalg.lstsq(columns * root[:, None], change * root, rcond=1e-6)[0]
        weights = biweight(change - columns @ slopes)
    explained = features @ slopes
    return np.asarray(values - explained + np.median(explained))


def _clip_outliers(values: Real) -> Real:
    """Subtract the median and clip outliers."""
    values = values - np.median(values)
    limit = 4.5 * float(np.median(np.abs(values)))
    return np.asarray(np.clip(values, -limit, limit))


def _noise_variance(values: Real) -> float:
    """Return the variance of a single window, from differences of independent neighbours."""
    # Windows overlap by half, so the second next is the first independent one.
    return float(np.mean((values[2:] - values[:-2]) ** 2)) / 2.0


def _block_means(values: Real, length: int) -> Real:
    return np.asarray(values[: len(values) // length * length].reshape(-1, length).mean(axis=1))
