"""Reasons why a dry file was not found in a wet file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from twinlib import audio
from twinlib.alignment.locate import diagnose_mismatch
from twinlib.alignment.messages import MESSAGES
from twinlib.alignment.pipeline import align

from .conftest import RATE, Array, channel, noise, programme, reel, sample_at

SECONDS = 8.0


def lasting(x: Array, times: float) -> Array:
    """Slow the signal down to `times` its length."""
    return sample_at(x, np.arange(int(len(x) * times)) / times)


def mains(hertz: float, harmonics: int) -> Array:
    t = np.arange(int(SECONDS * RATE)) / RATE
    return np.asarray(0.1 * sum(np.sin(2 * np.pi * hertz * k * t + k) / k for k in range(1, harmonics + 1)))


@pytest.mark.parametrize(
    ("wet", "words"),
    [
        (lambda x: lasting(x, 2.0), "runs at 0.5 times the speed"),
        (lambda x: lasting(x, 0.5), "runs at 2 times the speed"),
        (lambda x: lasting(x, 1.5), "runs at 0.6667 times the speed"),
        (lambda x: lasting(x, 48000 / 44100), "runs at 0.9187 times the speed"),
        (lambda x: np.concatenate((noise(RATE, -60), -lasting(x, 44100 / 48000))), "runs at 1.088 times the speed"),
        (lambda x: mains(50.0, 6) + noise(len(x), -70), "nothing but hum"),
        (lambda x: mains(60.0, 1) + 0.02, "nothing but hum"),
        (lambda x: noise(len(x), -100), "is silent"),
        (lambda x: np.full(len(x), 0.1), "is silent"),
        (lambda x: programme(SECONDS, seed=9), "recording of another file"),
        (lambda x: noise(len(x), -20), "recording of another file"),
    ],
    ids=["half", "double", "two thirds", "48 in 44.1", "44.1 in 48", "hum", "60 Hz", "silence", "dc", "other", "noise"],
)
def test_each_cause_has_its_message(wet: Callable[[Array], Array], words: str) -> None:
    dry = programme(SECONDS)
    finding = diagnose_mismatch(channel(dry), channel(wet(dry)), clicks_found=False)
    sentence = MESSAGES.sentence(finding)
    assert finding.severity == "refused"
    assert words in sentence
    assert "record again" in sentence


def test_clicks_around_another_programme_mean_another_reel() -> None:
    finding = diagnose_mismatch(channel(programme(SECONDS)), channel(programme(SECONDS, seed=9)), clicks_found=True)
    assert finding.code == "other-reel"


def test_align_detects_a_wrong_sample_rate_in_the_header(tmp_path: Path) -> None:
    """The clicks are closer together and higher in pitch."""
    dry, clicks = reel(6.0)
    for name, rate in (("dry.wav", RATE), ("wet.wav", 48000)):
        audio.write(tmp_path / name, dry.astype(np.float32), rate, "FLOAT")
    found = align(tmp_path / "dry.wav", tmp_path / "wet.wav", clicks=clicks)
    assert found.verdict == "refused"
    assert "1.088 times the speed" in found.reasons[0]
    assert "48000 Hz" in found.reasons[0]
