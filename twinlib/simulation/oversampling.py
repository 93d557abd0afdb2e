"""Sample rate conversion of a stream by an integer factor with linear-phase filters, exact for any block size."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HALF_LENGTH = 32
"""Half the filter length, in samples at the base rate. The delay is compensated."""

KAISER_BETA = 9.5


def lowpass(factor: int) -> Array:
    """Return a low-pass of 2 * HALF_LENGTH * factor + 1 taps: flat to 0.45 of the base rate, -95 dB from 0.55 of it."""
    # `scipy.signal` would take half a second to import.
    reach = HALF_LENGTH * factor
    taps: Array = np.sinc(np.arange(-reach, reach + 1) / factor) * np.kaiser(2 * reach + 1, KAISER_BETA)
    taps /= taps.sum()
    return taps


@numba.njit(cache=True)
def _interpolate(samples: Any, taps: Any, out: Any) -> None:
    # Adds to row k of `out` the product of samples[k : k + len(taps)] and the matrix `taps`, with a column for each
    # phase. Unlike that of numpy, the order of additions does not depend on the CPU.
    for row in range(out.shape[0]):
        for k in range(taps.shape[0]):
            for phase in range(taps.shape[1]):
                out[row, phase] += taps[k, phase] * samples[row + k]


@numba.njit(cache=True)
def _decimate(samples: Any, taps: Any, factor: int, out: Any) -> None:
    for place in range(len(out)):
        total = 0.0
        for k in range(len(taps)):
            total += taps[k] * samples[place * factor + k]
        out[place] = total


class Upsampler:
    """Interpolator: `process` maps (n,) to (m * factor,), where m is n apart from the delay.

    The output lags by `HALF_LENGTH` base samples; `flush` appends silence and returns the rest.
    """

    def __init__(self, factor: int) -> None:
        self._factor = factor
        # Reversed in time. Only the first phase has the last tap.
        padded = np.concatenate((lowpass(factor) * factor, np.zeros(factor - 1)))
        self._taps = padded.reshape(-1, factor)[::-1].copy()
        self._history = np.zeros(HALF_LENGTH)

    def process(self, block: Array) -> Array:
        """Return the next samples at the high rate, given the next samples at the base rate."""
        samples = np.concatenate((self._history, block))
        count = max(0, len(samples) - 2 * HALF_LENGTH)
        self._history = samples[count:]
        out = np.zeros((count, self._factor))
        _interpolate(samples, self._taps, out)
        return out.ravel()

    def flush(self) -> Array:
        """Return the remaining samples."""
        return self.process(np.zeros(HALF_LENGTH))


class Downsampler:
    """Decimator: `process` maps (n * factor,) to (m,), where m is n apart from the delay."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._taps = lowpass(factor)
        self._history = np.zeros(HALF_LENGTH * factor)

    def process(self, block: Array) -> Array:
        """Return the next samples at the base rate, given the next samples at the high rate."""
        samples = np.concatenate((self._history, block))
        count = max(0, len(samples) // self._factor - 2 * HALF_LENGTH)
        self._history = samples[count * self._factor :]
        out = np.zeros(count)
        _decimate(samples, self._taps, self._factor, out)
        return out

    def flush(self) -> Array:
        """Return the remaining samples."""
        return self.process(np.zeros(HALF_LENGTH * self._factor))
