"""Distortion of several simultaneous tones: SMPTE and CCIF intermodulation, and multitone distortion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinlib.audio import Signal
from twinlib.db import MIN_AMPLITUDE, MIN_POWER, amp_to_db
from twinlib.measurement.harmonics import bin_amplitudes


@dataclass(frozen=True)
class TwoTone:
    """Intermodulation of two tones in dB.

    `kind` "smpte": `imd_db` is the level of the first two pairs of sidebands around the high tone, relative to it
    (SMPTE RP 120). `kind` "ccif": `d2_db` is the level of the difference tone and `d3_db` that of the two third-order
    products next to the tones, each relative to the sum of both tones (IEC 60268-3).
    """

    kind: str
    level_dbfs: float
    hz: tuple[float, float]
    imd_db: float | None = None
    d2_db: float | None = None
    d3_db: float | None = None


@dataclass(frozen=True)
class Multitone:
    """The gain in dB of each tone of frequency `hz`, and the level of all other bins relative to the tones, in dB."""

    level_dbfs: float
    hz: tuple[float, ...]
    gain_db: tuple[float, ...]
    distortion_db: float


def measure_smpte(window: Signal, cycles: Sequence[int], hz: tuple[float, float], level_dbfs: float) -> TwoTone:
    """Measure a low and a high tone with amplitudes 4 to 1 and whole periods `cycles` in the window `(n,)`."""
    sizes = np.abs(bin_amplitudes(window))
    low, high = cycles
    sidebands = [high + order * low for order in (-2, -1, 1, 2)]
    total = float(np.sqrt(sum(float(sizes[k]) ** 2 for k in sidebands)))
    return TwoTone("smpte", level_dbfs, hz, imd_db=amp_to_db(total / max(float(sizes[high]), MIN_AMPLITUDE)))


def measure_ccif(window: Signal, cycles: Sequence[int], hz: tuple[float, float], level_dbfs: float) -> TwoTone:
    """Measure two high tones of equal amplitude with whole periods `cycles` in the window `(n,)`."""
    sizes = np.abs(bin_amplitudes(window))
    low, high = cycles
    both = max(float(sizes[low] + sizes[high]), MIN_AMPLITUDE)
    third = [k for k in (2 * low - high, 2 * high - low) if 0 < k < len(sizes)]
    return TwoTone(
        "ccif",
        level_dbfs,
        hz,
        d2_db=amp_to_db(float(sizes[high - low]) / both),
        d3_db=amp_to_db(float(sum(sizes[k] for k in third)) / both),
    )


def measure_multitone(
    window: Signal, cycles: Sequence[int], hz: Sequence[float], dbfs: Sequence[float], level_dbfs: float
) -> Multitone:
    """Measure tones with input levels `dbfs` and whole periods `cycles` in the window `(n,)`."""
    sizes = np.abs(bin_amplitudes(window))
    tones = sizes[list(cycles)]
    power = float(np.square(tones).sum())
    rest = float(np.square(sizes[1:]).sum()) - power
    gains = tuple(amp_to_db(float(size)) - level for size, level in zip(tones, dbfs, strict=True))
    distortion = amp_to_db(float(np.sqrt(max(rest, 0.0) / max(power, MIN_POWER))))
    return Multitone(level_dbfs, tuple(hz), gains, distortion)
