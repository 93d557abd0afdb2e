"""Sine sweeps among the slices of music, because music lacks loud high-frequency tones.

A sweep has no file: it is synthesised from its name, which contains its frequencies. On the cue sheet it is a slice of
the track `TRACK`.
"""

import re

import numpy as np

from twinlib.audio import Signal
from twinlib.errors import ExcitationError

TRACK = "sweeps"
"""Track id and artist of all sweeps."""

LICENCE = "CC0-1.0"
"""Licence of all sweeps."""

LEVEL_DB = (-36.0, 0.0)
"""Range of the peak level in dBFS."""

_LOW_HZ, _HIGH_HZ = 30.0, 12000.0
_HIGHEST_OF_RATE = 0.4
_NAME = re.compile(r"sweep:(\d+\.\d\d)-(\d+\.\d\d)Hz")


def is_sweep(source: str) -> bool:
    """Whether a source of the cue sheet is a sweep rather than a file."""
    return source.startswith("sweep:")


def draw_sweep(generator: np.random.Generator, sample_rate: int) -> str:
    """Draw the name of a rising or falling sweep with end frequencies uniform in octaves from 30 Hz to 12 kHz."""
    high = min(_HIGH_HZ, _HIGHEST_OF_RATE * sample_rate)
    first, last = np.exp(generator.uniform(np.log(_LOW_HZ), np.log(high), 2))
    return f"sweep:{first:.2f}-{last:.2f}Hz"


def make_sweep(name: str, frames: int, sample_rate: int) -> Signal:
    """Return an exponential sweep with a peak of 1, float32 `(frames,)`; raises `ExcitationError` on a bad name."""
    found = _NAME.fullmatch(name)
    if found is None or not float(found[1]) or not float(found[2]):
        raise ExcitationError(
            f"the cue sheet has an invalid sweep {name}: expected a name such as sweep:100.00-5000.00Hz"
        )
    first, last = float(found[1]), float(found[2])
    place = np.arange(frames) / frames
    octaves = np.log(last / first)
    # Periods since the start: the integral of first * (last / first) ** place.
    periods = place if abs(octaves) < 1e-9 else np.expm1(octaves * place) / octaves
    wave: Signal = np.sin(2 * np.pi * first * frames / sample_rate * periods).astype(np.float32)
    return wave
