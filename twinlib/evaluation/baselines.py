"""Baselines without distortion: the dry signal, the best gain and the best linear filter."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, solve
from scipy.signal import fftconvolve

from twinlib.audio import Signal
from twinlib.errors import DatasetError

RIDGE = 1e-10
"""The diagonal loading of the normal equations relative to the dry power, for bands without energy."""


@dataclass(frozen=True)
class Baselines:
    """The ESR of the dry signal, the best gain and the best linear filter, with that gain and filter `(taps,)`."""

    esr_dry: float
    esr_gain: float
    esr_linear: float
    gain: float
    fir: npt.NDArray[np.float64]


class LinearFit:
    """Least-squares FIR filter from the last `taps` dry samples to the wet signal, in one pass of constant memory.

    The normal equations are exact (covariance method, Makhoul 1975, doi 10.1109/PROC.1975.9792): every sample is
    predicted from its true past, so cuts between spans add no error. FFT correlations give their first row; each
    following row is the previous row shifted by one sample, plus a correction for both ends of the block.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self._row = np.zeros(taps)
        self._cross = np.zeros(taps)
        self._ends = np.zeros((taps - 1, taps - 1))
        self._wet_energy = 0.0
        self._count = 0

    def add(self, dry: Signal, wet: Signal) -> None:
        """Add a block: dry `(taps - 1 + n,)`, whose last n samples have the positions of wet `(n,)`."""
        n = len(wet)
        if len(dry) != self.taps - 1 + n:
            raise DatasetError(f"{self.taps} taps and {n} wet samples need {self.taps - 1 + n} dry, got {len(dry)}")
        if not n:
            return
        x, y = dry.astype(np.float64), wet.astype(np.float64)
        first = x[: self.taps - 1][::-1]
        last = x[n:][::-1]
        self._row += _correlate(x, x[self.taps - 1 :])
        self._cross += _correlate(x, y)
        self._ends += np.outer(first, first) - np.outer(last, last)
        self._wet_energy += float(np.sum(np.square(y)))
        self._count += n

    def _normal_matrix(self) -> npt.NDArray[np.float64]:
        upper = np.zeros((self.taps, self.taps))
        upper[0] = self._row
        for i in range(self.taps - 1):
            upper[i + 1, i + 1 :] = upper[i, i:-1] + self._ends[i, i:]
        return upper + np.triu(upper, 1).T

    def solve(self, guard: int) -> Baselines:
        """Return the baselines for a wet signal that is delayed by `guard` samples.

        Raises `DatasetError` if the filter is shorter than the guard, or if the audio is too short, silent or not
        finite.
        """
        if not 0 <= guard < self.taps:
            raise DatasetError(f"a filter of {self.taps} taps is too short for a guard of {guard}: raise linear_taps")
        if self._count < 2 * self.taps:
            raise DatasetError(
                f"{self._count} samples are too few to fit a linear filter of {self.taps} taps: add audio or lower "
                "linear_taps"
            )
        if self._wet_energy <= 0.0 or self._row[0] <= 0.0:
            raise DatasetError("the dry or the wet signal of the evaluated audio is silent: check the recording")
        normal = self._normal_matrix()
        ridge = RIDGE * float(np.trace(normal)) / self.taps
        try:
            fir = solve(normal + ridge * np.eye(self.taps), self._cross, assume_a="pos")
        except (LinAlgError, ValueError) as error:
            raise DatasetError(
                f"cannot fit a linear filter to these signals ({error}): check them for NaN and infinity"
            ) from None
        wet, dry, product = self._wet_energy, float(normal[guard, guard]), float(self._cross[guard])
        linear = wet - 2 * float(fir @ self._cross) + float(fir @ normal @ fir)
        gain = product / dry if dry > 0.0 else 0.0
        return Baselines(
            esr_dry=max(wet - 2 * product + dry, 0.0) / wet,
            esr_gain=max(wet - gain * product, 0.0) / wet,
            esr_linear=max(linear, 0.0) / wet,
            gain=gain,
            fir=fir,
        )


def _correlate(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `sum_t y[t] x[t - k]` for k from 0 to len(x) - len(y)."""
    correlation: npt.NDArray[np.float64] = fftconvolve(x, y[::-1], "valid")[::-1]
    return correlation
