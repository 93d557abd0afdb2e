"""Measurements of circuits with closed-form responses, and of a take with all faults."""

from pathlib import Path

import numpy as np
import pytest
import soxr
from scipy import signal as scipy_signal
from scipy.integrate import quad

from tests.excitation.probing import probe_samples
from twinlib import audio
from twinlib.alignment.probe_take import align_probe_take
from twinlib.alignment.warp import WarpedReader
from twinlib.excitation.probe_reel import Section, probe_layout, synthesise
from twinlib.measurement.dynamics import measure_burst, measure_ramp
from twinlib.measurement.harmonics import measure_sine, measure_sweep, response_length
from twinlib.measurement.intermodulation import measure_ccif, measure_multitone, measure_smpte
from twinlib.measurement.noise import a_weighting, measure_noise
from twinlib.measurement.probe_measurements import compare_harmonics, measure_probe_reel

RATE = 44100
PLAN = probe_layout(RATE)
N, CYCLES = 16384, 37


def sine(level: float, phase: float = 0.0) -> np.ndarray:
    return 10 ** (level / 20) * np.sin(2 * np.pi * CYCLES * np.arange(N) / N + phase)


def degrees_apart(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


@pytest.mark.parametrize("phase", [0.0, 1.0, -2.5])
def test_sine_response_of_a_polynomial(phase: float) -> None:
    x = sine(-6.0, phase)
    a = 10 ** (-6 / 20)
    found = measure_sine(0.8 * x + 0.3 * x**2 - 0.2 * x**3, CYCLES, RATE, -6.0)
    first = 0.8 * a - 0.75 * 0.2 * a**3
    assert found.gain_db == pytest.approx(20 * np.log10(first / a), abs=1e-3)
    assert found.dbc[0] == pytest.approx(20 * np.log10(0.5 * 0.3 * a**2 / first), abs=1e-3)
    assert found.dbc[1] == pytest.approx(20 * np.log10(0.25 * 0.2 * a**3 / first), abs=1e-3)
    assert degrees_apart(found.relative_degrees[0], -90.0) < 0.01
    assert degrees_apart(found.relative_degrees[1], 0.0) < 0.01
    assert max(found.dbc[2:]) < -200
    assert found.thd_db is not None
    assert found.thd_db == pytest.approx(found.thd_n_db, abs=1e-6)


@pytest.mark.parametrize("drive", [0.5, 3.0])
@pytest.mark.parametrize("shape", ["tanh", "clip"])
def test_sine_response_of_tanh_and_hard_clipper_matches_fourier_series(shape: str, drive: float) -> None:
    def curve(x):
        return np.tanh(drive * x) if shape == "tanh" else np.clip(drive * x, -1, 1)

    found = measure_sine(curve(sine(0.0)), CYCLES, RATE, 0.0)
    series = [
        2 / np.pi * quad(lambda t, h=h: curve(np.sin(t)) * np.sin(h * t), 0, np.pi, limit=400)[0] for h in range(1, 8)
    ]
    assert found.gain_db == pytest.approx(20 * np.log10(abs(series[0])), abs=0.01)
    for order in (3, 5, 7):
        expected = 20 * np.log10(max(abs(series[order - 1] / series[0]), 1e-9))
        if expected > -80:
            assert found.dbc[order - 2] == pytest.approx(expected, abs=0.1)
            sign = 0.0 if series[order - 1] > 0 else 180.0
            assert degrees_apart(found.relative_degrees[order - 2], sign) < 1.0
    assert max(found.dbc[::2]) < -120, "no even harmonics of an odd curve"


def test_noise_masks_harmonics_and_counts_in_thd_n() -> None:
    noise = 1e-3 * np.random.default_rng(1).standard_normal(N)
    found = measure_sine(sine(0.0) + noise, CYCLES, RATE, 0.0)
    assert sum(found.audible) <= 1
    assert found.thd_n_db == pytest.approx(20 * np.log10(1e-3 * np.sqrt(2)), abs=0.2)
    assert found.alias_db == pytest.approx(found.thd_n_db, abs=0.2)
    level = float(np.mean(found.noise_dbc))
    assert level == pytest.approx(20 * np.log10(1e-3 * 2 / np.sqrt(N)), abs=1.5)


def test_sweep_response_and_response_length_of_a_filter() -> None:
    (section,) = [s for s in PLAN.of("sweep") if s.level_dbfs == -12]
    dry = synthesise(section, RATE)
    b, a = scipy_signal.iirpeak(1000, 8, fs=RATE)
    b, a = np.polymul(b, [1.2, 0.3]), a
    wet = scipy_signal.lfilter(b, a, dry)
    hz = 30 * 2 ** (np.arange(108) / 12)
    hz = hz[hz < 19000]
    found = swept(section, dry, wet.astype(np.float32), hz)
    _, response = scipy_signal.freqz(b, a, worN=hz, fs=RATE)
    np.testing.assert_allclose(found.gain_db, 20 * np.log10(np.abs(response)), atol=0.1)
    phase = np.degrees(np.angle(np.exp(1j * (np.radians(found.degrees) - np.angle(response)))))
    assert np.abs(phase).max() < 1.0
    assert np.nanmax(found.dbc[3]) < -80
    radius = np.abs(np.roots(a)).max()
    assert response_length(found.impulse) == pytest.approx(np.log(1e4) / (-2 * np.log(radius)), rel=0.15)


def swept(section: Section, dry: np.ndarray, wet: np.ndarray, hz: np.ndarray):
    band = (section.low_hz, section.high_hz)
    return measure_sweep(dry, wet, RATE, section.level_dbfs, section.constant, band, section.frames, hz)


def test_sweep_and_sines_give_the_same_harmonics() -> None:
    (section,) = [s for s in PLAN.of("sweep") if s.level_dbfs == -6]
    dry = synthesise(section, RATE)
    up = soxr.resample(dry.astype(np.float64), 1, 4, quality="VHQ")
    wet = soxr.resample(0.8 * up + 0.3 * up**2 - 0.2 * up**3, 4, 1, quality="VHQ")[: len(dry)].astype(np.float32)
    hz = np.array([60.0, 200.0, 700.0, 2500.0])
    found = swept(section, dry, wet, hz)
    expected = measure_sine(0.8 * sine(-6) + 0.3 * sine(-6) ** 2 - 0.2 * sine(-6) ** 3, CYCLES, RATE, -6.0)
    for order in (2, 3):
        np.testing.assert_allclose(found.dbc[order], expected.dbc[order - 2], atol=0.1)
        for phase in found.relative_degrees[order]:
            assert degrees_apart(phase, expected.relative_degrees[order - 2]) < 1.0


def test_intermodulation_and_multitone_distortion() -> None:
    low, high = 41, 4999
    t = 2 * np.pi * np.arange(N) / N
    x = 0.8 * np.sin(low * t) + 0.2 * np.sin(high * t)
    # 0.1 x^2 has two sidebands of amplitude 0.1 * 0.8 * 0.2 each.
    smpte = measure_smpte(x + 0.1 * x**2, [low, high], (1.0, 2.0), 0.0)
    assert smpte.imd_db == pytest.approx(20 * np.log10(np.sqrt(2) * 0.1 * 0.8 * 0.2 / 0.2), abs=0.01)
    low, high = 5001, 5301
    x = 0.5 * np.sin(low * t) + 0.5 * np.sin(high * t)
    ccif = measure_ccif(x + 0.1 * x**2, [low, high], (1.0, 2.0), 0.0)
    assert ccif.d2_db == pytest.approx(20 * np.log10(0.1 * 0.25), abs=0.01)
    cubic = measure_ccif(x + 0.1 * x**3, [low, high], (1.0, 2.0), 0.0)
    first = 0.5 + 0.1 * (0.75 * 0.125 + 1.5 * 0.125)
    assert cubic.d3_db == pytest.approx(20 * np.log10(2 * 0.1 * 0.75 * 0.125 / (2 * first)), abs=0.01)
    cycles = [31, 101, 501]
    many = sum(0.1 * np.sin(k * t) for k in cycles) * 0.5 + 0.01 * np.sin(777 * t)
    found = measure_multitone(many, cycles, [1.0, 2.0, 3.0], [-20.0] * 3, -10.0)
    assert found.gain_db == pytest.approx([20 * np.log10(0.5)] * 3, abs=1e-6)
    assert found.distortion_db == pytest.approx(20 * np.log10(0.01 / (0.05 * np.sqrt(3))), abs=1e-6)


def test_compression_matches_the_static_curve() -> None:
    section = PLAN.of("ramp")[1]
    found = measure_ramp(np.tanh(3 * synthesise(section, RATE)), section.hz, RATE, (-60.0, -0.5))
    for level, gain in zip(found.level_dbfs, found.gain_db, strict=True):
        size = 10 ** (level / 20)
        first = 2 / np.pi * quad(lambda t, s=size: np.tanh(3 * s * np.sin(t)) * np.sin(t), 0, np.pi)[0]
        assert gain == pytest.approx(20 * np.log10(first / size), abs=0.1)


def test_burst_response_of_a_slow_gain() -> None:
    (section,) = PLAN.of("burst")
    x = synthesise(section, RATE)
    level = np.repeat([s[0] for s in section.steps], [round(s[1] * RATE) for s in section.steps])
    target = np.where(level > -10, 0.5, 1.0)
    pole = np.exp(-1 / (0.05 * RATE))
    gain = scipy_signal.lfilter([1 - pole], [1, -pole], target - 1.0) + 1.0
    found = measure_burst((x * gain).astype(np.float32), section.hz, RATE, section.steps)
    long = found[2]
    assert (long.level_dbfs, long.seconds) == (-3.0, 1.0)
    assert long.last_gain_db == pytest.approx(20 * np.log10(0.5), abs=0.02)
    # From 1 to 0.5: settled when the remaining gain change has decayed to 0.5 * (10 ** 0.025 - 1).
    expected = 50 * np.log(0.5 / (0.5 * (10 ** (0.5 / 20) - 1)))
    assert long.settle_ms == pytest.approx(expected, abs=5)
    assert all(step.settle_ms is None for step in measure_burst(x, section.hz, RATE, section.steps))


def test_a_weighting_matches_the_standard() -> None:
    # Values of IEC 61672-1, table 3.
    assert 20 * np.log10(a_weighting(np.array([1000.0, 100.0, 10000.0]))) == pytest.approx([0, -19.1, -2.5], abs=0.1)
    noise = 0.01 * np.random.default_rng(3).standard_normal(2 * RATE) + 0.002
    found = measure_noise(noise.astype(np.float32), RATE)
    assert found.rms_dbfs == pytest.approx(-40, abs=0.1)
    assert found.dc == pytest.approx(0.002, abs=1e-4)
    assert -45 < found.a_weighted_dbfs < -40


def polynomial(x: np.ndarray) -> np.ndarray:
    return 0.7 * x + 0.2 * x**2 - 0.15 * x**3


@pytest.mark.slow
def test_measurements_of_a_take_with_lag_drift_noise_and_inverted_polarity(tmp_path: Path) -> None:
    """Oversampled circuit, clock drift of 20 ppm, inverted polarity."""
    reel = probe_samples(PLAN)
    audio.write(tmp_path / "reel.wav", reel, RATE, "PCM_24")
    up = polynomial(soxr.resample(reel.astype(np.float64), 1, 4, quality="VHQ"))
    wet = soxr.resample(up, 4.0, 1.0 + 20e-6, quality="VHQ")
    wet = -0.9 * np.concatenate([np.zeros(12345), wet, np.zeros(9999)])
    wet += 10 ** (-90 / 20) * np.random.default_rng(5).standard_normal(len(wet))
    audio.write(tmp_path / "take.wav", wet.astype(np.float32), RATE, "PCM_24")
    found = align_probe_take(tmp_path / "reel.wav", tmp_path / "take.wav", PLAN.clicks)
    assert found.verdict == "ok"
    guard = found.guard_samples
    with WarpedReader(tmp_path / "take.wav", found) as take:
        device = measure_probe_reel(
            PLAN, lambda start, stop: reel[start:stop], lambda start, stop: take.read(start + guard, stop + guard)
        )
    checked = 0
    for one in device["sines"]:
        a = 10 ** (one["level_dbfs"] / 20)
        first = 0.7 * a - 0.75 * 0.15 * a**3
        assert one["gain_db"] == pytest.approx(20 * np.log10(0.9 * first / a), abs=0.1)
        assert degrees_apart(one["degrees"], one_phase(one)) < 1.0
        for order, size, phase in ((2, 0.5 * 0.2 * a**2, -90.0), (3, 0.25 * 0.15 * a**3, 0.0)):
            expected = 20 * np.log10(size / first)
            if order * one["hz"] < 0.45 * RATE and expected > one["noise_dbc"][order - 2] + 35:
                assert one["dbc"][order - 2] == pytest.approx(expected, abs=0.1)
                assert degrees_apart(one["relative_degrees"][order - 2], phase) < 1.0
                checked += 1
    assert checked > 50
    assert device["noise"]["rms_dbfs"] == pytest.approx(-90, abs=0.3)
    music = np.mean(np.square(take_music(reel)))
    assert device["esr_floor"] == pytest.approx(1e-9 / music, rel=0.1)
    perfect = compare_harmonics(device, device)
    assert (perfect["compared"], perfect["worst_db"], perfect["misses"]) == (perfect["within"], 0.0, [])
    assert (perfect["within_degrees"], perfect["worst_degrees"], perfect["phase_misses"]) == (perfect["within"], 0, [])
    spoilt = {**device, "sines": [{**one, "dbc": [v + 2.0 for v in one["dbc"]]} for one in device["sines"]]}
    off = compare_harmonics(device, spoilt)
    assert off["within"] == 0
    assert off["worst_db"] == pytest.approx(2.0)
    assert (off["within_degrees"], off["worst_degrees"]) == (off["compared"], 0.0), "a level has no phase"
    turned = {
        **device,
        "sines": [
            {**one, "relative_degrees": [(v + 170 + 180) % 360 - 180 for v in one["relative_degrees"]]}
            for one in device["sines"]
        ],
    }
    off = compare_harmonics(turned, device)
    assert (off["within"], off["within_degrees"], len(off["phase_misses"])) == (off["compared"], 0, off["compared"])
    assert off["rms_degrees"] == pytest.approx(170)


def one_phase(one: dict) -> float:
    """Phase of the dry sine at the start of its window; it is 0 at the start of its section."""
    for section in PLAN.of("sine"):
        if section.hz == pytest.approx(one["hz"]) and section.level_dbfs == one["level_dbfs"]:
            assert section.window is not None
            return 360.0 * section.hz * (section.window[0] - section.start) / RATE
    raise AssertionError(one)


def take_music(reel: np.ndarray) -> np.ndarray:
    music = PLAN.of("music")[0]
    return 0.9 * polynomial(reel[music.start + RATE // 2 : music.stop].astype(np.float64))
