"""Steady sines among the slices of music, from which a twin learns the harmonics of the device.

Music holds little information on weak harmonics. A tone has no file: it is synthesised from its name, which contains
its frequency. On the cue sheet it is a run of consecutive slices of the track `TONES`, within which it continues
without a change of level or phase. Its frequencies keep away from those of the probe reel, which judges the twin.
"""

import re

import numpy as np

from twinlib.audio import Signal
from twinlib.errors import ExcitationError
from twinlib.excitation.sweeps import TRACK as SWEEPS
from twinlib.excitation.sweeps import is_sweep

TONES = "tones"
"""Track id and artist of all tones."""

SYNTHETIC = frozenset((SWEEPS, TONES))
"""The tracks that this program generates: they have no file, genre or author."""

TONE_LEVEL_DB = (-40.0, -1.0)
"""Range of the peak level in dBFS."""

STEADY_SECONDS = 0.2
"""Minimum duration of a tone between its crossfades."""

PROBE_HERTZ = (50.0, 100.0, 250.0, 500.0, 1245.0, 2489.0, 4978.0)
"""Nominal frequencies of the sines of the probe reel; the three highest are common in tests of aliasing (Sato and Smith
2025)."""

_LOW_HZ, _HIGH_HZ = 40.0, 8000.0
_HIGHEST_OF_RATE = 0.4
_PROBE_DISTANCE = 0.03
_NAME = re.compile(r"tone:(\d+\.\d{3})Hz")


def is_tone(source: str) -> bool:
    """Whether a source of the cue sheet is a tone."""
    return source.startswith("tone:")


def is_synthetic(source: str) -> bool:
    """Whether a source of the cue sheet is generated rather than a file."""
    return is_tone(source) or is_sweep(source)


def draw_tone(generator: np.random.Generator, sample_rate: int) -> str:
    """Draw the name of a tone, uniform in octaves from 40 Hz to 8 kHz, at least 3 % away from the probe reel's."""
    high = min(_HIGH_HZ, _HIGHEST_OF_RATE * sample_rate)
    while True:
        hz = float(np.exp(generator.uniform(np.log(_LOW_HZ), np.log(high))))
        if all(abs(hz / probe - 1) > _PROBE_DISTANCE for probe in PROBE_HERTZ):
            return f"tone:{hz:.3f}Hz"


def tone_hertz(name: str) -> float:
    """Return the frequency of a tone in Hz; raises `ExcitationError` on a bad name."""
    found = _NAME.fullmatch(name)
    if found is None or not float(found[1]):
        raise ExcitationError(f"the cue sheet has an invalid tone {name}: expected a name such as tone:440.000Hz")
    return float(found[1])


def make_tone(name: str, start: int, frames: int, sample_rate: int) -> Signal:
    """Return samples [start, start + frames) of a sine with a peak of 1, float32 `(frames,)`.

    Raises `ExcitationError` on a bad name.
    """
    turns = tone_hertz(name) / sample_rate * np.arange(start, start + frames)
    wave: Signal = np.sin(2 * np.pi * (turns % 1.0)).astype(np.float32)
    return wave


def tone_slices(slice_samples: int, crossfade_samples: int, sample_rate: int) -> int:
    """Return the number of consecutive slices of a tone: the fewest with `STEADY_SECONDS` between its crossfades."""
    hop = slice_samples - crossfade_samples
    return max(1, -(-(round(STEADY_SECONDS * sample_rate) + crossfade_samples) // hop))
