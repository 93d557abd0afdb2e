"""What no distortion would reach (the dry signal, the best gain, the best linear filter), and what no twin can beat.

A twin of a mild device is worth what it gains over the best linear filter, in dB.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, solve
from scipy.signal import fftconvolve

from twinlib.audio import Signal
from twinlib.errors import DatasetError

RIDGE = 1e-10
"""The share of the dry power that is added to the diagonal of the normal equations, for bands where nothing plays."""


@dataclass(frozen=True)
class Baselines:
    """The ESR of the dry signal, of the best gain and of the best linear filter, and that gain and filter `(taps,)`."""

    esr_dry: float
    esr_gain: float
    esr_linear: float
    gain: float
    fir: npt.NDArray[np.float64]


class LinearFit:
    """Least squares of the wet signal on the last `taps` dry samples, fed in blocks of any size; constant memory.

    The normal equations are exact (the covariance method, Makhoul 1975, doi 10.1109/PROC.1975.9792): every sample
    is predicted from its true past, and cuts between stretches cost nothing. Their first row comes from correlations by
    FFT; each further one is the row above it, moved by one sample, plus what enters and less what leaves at the ends.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self._row = np.zeros(taps)
        self._cross = np.zeros(taps)
        self._ends = np.zeros((taps - 1, taps - 1))
        self._wet_energy = 0.0
        self._count = 0

    def add(self, dry: Signal, wet: Signal) -> None:
        """A block: dry `(taps - 1 + n,)`, whose last n samples stand beside wet `(n,)`."""
        n = len(wet)
        if len(dry) != self.taps - 1 + n:
            raise DatasetError(
                f"{self.taps} taps and {n} wet samples need {self.taps - 1 + n} dry ones, not {len(dry)}"
            )
        if not n:
            return
        x, y = dry.astype(np.float64), wet.astype(np.float64)
        past = x[: self.taps - 1][::-1]
        last = x[n:][::-1]
        self._row += _correlate(x, x[self.taps - 1 :])
        self._cross += _correlate(x, y)
        self._ends += np.outer(past, past) - np.outer(last, last)
        self._wet_energy += float(np.sum(np.square(y)))
        self._count += n

    def _normal(self) -> npt.NDArray[np.float64]:
        upper = np.zeros((self.taps, self.taps))
        upper[0] = self._row
        for i in range(self.taps - 1):
            upper[i + 1, i + 1 :] = upper[i, i:-1] + self._ends[i, i:]
        return upper + np.triu(upper, 1).T

    def solve(self, guard: int) -> Baselines:
        """The baselines; `guard` is how many samples the wet signal is late by construction."""
        if not 0 <= guard < self.taps:
            raise DatasetError(
                f"a filter of {self.taps} samples cannot bridge a guard of {guard}: set more linear_taps"
            )
        if self._count < 2 * self.taps:
            raise DatasetError(
                f"{self._count} samples are too few to fit a linear filter of {self.taps}: give more audio or lower "
                "linear_taps"
            )
        if self._wet_energy <= 0.0 or self._row[0] <= 0.0:
            raise DatasetError(
                "the dry or the wet signal is silent where the twin is judged: there is nothing to compare"
            )
        normal = self._normal()
        ridge = RIDGE * float(np.trace(normal)) / self.taps
        try:
            fir = solve(normal + ridge * np.eye(self.taps), self._cross, assume_a="pos")
        except (LinAlgError, ValueError) as error:
            raise DatasetError(
                f"no linear filter can be fitted to these signals ({error}): are they numbers?"
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


def noise_floor_esr(first: Signal, second: Signal) -> float:
    """The best ESR that any twin can reach, from two recordings `(frames,)` of one dry excerpt, in step.

    The device answers s both times, but each recording adds noise of its own, n1 and n2, of equal power N a sample,
    independent of s and of each other. A twin renders the same dry signal the same way every time; the best it can
    render is s, and against a recording s + n it errs by n: its ESR is N / (S + N), with S the power of s. The
    difference n1 - n2 has the power 2 N and each recording S + N, so half the energy of the difference over the mean
    energy of the two is that ESR. Of k samples of white noise its relative standard deviation is about sqrt(2 / k).
    Whatever else differs between the recordings (drift, a warmer device) counts as noise.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DatasetError(f"the two recordings have the shapes {first.shape} and {second.shape}: give equal ones")
    one, other = first.astype(np.float64), second.astype(np.float64)
    energy = (float(np.sum(np.square(one))) + float(np.sum(np.square(other)))) / 2
    floor = float(np.sum(np.square(one - other))) / 2
    if not 0.0 < energy < np.inf or not np.isfinite(floor):
        raise DatasetError("the two recordings are silent, or hold what is not a number: record the excerpt again")
    return floor / energy


def _correlate(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`sum_t y[t] x[t - k]` for k from 0 to the number of samples that x reaches back before y."""
    found: npt.NDArray[np.float64] = fftconvolve(x, y[::-1], "valid")[::-1]
    return found
