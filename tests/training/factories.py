from itertools import accumulate

import numpy as np

from twinlib.progress import Progress
from twinlib.training.data import Pair

GUARD = 4


def smoothed(signal: np.ndarray, gain: float, pole: float) -> np.ndarray:
    """A one-pole low-pass; the tests' many processes need no SciPy for it, which loads as long as torch."""
    raised = gain * signal.astype(np.float64)
    return np.fromiter(accumulate(raised, lambda before, now: now + pole * before), np.float64)


def device(dry: np.ndarray) -> np.ndarray:
    """A saturating amplifier with a one-pole filter, polarity turned, late by the guard."""
    wet = -smoothed(np.tanh(4 * dry), 0.4, 0.6).astype(np.float32)
    return np.concatenate([np.zeros(GUARD, np.float32), wet[:-GUARD]])


def music(frames: int, seed: int) -> np.ndarray:
    """Bursts of filtered noise of changing level."""
    generator = np.random.default_rng(seed)
    noise = smoothed(generator.standard_normal(frames), 0.2, 0.8)
    envelope = np.repeat(generator.uniform(0.05, 0.8, frames // 500 + 1), 500)[:frames]
    return (noise * envelope).astype(np.float32)


class MemoryData:
    """A synthetic device in memory."""

    sample_rate, guard_samples, device, digest = 44100, GUARD, "box", "d1ge57"

    def __init__(self, receptive_field: int, batch: int = 2, crop: int = 64, seed: int = 0) -> None:
        self.context, self.size, self.crop, self.seed = receptive_field - 1, batch, crop, seed
        self.dry = music(30000, 1)
        self.wet = device(self.dry)
        self.valid = music(6000, 2)

    def starts(self, step: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, step])
        return generator.integers(self.context, len(self.dry) - self.crop, self.size)

    def batch(self, step: int) -> Pair:
        starts = self.starts(step)
        dry = np.stack([self.dry[start - self.context : start + self.crop] for start in starts])
        return dry, np.stack([self.wet[start : start + self.crop] for start in starts])

    def crop_positions(self, step: int) -> list[str]:
        return [f"memory at sample {start}" for start in self.starts(step)]

    def excerpts(self, seconds: float) -> list[Pair]:
        wet, middle = device(self.valid), len(self.valid) // 2
        return [
            (self.valid[:middle], wet[self.context : middle]),
            (self.valid[middle - self.context :], wet[middle:]),
        ]


def kill_at(step: float) -> Progress:
    """A progress that raises when so much is done, before anything of that step is saved: as good as a kill."""
    done = 0.0

    def progress(n: float, note: str = "") -> None:
        nonlocal done
        done += n
        if done >= step:
            raise InterruptedError

    return progress
