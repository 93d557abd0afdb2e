"""Sine sweeps, and devices that make of them what confuses a correlation: harmonics, filters, a level of their own."""

import numpy as np
from scipy.signal import butter, iirpeak, lfilter, sosfilt

from .conftest import RATE, Array


def sweep(kind: str, seconds: float, first_hz: float, last_hz: float, level: float = 0.5) -> Array:
    t = np.arange(int(seconds * RATE)) / RATE
    if kind == "linear":
        periods = first_hz * t + (last_hz - first_hz) * t**2 / 2 / seconds
    else:
        octaves = np.log(last_hz / first_hz)
        periods = first_hz * seconds / octaves * np.expm1(t / seconds * octaves)
    return np.asarray(level * np.sin(2 * np.pi * periods))


def coupled(x: Array) -> Array:
    return np.asarray(lfilter([0.995, -0.995], [1.0, -0.99], x))


def preamp(x: Array) -> Array:
    return np.asarray(0.5 * lfilter([0.6], [1.0, -0.4], np.tanh(4.0 * coupled(x) + 0.1) - np.tanh(0.1)))


def two_stage_fuzz(x: Array) -> Array:
    return np.asarray(0.6 * np.tanh(200.0 * lfilter([0.05], [1.0, -0.95], np.tanh(100.0 * x))))


def asymmetric_fuzz(x: Array) -> Array:
    """Two stages that clip hard at unequal levels, with short time constants: silent for a part of each low period."""
    first = 20.0 * lfilter([0.99, -0.99], [1.0, -0.98], np.clip(15.0 * coupled(x), -0.6, 1.0))
    return np.asarray(0.4 * lfilter([0.5], [1.0, -0.5], np.clip(first, -1.0, 0.7)))


def octave_up(x: Array) -> Array:
    """A full-wave rectifier after a booster."""
    return coupled(np.abs(coupled(np.tanh(8.0 * x))))


def octave_fuzz(x: Array) -> Array:
    return np.asarray(0.5 * np.tanh(30.0 * octave_up(x)))


def bright_distortion(x: Array) -> Array:
    clipped = np.tanh(60.0 * sosfilt(butter(1, 700, "high", fs=RATE, output="sos"), x))
    return np.asarray(0.5 * sosfilt(butter(1, 3000, fs=RATE, output="sos"), clipped))


def resonance(x: Array) -> Array:
    return np.asarray(0.3 * (x + 8.0 * lfilter(*iirpeak(5000, 8, fs=RATE), x)))


def envelope(x: Array, seconds: float) -> Array:
    share = 1.0 - np.exp(-1.0 / (seconds * RATE))
    return np.asarray(lfilter([share], [1.0, share - 1.0], np.abs(x)))


def soft_gate(x: Array) -> Array:
    return np.tanh(3.0 * x) * np.clip((envelope(x, 0.02) / 0.05) ** 2, 0.0, 1.0)


def compressor(x: Array) -> Array:
    return np.tanh(2.0 * x) * 0.1 / (0.05 + envelope(x, 0.03))


DEVICES = (preamp, two_stage_fuzz, octave_up, octave_fuzz, bright_distortion, resonance, soft_gate, compressor)
