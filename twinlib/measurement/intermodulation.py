"""What a device makes of several tones at once: SMPTE and CCIF intermodulation, and the distortion of a multitone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinlib.audio import Signal
from twinlib.db import amp_to_db
from twinlib.measurement.harmonics import amplitudes


@dataclass(frozen=True)
class Pair:
    """Intermodulation of two tones in dB.

    `smpte`: the first two pairs of sidebands about the high tone, against it (SMPTE RP 120). `ccif`: the difference
    tone (`d2_db`) and the two products of third order beside the tones (`d3_db`), each against the sum of both tones
    (IEC 60268-3).
    """

    kind: str
    level_dbfs: float
    hz: tuple[float, float]
    imd_db: float | None = None
    d2_db: float | None = None
    d3_db: float | None = None


@dataclass(frozen=True)
class Multitone:
    """The gain in dB of each tone of `hz`, and all that lies between the tones against them, in dB."""

    level_dbfs: float
    hz: tuple[float, ...]
    gain_db: tuple[float, ...]
    distortion_db: float


def measure_smpte(window: Signal, cycles: Sequence[int], hz: tuple[float, float], level_dbfs: float) -> Pair:
    """A low and a high tone, 4 to 1, in whole periods `cycles`."""
    sizes = np.abs(amplitudes(window))
    low, high = cycles
    sides = [high + order * low for order in (-2, -1, 1, 2)]
    total = float(np.sqrt(sum(float(sizes[place]) ** 2 for place in sides)))
    return Pair("smpte", level_dbfs, hz, imd_db=amp_to_db(total / max(float(sizes[high]), 1e-12)))


def measure_ccif(window: Signal, cycles: Sequence[int], hz: tuple[float, float], level_dbfs: float) -> Pair:
    """Two high tones, 1 to 1, in whole periods `cycles`."""
    sizes = np.abs(amplitudes(window))
    low, high = cycles
    both = max(float(sizes[low] + sizes[high]), 1e-12)
    third = [place for place in (2 * low - high, 2 * high - low) if 0 < place < len(sizes)]
    return Pair(
        "ccif",
        level_dbfs,
        hz,
        d2_db=amp_to_db(float(sizes[high - low]) / both),
        d3_db=amp_to_db(float(sum(sizes[place] for place in third)) / both),
    )


def measure_multitone(
    window: Signal, cycles: Sequence[int], hz: Sequence[float], dbfs: Sequence[float], level_dbfs: float
) -> Multitone:
    """Many tones, in whole periods `cycles`, which went in at levels of `dbfs`."""
    sizes = np.abs(amplitudes(window))
    tones = sizes[list(cycles)]
    power = float(np.square(tones).sum())
    rest = float(np.square(sizes[1:]).sum()) - power
    gains = tuple(amp_to_db(float(size)) - level for size, level in zip(tones, dbfs, strict=True))
    return Multitone(level_dbfs, tuple(hz), gains, amp_to_db(float(np.sqrt(max(rest, 0.0) / max(power, 1e-24)))))
