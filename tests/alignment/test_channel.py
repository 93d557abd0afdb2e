"""A channel of a file at the dry signal's rate, read anywhere."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.channel import Channel, frames_at_rate
from twinlib.alignment.pipeline import align
from twinlib.audio import write
from twinlib.errors import AlignmentError

from .conftest import RATE, channel, decibels, noise

RATES = (48_000, 88_200, 96_000, 22_050)


def sine(hertz: float, rate: int, seconds: float) -> np.ndarray:
    return 0.9 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate + 0.3)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 9000, 15_000, 18_000, 20_000])
def test_a_sine_keeps_its_time_and_shape_at_another_rate(rate: int, hertz: float) -> None:
    """Sample n at the dry rate is time n / rate, to 20 kHz, or what the file can hold."""
    if hertz > 0.45 * rate:
        return
    heard = channel(sine(hertz, rate, 1.2), rate)
    n = np.arange(3000, RATE)
    truth = 0.9 * np.sin(2 * np.pi * hertz * n / RATE + 0.3)
    assert decibels(truth, heard.read(3000, RATE)) > 120


@pytest.mark.parametrize("rate", [88_200, 96_000])
def test_nothing_folds_back_from_above_the_dry_band(rate: int) -> None:
    """From 24 kHz on, less than -100 dB of it is left."""
    for hertz in (24_000, 30_000, 40_000):
        heard = channel(sine(hertz, rate, 0.5), rate).read(3000, 18_000)
        assert 20 * np.log10(np.std(heard) / np.std(sine(hertz, rate, 0.5))) < -100


@settings(max_examples=30)
@given(rate=st.sampled_from((*RATES, RATE)), cuts=st.lists(st.integers(-500, 70_000), min_size=1, max_size=6))
def test_windows_change_no_bit(rate: int, cuts: list[int]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, int(1.5 * rate))
    whole = channel(samples, rate).read(-500, 70_000)
    again = channel(samples, rate)
    parts = [again.read(*window) for window in pairwise([-500, *sorted(cuts), 70_000])]
    assert np.array_equal(np.concatenate(parts), whole)
    # Backwards too: what was read before leaves nothing behind.
    back = [again.read(*window) for window in reversed(list(pairwise([-500, *sorted(cuts), 70_000])))]
    assert np.array_equal(np.concatenate(back[::-1]), whole)


READ = """
import hashlib, sys
import numpy as np
from tests.alignment.conftest import channel
for rate in map(int, sys.argv[1:]):
    samples = np.random.default_rng(0).uniform(-1, 1, 2 * rate)
    print(rate, hashlib.sha256(channel(samples, rate).read(0, 88_200).tobytes()).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit() -> None:
    """Libraries that add in parallel round otherwise for each number of them."""
    said = [
        subprocess.run(
            [sys.executable, "-c", READ, *map(str, (*RATES, 32_000))],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert len(said[0].splitlines()) == len(RATES) + 1
    assert said[0] == said[1]


@given(start=st.integers(-100, 2100), frames=st.integers(0, 500), low=st.integers(0, 900), high=st.integers(1000, 2000))
def test_silence_lies_around_the_range(start: int, frames: int, low: int, high: int) -> None:
    samples = np.random.default_rng(1).uniform(0.1, 1, 2000).astype(np.float32)
    whole = channel(samples)
    heard = Channel(whole.reader, 0, RATE, low, high)
    there = np.arange(start, start + frames)
    expected = np.where((there >= low) & (there < high), samples[np.clip(there, 0, 1999)], 0.0)
    assert np.array_equal(heard.read(start, start + frames), expected)


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_what_is_no_number_counts_as_silence_unless_it_is_asked_for(rate: int) -> None:
    samples = noise(20_000, -20)
    hushed = samples.copy()
    places = [5000, 5001, 12_000]
    samples[places] = np.nan, np.inf, -np.inf
    hushed[places] = 0.0
    heard = channel(samples, rate)
    assert np.array_equal(heard.read(0, 18_000), channel(hushed, rate).read(0, 18_000))
    with np.errstate(invalid="ignore"):
        exact = Channel(heard.reader, 0, heard.rate, heard.start, heard.stop, exact=True).read(0, 18_000)
    assert not np.isfinite(exact).all()
    assert np.isfinite(exact[: 5000 * RATE // rate - 300]).all()


def test_two_rates_without_a_common_measure_are_refused(tmp_path: Path) -> None:
    for name, rate in (("dry.wav", RATE), ("wet.wav", 44_099)):
        write(tmp_path / name, noise(RATE, -20).astype(np.float32), rate, "FLOAT")
    with pytest.raises(AlignmentError, match="44099 Hz cannot be turned into 44100 Hz: export the recording"):
        align(tmp_path / "dry.wav", tmp_path / "wet.wav")


@given(rate=st.sampled_from(RATES), frames=st.integers(1, 10**6))
def test_a_file_is_as_long_at_another_rate(rate: int, frames: int) -> None:
    """Rounded down: the last sample lies on the file."""
    reader = channel(np.zeros(1), rate).reader
    reader.info = replace(reader.info, frames=frames)
    count = frames_at_rate(reader, RATE)
    assert count * rate <= frames * RATE < (count + 1) * rate
    assert frames_at_rate(reader, rate) == frames
