"""The least-squares FIR filter between two signals of any length."""

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, solve
from scipy.signal import fftconvolve

from twinlib.audio import Signal
from twinlib.errors import DatasetError

RIDGE = 1e-10
"""Default diagonal loading of the normal equations relative to the dry power, for bands without energy."""

Filter = npt.NDArray[np.float64]
"""Impulse response `(taps,)`: tap k delays by k samples."""


class FirFit:
    """The normal equations of the filter from the last `taps` dry samples to the wet signal, in constant memory.

    They are exact (covariance method, Makhoul 1975, doi 10.1109/PROC.1975.9792): every sample is predicted from its
    true past, so cuts between blocks add no error. FFT correlations give their first row; each following row is the
    previous row shifted by one sample, plus a correction for both ends of each run of contiguous blocks. The equations
    of a shorter filter on the same samples are their leading part.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.count = 0
        """Wet samples added."""
        self.wet_energy = 0.0
        """Sum of their squares."""
        self.cross = np.zeros(taps)
        """Cross-correlation: the right side of the equations."""
        self._row = np.zeros(taps)
        self._ends = np.zeros((taps - 1, taps - 1))
        self._last: Filter | None = None

    @property
    def dry_energy(self) -> float:
        """Sum of the squares of the dry samples at the positions of the wet samples."""
        return float(self._row[0])

    def add(self, dry: Signal, wet: Signal) -> None:
        """Add a block: dry `(taps - 1 + n,)`, whose last n samples have the positions of wet `(n,)`."""
        n = len(wet)
        if len(dry) != self.taps - 1 + n:
            raise DatasetError(f"{self.taps} taps and {n} wet samples need {self.taps - 1 + n} dry, got {len(dry)}")
        if not n:
            return
        x, y = dry.astype(np.float64), wet.astype(np.float64)
        first, last = x[: self.taps - 1][::-1], x[n:][::-1]
        self._row += _correlate(x, x[self.taps - 1 :])
        self.cross += _correlate(x, y)
        # The ends of contiguous blocks cancel.
        if self._last is None or not np.array_equal(first, self._last):
            self._ends = self._closed_ends() + np.outer(first, first)
        self._last = last.copy()
        self.wet_energy += float(np.sum(np.square(y)))
        self.count += n

    def _closed_ends(self) -> Filter:
        return self._ends if self._last is None else self._ends - np.outer(self._last, self._last)

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the autocorrelation matrix `(taps, taps)`: the left side of the equations."""
        ends = self._closed_ends()
        upper = np.zeros((self.taps, self.taps))
        upper[0] = self._row
        for i in range(self.taps - 1):
            upper[i + 1, i + 1 :] = upper[i, i:-1] + ends[i, i:]
        return upper + np.triu(upper, 1).T


def solve_normal_equations(
    matrix: npt.NDArray[np.float64], cross: npt.NDArray[np.float64], ridge: float = RIDGE
) -> Filter:
    """Return the filter of normal equations `(taps, taps)` and `(taps,)`; `ridge` is relative to the dry power.

    Raises `DatasetError` if the equations have no solution, for example because of NaN in the signals.
    """
    taps = len(cross)
    loading = ridge * float(np.trace(matrix)) / taps
    try:
        fir: Filter = solve(matrix + loading * np.eye(taps), cross, assume_a="pos")
    except (LinAlgError, ValueError) as error:
        raise DatasetError(
            f"cannot fit a linear filter to these signals ({error}): check them for NaN and infinity"
        ) from None
    return fir


def filter_valid(dry: npt.NDArray[np.floating], fir: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Filter dry `(..., taps - 1 + n)`; return the n samples with a complete past, `(..., n)`, computed by FFT."""
    length, taps = dry.shape[-1], len(fir)
    # Circular convolution wraps around into the first taps - 1 samples only.
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(dry.astype(np.float64), size) * np.fft.rfft(fir.astype(np.float64), size)
    filtered: npt.NDArray[np.float64] = np.fft.irfft(spectrum, size)[..., taps - 1 : length]
    return filtered


def _correlate(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `sum_t y[t] x[t - k]` for k from 0 to len(x) - len(y)."""
    correlation: npt.NDArray[np.float64] = fftconvolve(x, y[::-1], "valid")[::-1]
    return correlation
