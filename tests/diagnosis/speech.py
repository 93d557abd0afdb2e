"""Synthetic speech: voiced syllables through formants, hisses and short pauses."""

import numpy as np
from scipy.signal import butter, lfilter

from tests.alignment.conftest import RATE, Array


def draw_speech(frames: int, rng: np.random.Generator) -> Array:
    """Return random syllables with an rms of 1, audible at both ends."""
    out, at = np.zeros(frames + RATE), 0
    pitch = rng.uniform(90.0, 240.0)
    while at < frames:
        length = int(rng.uniform(0.08, 0.3) * RATE)
        syllable = _vowel(length, pitch, rng) if at == 0 or rng.random() < 0.75 else _hiss(length, rng)
        edges = np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.02 * RATE)
        out[at : at + length] += syllable * np.minimum(1.0, edges)
        at += int(0.9 * length) + int(rng.integers(0, 2) * rng.uniform(0.0, 0.1) * RATE)
    return np.asarray(out[:frames] / np.sqrt(np.mean(np.square(out[:frames]))))


def _vowel(length: int, pitch: float, rng: np.random.Generator) -> Array:
    phase = np.cumsum(np.full(length, pitch * 2 ** rng.uniform(-0.3, 0.3))) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(length)
    out = np.zeros(length)
    for low, high, width, gain in ((250, 800, 80, 1.0), (900, 2300, 110, 0.6), (2300, 3200, 160, 0.3)):
        radius = np.exp(-np.pi * width / RATE)
        angle = 2 * np.pi * rng.uniform(low, high) / RATE
        out += gain * lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], pulses)
    return np.asarray(40.0 * out)


def _hiss(length: int, rng: np.random.Generator) -> Array:
    band = butter(2, [rng.uniform(1500.0, 3500.0), 9000.0], "band", fs=RATE)
    return np.asarray(0.2 * lfilter(*band, rng.standard_normal(length)))
