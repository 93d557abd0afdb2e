"""The witness: a short excerpt that every reel repeats, to verify that the device stays the same during a take."""

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import scipy

from twinlib.audio import Signal
from twinlib.db import db_to_amp

WITNESS_STEPS = ((-1.0, 0.4), (-10.0, 0.25), (-19.0, 0.25), (-28.0, 0.2), (-7.0, 0.9))
"""Peak level in dBFS and duration in seconds of each step. The loud first step gives the device the same state in every
repeat. The last step is long enough to show slow modulation."""

WITNESS_SECONDS = sum(seconds for _, seconds in WITNESS_STEPS)

SPACING_SECONDS = 180.0
"""Maximum time between two repeats, apart from the excerpt itself and the silence around it."""

FADE_SECONDS = 0.005
LOW_HZ, HIGH_HZ = 40.0, 16000.0

_KEY = 0x7769746E657373
"""Key of the random generator of the excerpt, whose bits are the same in all versions of NumPy."""


@dataclass(frozen=True)
class WitnessStep:
    """Samples [start, stop) of the excerpt with one peak level."""

    start: int
    stop: int
    dbfs: float


def witness_frames(sample_rate: int) -> int:
    """Return the length of the excerpt in samples."""
    return round(WITNESS_SECONDS * sample_rate)


def witness_steps(sample_rate: int) -> list[WitnessStep]:
    """Return the steps of the excerpt in playing order, without gaps."""
    edges = [0, *(round(seconds * sample_rate) for seconds in accumulate(seconds for _, seconds in WITNESS_STEPS))]
    levels = [dbfs for dbfs, _ in WITNESS_STEPS]
    return [WitnessStep(*step) for step in zip(edges[:-1], edges[1:], levels, strict=True)]


def make_witness(sample_rate: int) -> Signal:
    """Return the excerpt, float32 `(frames,)`: pink noise in steps of level, each faded at both ends.

    Noise has all frequencies at all times, like music, and its autocorrelation has a single peak. The steps distinguish
    gain, drive and tone: a gain changes all levels equally, a drive changes soft levels more than loud ones, and a tone
    control changes frequency bands.
    """
    frames = witness_frames(sample_rate)
    white = (np.random.Philox(key=_KEY).random_raw(frames) >> np.uint64(11)) * 2.0**-53 - 0.5
    hertz = scipy.fft.rfftfreq(frames, 1 / sample_rate)
    pink = np.zeros(len(hertz))
    inside = (hertz >= LOW_HZ) & (hertz <= min(HIGH_HZ, 0.41 * sample_rate))
    pink[inside] = 1 / np.sqrt(hertz[inside])
    noise = scipy.fft.irfft(scipy.fft.rfft(white) * pink, frames)
    out = np.zeros(frames)
    for step in witness_steps(sample_rate):
        part = noise[step.start : step.stop]
        edge = np.minimum(np.arange(len(part)), np.arange(len(part))[::-1]) / (FADE_SECONDS * sample_rate)
        part = part * np.sin(0.5 * np.pi * np.minimum(1.0, edge)) ** 2
        out[step.start : step.stop] = db_to_amp(step.dbfs) * part / np.max(np.abs(part))
    return out.astype(np.float32)


def witness_cuts(slices: int, seconds: float) -> list[int]:
    """Return the numbers of the slices before which a reel repeats the excerpt; the number `slices` is its end.

    `seconds` is the duration of the slices. The cuts are the start, the middle, the end, and equally many in either
    half, so that neighbouring cuts are at most about `SPACING_SECONDS` apart.
    """
    parts = 2 * max(1, math.ceil(seconds / (2 * SPACING_SECONDS)))
    return sorted({round(number * slices / parts) for number in range(parts + 1)})
