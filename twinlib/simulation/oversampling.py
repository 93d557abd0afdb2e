"""Sample rate conversion of a stream by an integer factor with linear-phase filters, exact for any block size."""

import numpy as np
import numpy.typing as npt
from scipy.signal import firwin, upfirdn

Array = npt.NDArray[np.float64]

HALF_LENGTH = 32
"""Half the filter length, in samples at the base rate. The delay is compensated."""

KAISER_BETA = 9.5


def lowpass(factor: int) -> Array:
    """Return a low-pass of 2 * HALF_LENGTH * factor + 1 taps: flat to 0.45 of the base rate, -95 dB from 0.55 of it."""
    taps: Array = firwin(2 * HALF_LENGTH * factor + 1, 1.0 / factor, window=("kaiser", KAISER_BETA))
    return taps


class Upsampler:
    """Interpolator: `process` maps (n,) to (m * factor,), where m is n apart from the delay.

    The output lags by `HALF_LENGTH` base samples; `flush` appends silence and returns the rest.
    """

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._taps = lowpass(factor) * factor
        self._history = np.zeros(HALF_LENGTH)

    def process(self, block: Array) -> Array:
        """Return the next samples at the high rate, given the next samples at the base rate."""
        samples = np.concatenate((self._history, block))
        count = max(0, len(samples) - 2 * HALF_LENGTH)
        self._history = samples[count:]
        if not count:
            return np.zeros(0)
        first = 2 * HALF_LENGTH * self._factor
        out: Array = upfirdn(self._taps, samples, up=self._factor)[first : first + count * self._factor]
        return out

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
        if not count:
            return np.zeros(0)
        first = 2 * HALF_LENGTH
        out: Array = upfirdn(self._taps, samples, down=self._factor)[first : first + count]
        return out

    def flush(self) -> Array:
        """Return the remaining samples."""
        return self.process(np.zeros(HALF_LENGTH * self._factor))
