"""Robust statistics of deviations with outliers."""

import numpy as np

from twinlib.estimation.delay import Real


def mad_sigma(deviation: Real) -> float:
    """Return the standard deviation of a normal distribution with the median absolute deviation of the values."""
    return 1.4826 * float(np.median(np.abs(deviation)))


def mad_limit(deviation: Real) -> float:
    """Return the limit of outliers, six standard deviations by `mad_sigma`."""
    return 6.0 * max(mad_sigma(deviation), 1e-4)


def biweight(deviation: Real) -> Real:
    """Return Tukey's biweight of each deviation, at least 0.001."""
    return np.asarray(np.clip(1.0 - (deviation / mad_limit(deviation)) ** 2, 1e-3, None) ** 2)
