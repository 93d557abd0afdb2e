"""Gain over level and time: compression, attack and release."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal
from twinlib.db import amp_to_db

Array = npt.NDArray[np.float64]

SETTLED_DB = 0.5
"""A gain has settled when it stays within this distance of its final value."""


@dataclass(frozen=True)
class Compression:
    """The gain in dB of a tone of frequency `hz` at each input peak level."""

    hz: float
    level_dbfs: tuple[float, ...]
    gain_db: tuple[float, ...]


@dataclass(frozen=True)
class BurstResponse:
    """The response to one level step of a tone: gain right after the step, final gain and settling time.

    `settle_ms` is None if the gain never leaves `SETTLED_DB` around its final value.
    """

    level_dbfs: float
    seconds: float
    first_gain_db: float
    last_gain_db: float
    settle_ms: float | None


def envelope(samples: Signal, hz: float, sample_rate: int, periods: int = 2) -> Array:
    """Return the amplitude of the tone of frequency `hz` in samples `(frames,)`, as a moving mean over `periods`.

    Uses complete windows only: `(frames - window + 1,)`.
    """
    demodulated = samples * np.exp(-2j * np.pi * hz * np.arange(len(samples)) / sample_rate)
    window = max(1, round(periods * sample_rate / hz))
    sums = np.concatenate([np.zeros(1, np.complex128), np.cumsum(demodulated)])
    amplitude: Array = 2.0 * np.abs(sums[window:] - sums[:-window]) / window
    return amplitude


def measure_ramp(samples: Signal, hz: float, sample_rate: int, levels: tuple[float, float]) -> Compression:
    """Measure the gain at every whole dB of a tone `(frames,)` whose level rises linearly in dB between `levels`."""
    amplitude = envelope(samples, hz, sample_rate, max(2, round(0.02 * hz)))
    centre = np.arange(len(amplitude)) + (len(samples) - len(amplitude)) / 2
    level = levels[0] + (levels[1] - levels[0]) * centre / (len(samples) - 1)
    whole = np.arange(np.ceil(level[0]) + 1, np.floor(level[-1]) - 1)
    gains = np.interp(whole, level, amp_to_db(amplitude)) - whole
    return Compression(hz, tuple(whole.tolist()), tuple(gains.tolist()))


def measure_burst(
    samples: Signal, hz: float, sample_rate: int, steps: tuple[tuple[float, float], ...]
) -> tuple[BurstResponse, ...]:
    """Measure the level `steps` (dBFS, seconds) of a tone; skips the first step, which fades in."""
    responses, start = [], round(steps[0][1] * sample_rate)
    for level, seconds in steps[1:]:
        stop = start + round(seconds * sample_rate)
        # With a delay below a millisecond the first samples still belong to the previous step.
        part = samples[start + round(0.001 * sample_rate) : stop - round(0.006 * sample_rate)]
        gains = amp_to_db(envelope(part, hz, sample_rate)) - level
        unsettled = np.flatnonzero(np.abs(gains - gains[-1]) > SETTLED_DB)
        settle = 1000 * (int(unsettled[-1]) + 1) / sample_rate if len(unsettled) else None
        responses.append(BurstResponse(level, seconds, float(gains[0]), float(gains[-1]), settle))
        start = stop
    return tuple(responses)
