"""The noise of a device: its level, and the error-to-signal ratio to which it limits every twin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.db import amp_to_db, db_to_amp
from twinlib.errors import DatasetError


@dataclass(frozen=True)
class Noise:
    """The output for a silent input: rms and A-weighted rms (IEC 61672-1) in dBFS, and the mean (full scale 1)."""

    rms_dbfs: float
    a_weighted_dbfs: float
    dc: float


def measure_noise(samples: Signal, sample_rate: int) -> Noise:
    """Measure the output `(frames,)` for a silent input."""
    exact = samples.astype(np.float64)
    mean = float(np.mean(exact))
    power = np.square(np.abs(fft.rfft(exact - mean))) * 2.0 / len(exact) ** 2
    weight = a_weighting(np.arange(len(power)) * sample_rate / len(exact))
    rms, weighted = np.sqrt(power.sum()), np.sqrt((power * np.square(weight)).sum())
    return Noise(amp_to_db(float(rms)), amp_to_db(float(weighted)), mean)


def a_weighting(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the amplitude factor of the A-weighting of IEC 61672-1 at frequencies `(n,)`; 1 at 1 kHz."""
    square = np.square(hz)
    factor: npt.NDArray[np.float64] = (
        12194.0**2
        * square**2
        / ((square + 20.6**2) * np.sqrt((square + 107.7**2) * (square + 737.9**2)) * (square + 12194.0**2))
    )
    return factor * db_to_amp(2.0)


def noise_floor_esr(first: Signal, second: Signal) -> float:
    """Return the lowest ESR that any twin can reach, from two aligned recordings `(frames,)` of one dry excerpt.

    Both recordings hold the same device output s plus independent noise of equal power N. The best possible twin
    renders s, so its ESR against one recording is N / (S + N), where S is the power of s. The difference of the
    recordings has power 2 N, and each has S + N: half the energy of the difference over the mean energy of the two is
    that ESR. For k samples of white noise its relative standard deviation is about sqrt(2 / k). Any other difference
    between the recordings (drift, temperature) counts as noise.

    Raises `DatasetError` if the shapes differ, or if the recordings are silent or not finite.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DatasetError(f"the two recordings have shapes {first.shape} and {second.shape}: pass equal, mono ones")
    a, b = first.astype(np.float64), second.astype(np.float64)
    energy = (float(np.sum(np.square(a))) + float(np.sum(np.square(b)))) / 2
    floor = float(np.sum(np.square(a - b))) / 2
    if not 0.0 < energy < np.inf or not np.isfinite(floor):
        raise DatasetError("the two recordings are silent or contain NaN or infinity: record the excerpt again")
    return floor / energy
