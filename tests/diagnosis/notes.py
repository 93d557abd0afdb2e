"""Synthetic music for the tests and the benchmark of the diagnosis."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

RATE = 44100


def draw_notes(
    frames: int, starts: Iterable[int], samples: int, softest: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return notes and noises of random pitch, level and colour, as on a reel, with a peak of 1.

    A note of `samples` samples begins at each of `starts`; its level is between 10 ** `softest` and 1.
    """
    out = np.zeros(frames + samples)
    t = np.arange(samples) / RATE
    for start in starts:
        pitch = 55.0 * 2 ** (rng.integers(0, 40) / 12)
        note = sum(
            np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k ** rng.uniform(0.6, 1.6) for k in range(1, 12)
        )
        note = note * np.exp(-t * rng.uniform(1, 8)) + rng.standard_normal(len(t)) * np.exp(-t * 60)
        out[start : start + len(t)] += 10 ** rng.uniform(softest, 0.0) * note * np.hanning(len(t))
    return np.asarray(out[:frames] / np.abs(out).max())
