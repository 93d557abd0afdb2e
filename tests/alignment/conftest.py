"""Captures with a known lag and drift; the kernel that makes them is not the aligner's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.interpolate import CubicSpline
from scipy.signal import chirp, firwin, resample_poly
from scipy.signal.windows import tukey

from twinlib import audio

RATE = 44100
CLICK = int(0.02 * RATE)

Array = npt.NDArray[np.float64]


def programme(seconds: float, seed: int = 0) -> Array:
    """Something like music: decaying notes with harmonics and plucks, periodic enough to fool a plain correlation."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    out = np.zeros(frames + RATE)
    beat = RATE // 4
    for start in range(0, frames - beat, beat):
        t = np.arange(RATE) / RATE
        pitch = 110.0 * 2 ** (rng.integers(0, 24) / 12)
        for k in range(1, 12):
            out[start : start + RATE] += (
                np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) * np.exp(-t * (3 + k)) / k
            )
        out[start : start + RATE] += 0.5 * rng.standard_normal(RATE) * np.exp(-t * 60)
    out = out[:frames]
    spectrum = np.fft.rfft(out)
    f = np.fft.rfftfreq(frames, 1 / RATE)
    out = np.fft.irfft(spectrum / (1 + (f / 12000.0) ** 16), frames)
    return 0.5 * out / np.abs(out).max()


def click() -> Array:
    t = np.arange(CLICK) / RATE
    return 0.89 * chirp(t, 100, t[-1], 18000) * tukey(CLICK, 0.2)


def reel(seconds: float, seed: int = 0) -> tuple[Array, list[int]]:
    """Silence, click, programme, click, silence, and where the clicks start."""
    music = programme(seconds, seed)
    gap = int(1.2 * RATE)
    short = int(0.3 * RATE)
    first = gap
    second = gap + CLICK + short + len(music) + short
    out = np.zeros(second + CLICK + gap)
    out[first : first + CLICK] = click()
    out[second : second + CLICK] = click()
    out[first + CLICK + short : first + CLICK + short + len(music)] = music
    return out, [first, second]


def warped(x: Array, lag: float, drift_ppm: float, frames: int | None = None) -> Array:
    """The signal whose index k holds x at (k - lag) / (1 + drift): a cubic spline through 8-fold oversampling."""
    over = 8
    taps = firwin(2 * 20 * over + 1, 1 / over, window=("kaiser", 12.0))
    dense = resample_poly(np.concatenate((np.zeros(64), x, np.zeros(64))), over, 1, window=taps)
    frames = frames if frames is not None else int(np.ceil(lag + (1 + drift_ppm * 1e-6) * len(x))) + 2000
    k = (np.arange(frames) - lag) / (1 + drift_ppm * 1e-6)
    at = (k + 64) * over
    out = np.zeros(frames)
    inside = (at >= 0) & (at <= len(dense) - 1)
    out[inside] = CubicSpline(np.arange(len(dense)), dense)(at[inside])
    return out


def device(x: Array, drive: float = 1.5) -> Array:
    """A mild memoryless saturation, which has no phase of its own."""
    return np.tanh(drive * x) / drive


def noise(frames: int, dbfs: float, seed: int = 1) -> Array:
    return 10 ** (dbfs / 20) * np.random.default_rng(seed).standard_normal(frames)


Write = Callable[[str, Array], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(name: str, samples: Array) -> Path:
        path = tmp_path / name
        audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
        return path

    return writer
