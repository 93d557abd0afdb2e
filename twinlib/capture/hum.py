"""Mains hum: 50 or 60 Hz and its harmonics, measured in a pause of a recording."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len, rfft

from twinlib.db import power_to_db

MAINS_HZ = (50.0, 60.0)
"""Nominal mains frequencies worldwide."""
TOLERANCE = 0.01
"""Relative deviation of the mains frequency: EN 50160 allows 1 % during 99.5 % of a year. At a
tuning of A = 440 Hz, no note of a piano is as close."""
BAND_HZ = (30.0, 1000.0)
"""Analysed band. Below it there is rumble; above it hum is weak and other sounds are strong."""
MIN_PROMINENCE_DB = 18.0
"""Minimum ratio of a line to the median around it. White noise exceeds it once in 10^6 seconds."""
MIN_DOMINANCE_DB = 10.0
"""Minimum ratio of the strongest line to the spectrum between the harmonics. A pause has no other notes."""
MAX_CHANGE_DB = 3.0
"""Maximum change of the strongest line from the first half to the second. A plucked string decays faster."""
MIN_SECONDS = 0.8
"""Minimum duration. The lines of shorter signals are too wide to resolve."""

TINY = 1e-30
"""Floor of powers, below the power of any recording."""

Array = npt.NDArray[np.float64]
Spectrum = tuple[Array, Array]
"""Frequencies in Hz, and the mean square of the equivalent sine at each."""


@dataclass(frozen=True)
class Hum:
    """The frequency of the fundamental in Hz, and the total rms level of all lines below 1 kHz in dBFS."""

    hz: float
    dbfs: float


@dataclass(frozen=True)
class _Line:
    hz: float
    power: float


def measure_hum(samples: Array, sample_rate: int) -> Hum | None:
    """Measure mains hum in `(frames,)` samples of a pause, about a second long; return None without hum.

    Hum is a family of steady lines at f, 2 f, 3 f, ... with f within 1 % of 50 or 60 Hz. Either f or 2 f (the lowest
    line of a rectifier) is prominent above the noise around it, and the strongest line dominates everything between
    the harmonics. In a second with little noise, f is accurate to 0.01 Hz (parabolic interpolation of the log
    spectrum) and the level to 0.1 dB. Returns None for less than `MIN_SECONDS`.
    """
    if len(samples) < MIN_SECONDS * sample_rate:
        return None
    lobe = 4.0 * sample_rate / len(samples)
    spectrum = _spectrum(samples, sample_rate)
    candidates = [
        (line.power, line.hz / order)
        for mains in MAINS_HZ
        for order in (1, 2)
        if (line := _find_line(spectrum, order * mains, order * mains * TOLERANCE, lobe))
    ]
    if not candidates:
        return None
    fundamental = max(candidates)[1]
    orders = range(1, 1 + int(BAND_HZ[1] / fundamental))
    # Within 1 Hz: the twentieth harmonic multiplies the error of the first.
    lines = [line for order in orders if (line := _find_line(spectrum, order * fundamental, 1.0, lobe))]
    strongest = max(lines, key=lambda line: line.power, default=None)
    if strongest is None or not _is_dominant(spectrum, fundamental, strongest, lobe):
        return None
    if not _is_steady(samples, sample_rate, strongest):
        return None
    level = power_to_db(sum(line.power for line in lines))
    return Hum(round(fundamental, 2), round(level, 2))


def _blackman_harris(count: int) -> Array:
    """Return the periodic window; `scipy.signal` would take longer to import than a take to check."""
    turn = 2.0 * np.pi * np.arange(count) / count
    return np.asarray(0.35875 - 0.48829 * np.cos(turn) + 0.14128 * np.cos(2.0 * turn) - 0.01168 * np.cos(3.0 * turn))


def _spectrum(samples: Array, sample_rate: int) -> Spectrum:
    """Return the spectrum of the band, under a window with side lobes of -92 dB."""
    window = _blackman_harris(len(samples))
    frames = int(next_fast_len(8 * len(samples), real=True))
    stop = int((BAND_HZ[1] + MAINS_HZ[1]) * frames / sample_rate)
    bins = np.asarray(rfft(window * (samples - samples.mean()), frames))[:stop]
    hz = np.arange(len(bins), dtype=np.float64) * (sample_rate / frames)
    power: Array = 2.0 * np.abs(bins) ** 2 / window.sum() ** 2
    return hz, power


def _find_line(spectrum: Spectrum, near: float, reach: float, lobe: float) -> _Line | None:
    """Return the peak within `reach` of `near` if it is prominent above the noise on both sides."""
    hz, power = spectrum
    first, last = np.searchsorted(hz, (near - reach - hz[1], near + reach + hz[1]))
    if last >= len(hz):
        return None
    at = first + int(np.argmax(power[first:last]))
    # A maximum at the border belongs to the slope of another line.
    if not power[at - 1] < power[at] > power[at + 1]:
        return None
    distance = np.abs(hz - hz[at])
    noise = float(np.median(power[(distance > lobe) & (distance < MAINS_HZ[0] / 2)]))
    if _ratio_db(power[at], noise) < MIN_PROMINENCE_DB:
        return None
    before, here, after = np.log(np.maximum(power[at - 1 : at + 2], TINY))
    offset = 0.5 * (before - after) / (before - 2.0 * here + after)
    return _Line(float(hz[at] + offset * hz[1]), float(power[at]))


def _is_dominant(spectrum: Spectrum, fundamental: float, strongest: _Line, lobe: float) -> bool:
    hz, power = spectrum
    distance = np.abs(hz - fundamental * np.round(hz / fundamental))
    others = power[(hz > BAND_HZ[0]) & (hz < BAND_HZ[1]) & (distance > lobe)]
    return _ratio_db(strongest.power, others.max()) >= MIN_DOMINANCE_DB


def _is_steady(samples: Array, sample_rate: int, line: _Line) -> bool:
    """Return whether the line is as strong in the first half as in the second."""
    half = len(samples) // 2
    wave = _blackman_harris(half) * np.exp(-2j * np.pi * line.hz / sample_rate * np.arange(half))
    first, second = (np.abs(wave @ part) ** 2 for part in (samples[:half], samples[half : 2 * half]))
    return abs(_ratio_db(first, second)) <= MAX_CHANGE_DB


def _ratio_db(power: float, other: float) -> float:
    return power_to_db(max(power, TINY) / max(other, TINY))
