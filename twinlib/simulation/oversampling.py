"""Raising and lowering the sample rate of a stream by linear-phase filters, exact for any block size."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import i0

Array = npt.NDArray[np.float64]

REACH = 32
"""Samples at the base rate on either side of the filters; the delay of each is taken out."""

_BETA = 9.5


def prototype(factor: int) -> Array:
    """A low-pass of `2 * REACH * factor` + 1 taps, sum one: flat to 0.45 of the base rate, 95 dB from 0.55 of it."""
    # As SciPy's firwin has it to the bit; all of `scipy.signal` takes longer to load than many a take to simulate.
    cutoff, places = 1.0 / factor, np.arange(2 * REACH * factor + 1) - float(REACH * factor)
    window = i0(_BETA * np.sqrt(1 - (places / (REACH * factor)) ** 2.0)) / i0(_BETA)
    taps: Array = cutoff * np.sinc(cutoff * places) * window
    return taps / np.sum(taps)


@numba.njit(cache=True)
def _convolve(coefficients: Any, samples: Any, out: Any) -> None:
    # Tap after tap over the whole block: vector code whose order of sums depends on no block border.
    for p in range(coefficients.shape[0]):
        for k in range(coefficients.shape[1]):
            c = coefficients[p, k]
            window = samples[k : k + out.shape[1]]
            for n in range(out.shape[1]):
                out[p, n] += c * window[n]


@numba.njit(cache=True)
def _gather(coefficients: Any, samples: Any, out: Any) -> None:
    for p in range(coefficients.shape[0]):
        for k in range(coefficients.shape[1]):
            c = coefficients[p, k]
            window = samples[p, k : k + out.shape[0]]
            for n in range(out.shape[0]):
                out[n] += c * window[n]


class Upsampler:
    """`process` turns (n,) into phases (factor, m): column i holds the samples between base samples i and i + 1.

    The first `REACH` columns are still to come when the first samples are in: `flush` feeds silence for them.
    """

    def __init__(self, factor: int) -> None:
        self._factor = factor
        taps = np.concatenate((prototype(factor) * factor, np.zeros(factor - 1)))
        # Phase p at base sample i: sum over j of x[i + j] * taps[(REACH - j) * factor + p].
        self._coefficients = np.ascontiguousarray(taps.reshape(-1, factor)[::-1].T)
        self._held = np.zeros(REACH)

    def process(self, block: Array) -> Array:
        """Feed samples at the base rate."""
        samples = np.concatenate((self._held, block))
        count = max(0, len(samples) - 2 * REACH)
        out = np.zeros((self._factor, count))
        if count:
            _convolve(self._coefficients, samples, out)
        self._held = samples[count:]
        return out

    def flush(self) -> Array:
        """The rest."""
        return self.process(np.zeros(REACH))


class Downsampler:
    """The way back: `process` turns phases (factor, n) into (m,) at the base rate."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        taps = np.concatenate((prototype(factor), np.zeros(factor - 1)))
        # Base sample i: sum over j and p of u[p, i + j] * taps[(REACH + j) * factor + p] (the filter is symmetric).
        self._coefficients = np.ascontiguousarray(taps.reshape(-1, factor).T)
        self._held = np.zeros((factor, REACH))

    def process(self, phases: Array) -> Array:
        """Feed phases as `Upsampler` gives them."""
        samples = np.ascontiguousarray(np.concatenate((self._held, phases), axis=1))
        count = max(0, samples.shape[1] - 2 * REACH)
        out = np.zeros(count)
        if count:
            _gather(self._coefficients, samples, out)
        self._held = samples[:, count:]
        return out

    def flush(self) -> Array:
        """The rest."""
        return self.process(np.zeros((self._factor, REACH)))
