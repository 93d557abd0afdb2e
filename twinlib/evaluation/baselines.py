"""Baselines without distortion: the dry signal, the best gain and the best linear filter."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal
from twinlib.errors import DatasetError
from twinlib.estimation import FirFit, solve_normal_equations


@dataclass(frozen=True)
class Baselines:
    """The ESR of the dry signal, the best gain and the best linear filter, with that gain and filter `(taps,)`."""

    esr_dry: float
    esr_gain: float
    esr_linear: float
    gain: float
    fir: npt.NDArray[np.float64]


class LinearFit:
    """Baselines of a pair of signals, in one pass of constant memory; see `FirFit` for the linear filter."""

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self._fit = FirFit(taps)

    def add(self, dry: Signal, wet: Signal) -> None:
        """Add a block: dry `(taps - 1 + n,)`, whose last n samples have the positions of wet `(n,)`."""
        self._fit.add(dry, wet)

    def solve(self, guard: int) -> Baselines:
        """Return the baselines for a wet signal that is delayed by `guard` samples.

        Raises `DatasetError` if the filter is shorter than the guard, or if the audio is too short, silent or not
        finite.
        """
        fit = self._fit
        if not 0 <= guard < self.taps:
            raise DatasetError(f"a filter of {self.taps} taps is too short for a guard of {guard}: raise linear_taps")
        if fit.count < 2 * self.taps:
            raise DatasetError(
                f"{fit.count} samples are too few to fit a linear filter of {self.taps} taps: add audio or lower "
                "linear_taps"
            )
        if fit.wet_energy <= 0.0 or fit.dry_energy <= 0.0:
            raise DatasetError("the dry or the wet signal of the evaluated audio is silent: check the recording")
        normal, cross = fit.matrix(), fit.cross
        fir = solve_normal_equations(normal, cross)
        wet, dry, product = fit.wet_energy, float(normal[guard, guard]), float(cross[guard])
        linear = wet - 2 * float(fir @ cross) + float(fir @ normal @ fir)
        gain = product / dry if dry > 0.0 else 0.0
        return Baselines(
            esr_dry=max(wet - 2 * product + dry, 0.0) / wet,
            esr_gain=max(wet - gain * product, 0.0) / wet,
            esr_linear=max(linear, 0.0) / wet,
            gain=gain,
            fir=fir,
        )
