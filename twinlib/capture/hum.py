"""Mains hum: 50 or 60 Hz and its harmonics, measured in a pause of a recording."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len, rfft

from twinlib.db import power_to_db

MAINS_HZ = (50.0, 60.0)
"""What the world's mains have."""
TOLERANCE = 0.01
"""How far mains may be off: EN 50160 allows 1 % during 99.5 % of a year. No note of a piano at 440 Hz lies as near."""
BAND_HZ = (30.0, 1000.0)
"""Where hum is looked for: below it rumbles, above it little is left of hum and there is much else."""
CLEAR_DB = 18.0
"""How far a line of hum stands above the median of what is beside it: white noise does so once in 10^6 seconds."""
ALONE_DB = 10.0
"""How far the strongest line stands above all that is no harmonic: music has other notes, a pause has none."""
STEADY_DB = 3.0
"""How much the strongest line may change from the first half to the second: a plucked string dies away faster."""
LEAST_SECONDS = 0.8
"""In less time the lines are too wide to be told apart from what is beside them."""

TINY = 1e-30
"""A power that no recording has, in place of 0."""

Spectrum = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Frequencies in Hz, and at each the mean square of a sine that would give what is found there."""


@dataclass(frozen=True)
class Hum:
    """The frequency of its fundamental in Hz, and the rms of all its lines below 1 kHz together in dBFS."""

    hz: float
    dbfs: float


@dataclass(frozen=True)
class _Line:
    hz: float
    power: float


def measure_hum(samples: npt.NDArray[np.float64], sample_rate: int) -> Hum | None:
    """The mains hum in `(frames,)` samples of a pause, about a second long; None if there is none.

    Hum is a family of steady lines at f, 2 f, 3 f... with f within 1 % of 50 or 60 Hz, of which f or 2 f (all that
    rectifiers leave) stands clearly above the noise beside it, and the strongest above all that is no member. In a
    second with little noise f is right to 0.01 Hz (a parabola through the peak of the logarithm) and the level to
    0.1 dB. Less than `LEAST_SECONDS` give None.
    """
    if len(samples) < LEAST_SECONDS * sample_rate:
        return None
    lobe = 4.0 * sample_rate / len(samples)
    spectrum = _spectrum(samples, sample_rate)
    leads = [
        (line.power, line.hz / order)
        for mains in MAINS_HZ
        for order in (1, 2)
        if (line := _line(spectrum, order * mains, order * mains * TOLERANCE, lobe))
    ]
    if not leads:
        return None
    fundamental = max(leads)[1]
    orders = range(1, 1 + int(BAND_HZ[1] / fundamental))
    # Within 1 Hz: the twentieth multiplies what is wrong with the first.
    lines = [line for order in orders if (line := _line(spectrum, order * fundamental, 1.0, lobe))]
    strongest = max(lines, key=lambda line: line.power, default=None)
    if strongest is None or not _alone(spectrum, fundamental, strongest, lobe):
        return None
    if not _steady(samples, sample_rate, strongest):
        return None
    level = power_to_db(sum(line.power for line in lines))
    return Hum(round(fundamental, 2), round(level, 2))


def _spectrum(samples: npt.NDArray[np.float64], sample_rate: int) -> Spectrum:
    """Of the band under a window whose side lobes are 92 dB down."""
    window = blackman_harris(len(samples))
    frames = int(next_fast_len(8 * len(samples), real=True))
    stop = int((BAND_HZ[1] + MAINS_HZ[1]) * frames / sample_rate)
    found = np.asarray(rfft(window * (samples - samples.mean()), frames))[:stop]
    hz = np.arange(len(found), dtype=np.float64) * (sample_rate / frames)
    power: npt.NDArray[np.float64] = 2.0 * np.abs(found) ** 2 / window.sum() ** 2
    return hz, power


def blackman_harris(length: int) -> npt.NDArray[np.float64]:
    """The periodic four-term window of Harris (1978), `(length,)`: SciPy's brings all of `scipy.signal` along, a second
    of each take's time.
    """
    angles = np.linspace(-np.pi, np.pi, length + 1)[:-1]
    window: npt.NDArray[np.float64] = sum(
        (weight * np.cos(order * angles) for order, weight in enumerate((0.35875, 0.48829, 0.14128, 0.01168))),
        np.zeros(length),
    )
    return window


def _line(spectrum: Spectrum, near: float, reach: float, lobe: float) -> _Line | None:
    """The peak within `reach` of `near` if there is one that stands clearly above the noise on both sides."""
    hz, power = spectrum
    first, last = np.searchsorted(hz, (near - reach - hz[1], near + reach + hz[1]))
    if last >= len(hz):
        return None
    at = first + int(np.argmax(power[first:last]))
    # What rises to the border is the slope of another line.
    if not power[at - 1] < power[at] > power[at + 1]:
        return None
    away = np.abs(hz - hz[at])
    noise = float(np.median(power[(away > lobe) & (away < MAINS_HZ[0] / 2)]))
    if _over(power[at], noise) < CLEAR_DB:
        return None
    before, here, after = np.log(np.maximum(power[at - 1 : at + 2], TINY))
    offset = 0.5 * (before - after) / (before - 2.0 * here + after)
    return _Line(float(hz[at] + offset * hz[1]), float(power[at]))


def _alone(spectrum: Spectrum, fundamental: float, strongest: _Line, lobe: float) -> bool:
    """Whether nothing else in the band is nearly as strong."""
    hz, power = spectrum
    away = np.abs(hz - fundamental * np.round(hz / fundamental))
    others = power[(hz > BAND_HZ[0]) & (hz < BAND_HZ[1]) & (away > lobe)]
    return _over(strongest.power, others.max()) >= ALONE_DB


def _steady(samples: npt.NDArray[np.float64], sample_rate: int, line: _Line) -> bool:
    """Whether the line is as strong in the first half as in the second."""
    half = len(samples) // 2
    wave = blackman_harris(half) * np.exp(-2j * np.pi * line.hz / sample_rate * np.arange(half))
    first, second = (np.abs(wave @ part) ** 2 for part in (samples[:half], samples[half : 2 * half]))
    return abs(_over(first, second)) <= STEADY_DB


def _over(power: float, other: float) -> float:
    """How many dB a power lies over another."""
    return power_to_db(max(power, TINY) / max(other, TINY))
