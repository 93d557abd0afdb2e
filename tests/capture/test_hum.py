"""Measurement of mains hum."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.capture.hum import measure_hum

from .conftest import RATE

LOW_RATE = 8000
"""Hum is analysed below 1 kHz, so a low rate saves time."""

DEMO = sorted((Path(__file__).parents[2] / "config" / "demo_corpus").rglob("*_MIX.flac"))


def lines(levels: dict[float, float], rate: int = RATE, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Sines with amplitudes by frequency and random phases."""
    generator = np.random.default_rng(seed)
    turns = np.arange(int(seconds * rate)) / rate
    waves = [a * np.sin(2 * np.pi * (hz * turns + generator.uniform())) for hz, a in levels.items()]
    return np.sum(waves, axis=0)


def family(hz: float, amplitudes: dict[int, float]) -> dict[float, float]:
    return {order * hz: amplitude for order, amplitude in amplitudes.items()}


def coloured(seed: int, slope: float, rms: float = 1e-4, rate: int = RATE) -> np.ndarray:
    """A second of noise with a power density proportional to frequency ** -slope."""
    generator = np.random.default_rng(seed)
    hz = np.maximum(np.fft.rfftfreq(rate, 1 / rate), 5.0)
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(rate)) * hz ** (-slope / 2))
    return rms * noise / noise.std()


@settings(max_examples=100)
@given(
    mains=st.sampled_from([50.0, 60.0]),
    off=st.floats(-0.0095, 0.0095),
    amplitudes=st.dictionaries(st.integers(2, 16), st.floats(0.01, 3.0), max_size=6),
    decibels=st.floats(-110.0, 0.0),
    rate=st.sampled_from([8000, 44100, 48000, 96000]),
    seconds=st.sampled_from([0.95, 1.0, 1.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_frequency_and_level_of_hum(
    mains: float, off: float, amplitudes: dict[int, float], decibels: float, rate: int, seconds: float, seed: int
) -> None:
    hz, amplitudes = mains * (1.0 + off), {1: 1.0, **amplitudes}
    samples = lines(family(hz, amplitudes), rate, seconds, seed)
    samples += 1e-4 * np.random.default_rng(seed).standard_normal(len(samples))
    hum = measure_hum(10 ** (decibels / 20) * samples, rate)
    assert hum is not None
    assert hum.hz == pytest.approx(hz, abs=0.011)
    rms = np.sqrt(0.5 * sum(amplitude**2 for amplitude in amplitudes.values()))
    assert hum.dbfs == pytest.approx(20 * np.log10(rms) + decibels, abs=0.1)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_even_harmonics_of_a_rectifier_are_hum(mains: float) -> None:
    hum = measure_hum(lines(family(mains, {2: 1e-3, 4: 5e-4, 6: 2e-4})) + coloured(0, 1), RATE)
    assert hum is not None
    assert hum.hz == pytest.approx(mains, abs=0.02)


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_hum_is_detected_in_coloured_noise(slope: int) -> None:
    for seed in range(30):
        noise = coloured(seed, slope)
        noise_level = np.sqrt(np.mean(np.abs(np.fft.rfft(noise)[45:56]) ** 2)) / RATE
        hum = measure_hum(noise + lines({50.2: 80 * noise_level}, seed=seed), RATE)
        assert hum is not None
        assert hum.hz == pytest.approx(50.2, abs=0.1)


def test_hum_at_16_bits_is_detected() -> None:
    hum = measure_hum(np.round(2.0**15 * lines({50.0: 2e-4})) / 2.0**15, RATE)
    assert hum is not None
    assert hum.hz == pytest.approx(50.0, abs=0.01)


def test_hum_is_detected_with_dc_and_rumble() -> None:
    hum = measure_hum(0.05 + lines({8.0: 1e-2, 21.0: 1e-2, 60.0: 1e-4}) + coloured(0, 0, 1e-5), RATE)
    assert hum is not None
    assert (hum.hz, hum.dbfs) == pytest.approx((60.0, -83.01), abs=0.05)


# --- no hum


@pytest.mark.parametrize("slope", [-1, 0, 1, 2])
def test_noise_has_no_hum(slope: int) -> None:
    assert [seed for seed in range(100) if measure_hum(coloured(seed, slope, rate=LOW_RATE), LOW_RATE)] == []


AWAY = [hz for hz in range(35, 250, 8) if all(abs(hz - mains * round(hz / mains)) > 7 for mains in (50, 60))]
"""Frequencies that are no harmonics of the mains, well separated."""


@settings(max_examples=200)
@given(
    hz=st.one_of(st.floats(49.5, 50.5), st.floats(59.4, 60.6), st.floats(99.0, 101.0)),
    overtones=st.dictionaries(st.integers(2, 8), st.floats(0.0, 1.0), max_size=5),
    others=st.dictionaries(st.sampled_from(AWAY), st.floats(0.4, 3.0), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_note_of_a_chord_is_not_hum(
    hz: float, overtones: dict[int, float], others: dict[float, float], seed: int
) -> None:
    chord = lines({**family(hz, {1: 1.0, **overtones}), **others}, LOW_RATE, seed=seed)
    assert measure_hum(0.01 * chord, LOW_RATE) is None


@pytest.mark.parametrize("note", [31, 34, 35, 43, 46, 47])
def test_notes_near_the_mains_frequency_are_not_hum(note: int) -> None:
    hz = 440 * 2 ** ((note - 69) / 12)
    assert measure_hum(lines(family(hz, {1: 0.1, 2: 0.05, 3: 0.02, 4: 0.02})), RATE) is None


@pytest.mark.parametrize("hz", [50.0, 60.0, 100.0, 120.0])
def test_a_plucked_string_is_not_hum(hz: float) -> None:
    decay = 10 ** (-10.0 * np.arange(RATE) / RATE / 20)  # 60 dB in 6 s
    assert measure_hum(decay * lines(family(hz, {1: 0.1, 2: 0.05, 3: 0.02})), RATE) is None


@pytest.mark.parametrize("hz", [49.3, 50.7, 59.0, 61.0, 25.0, 75.0, 150.0, 180.0, 400.0])
def test_other_frequencies_are_not_hum(hz: float) -> None:
    assert measure_hum(lines({hz: 0.1}) + coloured(0, 0), RATE) is None


@pytest.mark.parametrize("path", DEMO, ids=lambda path: path.stem)
def test_real_music_has_no_hum(path: Path) -> None:
    samples, rate = soundfile.read(path, always_2d=True)
    starts = range(0, len(samples) - rate, rate // 4)
    assert [start for start in starts if measure_hum(samples[start : start + rate, 0], rate)] == []


# --- bad input


@pytest.mark.parametrize("rate", [1, 90, 200, 1000, RATE])
def test_constant_and_non_finite_input_has_no_hum(rate: int) -> None:
    for frames in (0, 1, int(0.7 * rate), rate, 3 * rate):
        for value in (0.0, 0.3, 1e-200, np.nan, np.inf):
            with np.errstate(invalid="ignore"):
                assert measure_hum(np.full(frames, value), rate) is None


def test_interrupted_hum_is_not_measured() -> None:
    samples = lines({50.0: 0.1})
    samples[777] = np.nan
    assert measure_hum(samples, RATE) is None
    half = lines({50.0: 0.1})
    half[: RATE // 2] = 0.0
    assert measure_hum(half, RATE) is None
    assert measure_hum(1e-200 * lines({50.0: 0.1}), RATE) is None
