from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from twinlib import audio

RATE = 44100

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(name: str, samples: np.ndarray, rate: int = RATE, subtype: audio.Subtype = "PCM_24") -> Path:
        audio.write(tmp_path / name, samples.astype(np.float32), rate, subtype)
        return tmp_path / name

    return writer


def music(seconds: float, peak: float = 0.5, seed: int = 0) -> np.ndarray:
    """Bursts of coloured noise separated by pauses."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    out = np.cumsum(rng.standard_normal(frames))
    out = np.diff(out, prepend=0.0) + 0.02 * (out - out.mean())
    burst = np.sin(2 * np.pi * np.arange(frames) / RATE) > 0
    out = burst * (out - out[burst].mean())
    return peak * out / np.abs(out).max()
