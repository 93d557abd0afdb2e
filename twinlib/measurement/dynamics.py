"""How a device behaves over level and time: compression, attack and release, noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.db import amp_to_db, db_to_amp

Array = npt.NDArray[np.float64]

SETTLED_DB = 0.5
"""An envelope has arrived when it stays this near to where it ends."""


@dataclass(frozen=True)
class Compression:
    """The gain in dB of a tone of `hz` for each peak level that went in."""

    hz: float
    level_dbfs: tuple[float, ...]
    gain_db: tuple[float, ...]


@dataclass(frozen=True)
class Burst:
    """One step of the level of a tone: the gain in dB right after it and at its end, and how long it took to settle.

    `settle_ms` is None where gains differ by less than `SETTLED_DB`: there is nothing to settle.
    """

    level_dbfs: float
    seconds: float
    first_gain_db: float
    last_gain_db: float
    settle_ms: float | None


@dataclass(frozen=True)
class Noise:
    """What comes out of silence: rms and A-weighted rms (IEC 61672-1) in dBFS, and the mean (full scale 1)."""

    rms_dbfs: float
    a_weighted_dbfs: float
    dc: float


def envelope(samples: Signal, hz: float, sample_rate: int, periods: int = 2) -> Array:
    """The amplitude of the tone of `hz` in samples `(frames,)`, over `periods` of it around each sample.

    The first and the last of them lack a part of their window and are not told: `(frames - window + 1,)`.
    """
    turned = samples * np.exp(-2j * np.pi * hz * np.arange(len(samples)) / sample_rate)
    window = max(1, round(periods * sample_rate / hz))
    sums = np.concatenate([np.zeros(1, np.complex128), np.cumsum(turned)])
    found: Array = 2.0 * np.abs(sums[window:] - sums[:-window]) / window
    return found


def measure_ramp(samples: Signal, hz: float, sample_rate: int, levels: tuple[float, float]) -> Compression:
    """A tone `(frames,)` whose level rose in dB from the first to the second of `levels`, told every whole dB."""
    amplitude = envelope(samples, hz, sample_rate, max(2, round(0.02 * hz)))
    # The middle of each window.
    middle = np.arange(len(amplitude)) + (len(samples) - len(amplitude)) / 2
    level = levels[0] + (levels[1] - levels[0]) * middle / (len(samples) - 1)
    wanted = np.arange(np.ceil(level[0]) + 1, np.floor(level[-1]) - 1)
    gains = np.interp(wanted, level, amp_to_db(amplitude)) - wanted
    return Compression(hz, tuple(wanted.tolist()), tuple(gains.tolist()))


def measure_burst(
    samples: Signal, hz: float, sample_rate: int, steps: tuple[tuple[float, float], ...]
) -> tuple[Burst, ...]:
    """A tone `(frames,)` that steps from level to level (dBFS, seconds); the first step fades in and is not told."""
    found, start = [], round(steps[0][1] * sample_rate)
    for level, seconds in steps[1:]:
        stop = start + round(seconds * sample_rate)
        # A device that delays by less than a millisecond still answers the step before.
        part = samples[start + round(0.001 * sample_rate) : stop - round(0.006 * sample_rate)]
        gains = amp_to_db(envelope(part, hz, sample_rate)) - level
        off = np.flatnonzero(np.abs(gains - gains[-1]) > SETTLED_DB)
        settle = 1000 * (int(off[-1]) + 1) / sample_rate if len(off) else None
        found.append(Burst(level, seconds, float(gains[0]), float(gains[-1]), settle))
        start = stop
    return tuple(found)


def measure_noise(samples: Signal, sample_rate: int) -> Noise:
    """Samples `(frames,)` during which nothing was played."""
    exact = samples.astype(np.float64)
    mean = float(np.mean(exact))
    power = np.square(np.abs(fft.rfft(exact - mean))) * 2.0 / len(exact) ** 2
    weight = a_weighting(np.arange(len(power)) * sample_rate / len(exact))
    return Noise(
        amp_to_db(float(np.sqrt(power.sum()))), amp_to_db(float(np.sqrt((power * np.square(weight)).sum()))), mean
    )


def a_weighting(hz: Array) -> Array:
    """The factor by which the A-curve of IEC 61672-1 weighs amplitudes; 1 at 1 kHz."""
    square = np.square(hz)
    factor: Array = (
        12194.0**2
        * square**2
        / ((square + 20.6**2) * np.sqrt((square + 107.7**2) * (square + 737.9**2)) * (square + 12194.0**2))
    )
    return factor * db_to_amp(2.0)
