"""Signals and checks for tests of the `twin` command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.cli_harness import check_error
from tests.workflow.project import RATE, noise
from twinlib import audio
from twinlib.excitation.sync_click import make_click
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin

Ended = tuple[int, str, str]
Command = Callable[..., Ended]


def refused(ended: Ended, *parts: str) -> None:
    """Check for exit code 1 and one error message with these parts."""
    code, _, err = ended
    check_error(code, err, *parts)


def strict_json(text: str) -> dict[str, Any]:
    """Parse standard JSON, without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    assert isinstance(content, dict)
    return content


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, np.asarray(samples, np.float32), rate, "FLOAT")  # the library writes no NaN
    return path


def late(samples: np.ndarray, lag: int) -> np.ndarray:
    return np.concatenate([np.zeros((lag, *samples.shape[1:]), np.float32), samples])


def twin_output(model: Twin, dry: audio.Signal) -> audio.Signal:
    """Return the output of the twin for `(frames, channels)`, without latency."""
    guard = model.guard_samples
    return Stream(model, dry.shape[1]).process(np.pad(dry, ((0, guard), (0, 0))))[guard:]


def make_reel(seed: int) -> tuple[np.ndarray, list[int]]:
    outer, inner, mark = np.zeros(RATE, np.float32), np.zeros(RATE // 3, np.float32), make_click(RATE)
    parts = [outer, mark, inner, noise(7.0, seed), inner, mark, outer]
    starts = np.cumsum([0, *map(len, parts)])
    return np.concatenate(parts), [int(starts[1]), int(starts[5])]


def take_of(reel: np.ndarray, noise_level: float = 1e-4) -> np.ndarray:
    taken = late(0.4 * np.tanh(1.5 * np.concatenate([reel, np.zeros(5000, np.float32)])), 4321)
    return taken + noise_level * np.random.default_rng(3).standard_normal(len(taken)).astype(np.float32)
