from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.capture.conftest import RATE, Write
from twinlib.audio import Reader
from twinlib.capture.silence import find_silence
from twinlib.intervals import Range

WINDOW = RATE // 20


def silence_of(path: Path) -> list[Range]:
    with Reader(path) as reader:
        return find_silence(reader, 0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.integers(3, 60), min_size=2, max_size=5),
    noise_dbfs=st.sampled_from([-200.0, -100.0, -75.0, -60.0]),
    level=st.sampled_from([1.0, 0.1]),
)
def test_pauses_are_found_at_any_level_and_noise(
    write: Write, parts: list[int], noise_dbfs: float, level: float
) -> None:
    """Every other part holds noise only, 40 dB or more below the sound."""
    rng = np.random.default_rng(len(parts))
    envelope = np.repeat(np.arange(len(parts)) % 2, np.array(parts) * WINDOW)
    samples = 0.3 * rng.uniform(-1, 1, len(envelope)) * envelope
    samples += 10 ** (noise_dbfs / 20) * rng.standard_normal(len(envelope))
    edges = np.cumsum([0, *parts]) * WINDOW
    expected = [(int(edges[k]), int(edges[k + 1])) for k in range(0, len(parts), 2)]
    assert silence_of(write("a.wav", level * samples, subtype="FLOAT")) == expected


def test_quiet_programme_and_steady_sound_are_no_silence(write: Write) -> None:
    time = np.arange(4 * RATE) / RATE
    sine = np.sin(2 * np.pi * 440 * time)
    for envelope in (np.ones_like(time), np.where(time < 2, 1.0, 0.03), np.exp(-time)):
        assert silence_of(write("a.wav", 0.5 * envelope * sine)) == []
    assert silence_of(write("a.wav", np.zeros(RATE))) == []


def test_digital_silence_does_not_hide_the_noise_of_other_pauses(write: Write) -> None:
    rng = np.random.default_rng(1)
    sound, noise = 0.2 * rng.standard_normal(2 * RATE), 1e-3 * rng.standard_normal(2 * RATE)
    samples = np.concatenate((noise, sound, np.zeros(3 * RATE)))
    assert silence_of(write("a.wav", samples)) == [(0, 2 * RATE), (4 * RATE, 7 * RATE)]
