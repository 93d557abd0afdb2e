import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from twinlib import audio
from twinlib.simulation import recorder as recorder_module
from twinlib.simulation.recorder import GroundTruth
from twinlib.simulation.settings import Recorder, SimulatedClipper, SimulatedTransformer
from twinlib.simulation.simulate import simulate_take

from .conftest import RATE, Write, music

CLEAN = {"noise_dbfs": None, "bit_depth": 32, "tail_seconds": 0.1}


def take(write: Write, tmp_path: Path, samples: np.ndarray, **recorder: object) -> tuple[np.ndarray, GroundTruth]:
    device = SimulatedTransformer(drive=0.0, recorder=Recorder(**{**CLEAN, **recorder}))
    known = simulate_take(write("reel.wav", samples), tmp_path / "take.wav", device, "main-01")
    return audio.read(tmp_path / "take.wav")[:, 0].astype(np.float64), known


@pytest.mark.parametrize(("fraction", "drift"), [(0.0, 0.0), (0.37, 40.0), (0.9, -200.0)])
def test_lag_and_drift_match_the_ground_truth(write: Write, tmp_path: Path, fraction: float, drift: float) -> None:
    n = np.arange(3 * RATE)
    reel = 0.3 * np.sin(2 * np.pi * 3000.3 * n / RATE)
    straight, _ = take(write, tmp_path, reel, offset_seconds=0.0, lag_fraction=0.0)
    wet, known = take(write, tmp_path, reel, offset_seconds=0.2, lag_fraction=fraction, drift_ppm=drift)
    assert known.lag_samples == int(0.2 * RATE) + fraction
    k = np.arange(RATE, 2 * RATE)
    at = (k - known.lag_samples) / (1 + drift * 1e-6)
    # Steady state of a sine: gain and phase of the device from the undelayed take.
    wave = np.exp(2j * np.pi * 3000.3 / RATE * np.arange(RATE, 2 * RATE))
    basis = np.stack((wave.real, wave.imag), axis=1)
    weights, *_ = np.linalg.lstsq(basis, straight[RATE : 2 * RATE], rcond=None)
    expected = np.stack((np.cos(2 * np.pi * 3000.3 / RATE * at), np.sin(2 * np.pi * 3000.3 / RATE * at)), axis=1)
    assert np.abs(wet[k] - expected @ weights).max() < 3e-5


def test_polarity_gain_and_length(write: Write, tmp_path: Path) -> None:
    reel = music(1.0)
    plain, _ = take(write, tmp_path, reel, offset_seconds=0.1, lag_fraction=0.25)
    turned, known = take(write, tmp_path, reel, offset_seconds=0.1, lag_fraction=0.25, invert=True, gain_db=-6)
    assert np.allclose(turned, -(10 ** (-6 / 20)) * plain, atol=1e-7)
    assert (known.polarity, known.gain_db, known.frames) == (-1, -6, len(turned))
    assert len(turned) == np.ceil(int(0.1 * RATE) + 0.25 + RATE + 0.1 * RATE)


def test_levels_of_noise_and_hum(write: Write, tmp_path: Path) -> None:
    silent = np.zeros(2 * RATE)
    noise, _ = take(write, tmp_path, silent, noise_dbfs=-60)
    assert 20 * np.log10(noise.std()) == pytest.approx(-60, abs=0.2)
    hum, _ = take(write, tmp_path, silent, hum_dbfs=-40, hum_hz=60)
    spectrum = 2 * np.abs(np.fft.rfft(hum[:RATE])) / RATE
    assert spectrum.argmax() == 60
    assert 20 * np.log10(spectrum[60]) == pytest.approx(-40, abs=0.01)


@pytest.mark.parametrize("bits", [16, 24])
def test_quantisation_and_full_scale(write: Write, tmp_path: Path, bits: int) -> None:
    wet, _ = take(write, tmp_path, music(0.5), bit_depth=bits, gain_db=20)
    steps = wet * 2 ** (bits - 1)
    assert np.array_equal(steps, np.round(steps))
    assert wet.max() == 1.0 - 2.0 ** (1 - bits)
    assert wet.min() == -1.0
    assert audio.read_info(tmp_path / "take.wav").bit_depth == bits


def test_takes_are_reproducible(write: Write, tmp_path: Path) -> None:
    reel = write("reel.wav", music(1.0))
    made = []
    for seed, name in ((1, "main-01"), (1, "main-01"), (1, "main-02"), (2, "main-01")):
        device = SimulatedClipper(recorder=Recorder(seed=seed))
        known = simulate_take(reel, tmp_path / "take.wav", device, name)
        assert 0.05 * RATE - 1 <= known.lag_samples <= 1.5 * RATE + 1
        made.append(((tmp_path / "take.wav").read_bytes(), known))
    assert made[0] == made[1]
    assert len({known.lag_samples for _, known in made}) == 3


def test_block_size_does_not_matter(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reel = music(1.0)
    options = {"offset_seconds": 0.3, "lag_fraction": 0.4, "drift_ppm": -90.0, "hum_dbfs": -50}
    whole, _ = take(write, tmp_path, reel, **options)
    monkeypatch.setattr(recorder_module, "BLOCK", 1000)
    parts, _ = take(write, tmp_path, reel, **options)
    assert np.allclose(whole, parts, atol=1e-7)


def test_channels_are_independent(write: Write, tmp_path: Path) -> None:
    left, right = music(0.5, seed=1), music(0.5, seed=2)
    recorder = Recorder(**CLEAN, offset_seconds=0.1, lag_fraction=0.5)
    device = SimulatedClipper(recorder=recorder)
    simulate_take(write("s.wav", np.stack((left, right), axis=1)), tmp_path / "s_take.wav", device, "main-01")
    simulate_take(write("m.wav", right), tmp_path / "m_take.wav", device, "main-01")
    assert np.array_equal(audio.read(tmp_path / "s_take.wav")[:, 1], audio.read(tmp_path / "m_take.wav")[:, 0])


def test_memory_does_not_grow_with_the_take(write: Write, tmp_path: Path) -> None:
    device = SimulatedTransformer(recorder=Recorder(offset_seconds=0.1))
    simulate_take(write("warm.wav", music(0.2)), tmp_path / "take.wav", device, "main-01")
    peaks = []
    for seconds in (6.0, 24.0):
        reel = write("reel.wav", np.tile(music(2.0), int(seconds / 2)))
        tracemalloc.start()
        simulate_take(reel, tmp_path / "take.wav", device, "main-01")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
