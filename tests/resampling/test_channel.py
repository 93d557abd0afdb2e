"""Random access to a channel of a file at the dry sample rate."""

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

from tests.alignment.conftest import RATE, channel, decibels, noise, programme, sample_at
from twinlib.alignment.pipeline import align
from twinlib.alignment.warp import WarpedReader
from twinlib.audio import write
from twinlib.resampling.channel import Channel, frames_at_rate

RATES = (48_000, 88_200, 96_000, 22_050)


def sine(hertz: float, rate: int, seconds: float) -> np.ndarray:
    return 0.9 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate + 0.3)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 9000, 15_000, 18_000, 20_000])
def test_resampling_keeps_delay_gain_and_shape(rate: int, hertz: float) -> None:
    """Sample n at the dry rate is at time n / rate, up to 20 kHz or the band limit of the file."""
    if hertz > 0.45 * rate:
        return
    n = np.arange(3000, RATE)
    found = channel(sine(hertz, rate, 1.2), rate).read(3000, RATE)
    truth = 0.9 * np.exp(1j * (2 * np.pi * hertz * n / RATE + 0.3 - np.pi / 2))
    basis = np.stack([truth.real, truth.imag])
    (real, imag), *_ = np.linalg.lstsq(basis.T, found.astype(float), rcond=None)
    gain = complex(real, -imag)
    assert abs(20 * np.log10(abs(gain))) < 0.005
    assert abs(np.angle(gain)) / (2 * np.pi * hertz) * RATE < 1e-6, "samples of delay"
    assert decibels(truth.real, found - (real - 1) * truth.real - imag * truth.imag) > 120


@pytest.mark.parametrize("rate", [88_200, 96_000])
def test_resampling_suppresses_aliases(rate: int) -> None:
    """Components above 24 kHz are attenuated by more than 100 dB."""
    for hertz in (24_000, 30_000, 40_000):
        found = channel(sine(hertz, rate, 0.5), rate).read(3000, 18_000)
        assert 20 * np.log10(np.std(found) / np.std(sine(hertz, rate, 0.5))) < -100


@settings(max_examples=30)
@given(rate=st.sampled_from((*RATES, RATE)), cuts=st.lists(st.integers(-500, 70_000), min_size=1, max_size=6))
def test_samples_do_not_depend_on_the_ranges_read(rate: int, cuts: list[int]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, int(1.5 * rate))
    whole = channel(samples, rate).read(-500, 70_000)
    again = channel(samples, rate)
    parts = [again.read(*window) for window in pairwise([-500, *sorted(cuts), 70_000])]
    assert np.array_equal(np.concatenate(parts), whole)
    # Backwards too: the cache does not change samples.
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


def test_samples_do_not_depend_on_the_number_of_threads() -> None:
    """A parallel sum would round differently for each number of threads."""
    digests = [
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
    assert len(digests[0].splitlines()) == len(RATES) + 1
    assert digests[0] == digests[1]


@given(start=st.integers(-100, 2100), frames=st.integers(0, 500), low=st.integers(0, 900), high=st.integers(1000, 2000))
def test_samples_outside_the_range_are_zero(start: int, frames: int, low: int, high: int) -> None:
    samples = np.random.default_rng(1).uniform(0.1, 1, 2000).astype(np.float32)
    whole = channel(samples)
    found = Channel(whole.reader, 0, RATE, low, high)
    there = np.arange(start, start + frames)
    expected = np.where((there >= low) & (there < high), samples[np.clip(there, 0, 1999)], 0.0)
    assert np.array_equal(found.read(start, start + frames), expected)


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_non_finite_samples_are_zeros_unless_exact(rate: int) -> None:
    samples = noise(20_000, -20)
    hushed = samples.copy()
    places = [5000, 5001, 12_000]
    samples[places] = np.nan, np.inf, -np.inf
    hushed[places] = 0.0
    found = channel(samples, rate)
    assert np.array_equal(found.read(0, 18_000), channel(hushed, rate).read(0, 18_000))
    with np.errstate(invalid="ignore"):
        exact = Channel(found.reader, 0, found.rate, found.start, found.stop, exact=True).read(0, 18_000)
    assert not np.isfinite(exact).all()
    assert np.isfinite(exact[: 5000 * RATE // rate - 300]).all()


@pytest.mark.parametrize(("wet_rate", "drift_ppm"), [(48_000, 0.0), (44_099, 0.0), (96_000, 30.0), (48_000, -30.0)])
def test_the_lag_of_a_take_at_another_rate_is_exact(tmp_path: Path, wet_rate: int, drift_ppm: float) -> None:
    """Resampling adds no delay: lag and drift, in samples at the dry rate, equal those of the recording."""
    # Pairs without drift are shifted by whole samples.
    dry, lag = programme(12.0), 1234.5 if drift_ppm else 1234.0
    write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    seconds = np.arange(round((len(dry) / RATE + 0.2) * wet_rate)) / wet_rate
    wet = sample_at(dry, (seconds * RATE - lag) / (1 + drift_ppm * 1e-6))
    write(tmp_path / "wet.wav", wet.astype(np.float32), wet_rate, "FLOAT")
    found = align(tmp_path / "dry.wav", tmp_path / "wet.wav")
    assert found.verdict == "ok", found.reasons
    assert found.lag_samples == pytest.approx(lag, abs=0.002)
    assert found.drift_ppm == pytest.approx(drift_ppm, abs=0.005)
    with WarpedReader(tmp_path / "wet.wav", found) as warped:
        start, stop = 1000, len(dry) - 3000
        found_dry = warped.read(start + found.guard_samples, stop + found.guard_samples)
    assert decibels(dry[start:stop], found_dry) > 70


@given(rate=st.sampled_from(RATES), frames=st.integers(1, 10**6))
def test_the_length_at_another_rate_is_rounded_down(rate: int, frames: int) -> None:
    """The last sample is inside the file."""
    reader = channel(np.zeros(1), rate).reader
    reader.info = replace(reader.info, frames=frames)
    count = frames_at_rate(reader, RATE)
    assert count * rate <= frames * RATE < (count + 1) * rate
    assert frames_at_rate(reader, rate) == frames


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_exact_and_clean_views_of_a_channel_do_not_mix(rate: int) -> None:
    samples = np.zeros(rate)
    samples[rate // 2] = np.nan
    clean = channel(samples, rate)
    exact = replace(clean, exact=True)
    for _ in range(2):
        assert np.isfinite(clean.read(0, RATE)).all()
        assert np.isnan(exact.read(0, RATE)).any()


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_the_samples_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch, rate: int) -> None:
    """A file longer than that is read directly at the dry rate, and resampled by chunks at another rate."""
    samples = np.random.default_rng(0).uniform(-1, 1, 400_000).astype(np.float32)
    whole = channel(samples, rate).read(0, 390_000)
    monkeypatch.setattr("twinlib.resampling.channel._CACHED_SAMPLES", 200_000)
    found = channel(samples, rate)
    for start in (0, 300_000, 100_000, 0, 200_000):
        np.testing.assert_array_equal(found.read(start, start + 90_000), whole[start : start + 90_000])
        assert sum(len(chunk) for chunk in found._chunks.values()) <= 200_000
