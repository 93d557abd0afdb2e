"""Common signals, devices and processes."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from twinlib.audio import Signal
from twinlib.evaluation.excerpts import AlignedSpan, ProcessBlock, ReadSamples

RATE = 8000


def music(frames: int, seed: int = 0, level: float = 0.25) -> Signal:
    """Noise with a spectrum and level changes like music, float32 `(frames,)`."""
    rng = np.random.default_rng(seed)
    noise = lfilter([1.0], [1.0, -0.9], rng.standard_normal(frames))
    swell = 0.4 + 0.6 * np.sin(2 * np.pi * np.arange(frames) / (0.7 * RATE)) ** 2
    shaped = noise * swell
    return (level * shaped / np.max(np.abs(shaped), initial=1e-9)).astype(np.float32)


def late(signal: Signal, samples: int) -> Signal:
    return np.concatenate([np.zeros(samples, np.float32), signal[: len(signal) - samples]])


def device(dry: Signal, guard: int = 0) -> Signal:
    """A saturating stage after a one-pole filter, delayed by the guard."""
    return late(np.tanh(3 * lfilter([0.5], [1, -0.5], dry)).astype(np.float32) / 2, guard)


def reader(signal: Signal) -> ReadSamples:
    def read(start: int, stop: int) -> Signal:
        assert 0 <= start <= stop <= len(signal)
        return signal[start:stop].copy()

    return read


def span(dry: Signal, wet: Signal, start: int, stop: int | None = None, history: int | None = None) -> AlignedSpan:
    stop = len(wet) if stop is None else stop
    return AlignedSpan(reader(dry), reader(wet), start, stop, start if history is None else history)


def fir_process(fir: Signal) -> ProcessBlock:
    """A streaming filter that starts from silence."""
    state = np.zeros(len(fir) - 1)

    def process(block: Signal) -> Signal:
        nonlocal state
        out, state = lfilter(fir, [1.0], block.astype(np.float64), zi=state)
        return out.astype(np.float32)

    return process


def cuts(frames: int, points: list[int]) -> list[tuple[int, int]]:
    """Split `frames` samples at the given points."""
    places = sorted({0, frames, *(point % (frames + 1) for point in points)})
    return list(pairwise(places))


def near(value: float | None, rel: float) -> Any:
    """Approximately equal to a metric; None equals None."""
    return None if value is None else pytest.approx(value, rel=rel)
