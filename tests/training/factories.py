from collections.abc import Iterator
from functools import cache
from itertools import accumulate

import numpy as np

from twinlib.progress import Progress
from twinlib.training.data import Pair, Split

GUARD = 4


def one_pole(signal: np.ndarray, gain: float, pole: float) -> np.ndarray:
    """Return a one-pole low-pass of a signal, without SciPy, whose import takes as long as that of torch."""
    scaled = gain * signal.astype(np.float64)
    return np.fromiter(accumulate(scaled.tolist(), lambda state, sample: sample + pole * state), np.float64)


def device(dry: np.ndarray) -> np.ndarray:
    """Return the output of a saturating amplifier with a one-pole filter, inverted and delayed by the guard."""
    wet = -one_pole(np.tanh(4 * dry), 0.4, 0.6).astype(np.float32)
    return np.concatenate([np.zeros(GUARD, np.float32), wet[:-GUARD]])


@cache
def music(frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return filtered noise in bursts of changing level, and the device's output for it; copy them to change them."""
    generator = np.random.default_rng(seed)
    noise = one_pole(generator.standard_normal(frames), 0.2, 0.8)
    envelope = np.repeat(generator.uniform(0.05, 0.8, frames // 500 + 1), 500)[:frames]
    dry = (noise * envelope).astype(np.float32)
    return dry, device(dry)


class MemoryData:
    """A synthetic device in memory."""

    sample_rate, guard_samples, device, digest = 44100, GUARD, "box", "d1ge57"

    def __init__(self, receptive_field: int, batch: int = 2, crop: int = 64, seed: int = 0) -> None:
        self.context, self.size, self.crop, self.seed = receptive_field - 1, batch, crop, seed
        self.dry, self.wet = (signal.copy() for signal in music(30000, 1))

    def starts(self, step: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, step])
        return generator.integers(self.context, len(self.dry) - self.crop, self.size)

    def batch(self, step: int) -> Pair:
        starts = self.starts(step)
        dry = np.stack([self.dry[start - self.context : start + self.crop] for start in starts])
        return dry, np.stack([self.wet[start : start + self.crop] for start in starts])

    def fundamentals(self, step: int) -> np.ndarray:
        return np.zeros(self.size)

    def crop_positions(self, step: int) -> list[str]:
        return [f"memory at sample {start}" for start in self.starts(step)]

    def excerpts(self, seconds: float) -> list[Pair]:
        dry, wet = music(6000, 2)
        middle = len(dry) // 2
        return [(dry[:middle], wet[self.context : middle]), (dry[middle - self.context :], wet[middle:])]

    def spans(self, split: Split, taps: int, samples: int) -> Iterator[Pair]:
        dry, wet = (self.dry, self.wet) if split == "train" else music(6000, 2)
        for start in range(taps - 1, len(dry), 7000):
            yield dry[start - taps + 1 : start + 7000], wet[start : start + 7000]


class ToneData(MemoryData):
    """The same device, with a steady sine as last crop of each step."""

    def fundamentals(self, step: int) -> np.ndarray:
        drawn = np.random.default_rng([self.seed, 1, step]).uniform(0.03, 0.2)
        return np.array([0.0] * (self.size - 1) + [drawn])

    def batch(self, step: int) -> Pair:
        dry, wet = super().batch(step)
        turns = self.fundamentals(step)[-1] * np.arange(GUARD + 200 + dry.shape[1])
        tone = (0.3 * np.sin(2 * np.pi * turns)).astype(np.float32)
        dry[-1], wet[-1] = tone[-dry.shape[1] :], device(tone)[-self.crop :]
        return dry, wet


def kill_at(step: float) -> Progress:
    """Return a progress that raises after `step` units, before anything of that step is saved: equivalent to a kill."""
    done = 0.0

    def progress(n: float, note: str = "") -> None:
        nonlocal done
        done += n
        if done >= step:
            raise InterruptedError

    return progress
