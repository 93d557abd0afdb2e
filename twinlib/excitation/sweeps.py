"""Sine sweeps among the slices of music: loud high tones teach a twin the harmonics that music hardly asks for.

A sweep is no file: its name tells its frequencies, and everything is made from that. It stands on the cue sheet as a
slice of the track `TRACK`.
"""

import re

import numpy as np

from twinlib.audio import Signal
from twinlib.errors import ExcitationError
from twinlib.files import sha256_bytes

TRACK = "sweeps"
"""The track, and the artist, that all sweeps belong to."""

LICENCE = "CC0-1.0"
"""Nobody owns a sine."""

LEVEL_DB = (-36.0, 0.0)
"""The range of the peaks' levels, in dBFS."""

_LOW_HZ, _HIGH_HZ = 30.0, 12000.0
_HIGHEST_OF_RATE = 0.4
_NAME = re.compile(r"sweep:(\d+\.\d\d)-(\d+\.\d\d)Hz")


def is_sweep(source: str) -> bool:
    """Whether a source of the cue sheet is a sweep and no file."""
    return source.startswith("sweep:")


def draw_sweep(generator: np.random.Generator, sample_rate: int) -> str:
    """The name of a sweep whose ends are drawn, uniformly in octaves, from 30 Hz to 12 kHz; up or down."""
    high = min(_HIGH_HZ, _HIGHEST_OF_RATE * sample_rate)
    first, last = np.exp(generator.uniform(np.log(_LOW_HZ), np.log(high), 2))
    return f"sweep:{first:.2f}-{last:.2f}Hz"


def make_sweep(name: str, frames: int, sample_rate: int) -> Signal:
    """A sweep of a peak of 1 and constant octaves a second, float32 `(frames,)`.

    Raises `ExcitationError` for a name that is none.
    """
    found = _NAME.fullmatch(name)
    if found is None or not float(found[1]) or not float(found[2]):
        raise ExcitationError(f"the cue sheet names {name}, which is no sweep (sweep:100.00-5000.00Hz)")
    first, last = float(found[1]), float(found[2])
    place = np.arange(frames) / frames
    octaves = np.log(last / first)
    # Periods since the start: the integral of first * (last / first) ** place.
    turned = place if abs(octaves) < 1e-9 else np.expm1(octaves * place) / octaves
    wave: Signal = np.sin(2 * np.pi * first * frames / sample_rate * turned).astype(np.float32)
    return wave


def sweep_sha256(name: str) -> str:
    """What stands for the sum of a sweep's file: that of its name."""
    return sha256_bytes(name.encode())
