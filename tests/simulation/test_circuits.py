from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.simulation import circuits
from twinlib.simulation.circuits import CircuitStream, diode_voltage, process_stream
from twinlib.simulation.oversampling import Downsampler, Upsampler
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

RATE = 44100
BOTH = [DiodeClipper(drive=0.7), Transformer(drive=0.7)]


def through(circuit: Circuit, x: np.ndarray, factor: int = circuits.FACTOR) -> np.ndarray:
    stream = CircuitStream(circuit, RATE, factor)
    return np.concatenate((stream.process(x.astype(np.float32)), stream.flush())).astype(np.float64)


def harmonics(circuit: Circuit, hz: int, level: float, factor: int = circuits.FACTOR) -> np.ndarray:
    """Amplitudes of the first ten harmonics of a sine in the steady state."""
    n = np.arange(2 * RATE + 200)
    out = through(circuit, level * np.sin(2 * np.pi * hz * n / RATE), factor)
    spectrum = 2 * np.abs(np.fft.rfft(out[RATE : 2 * RATE])) / RATE
    return spectrum[hz : 11 * hz : hz]


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=12), which=st.integers(0, 1))
def test_block_size_does_not_matter(cuts: list[int], which: int) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    borders = [0, *sorted(cuts), 3000]
    blocks = [x[a:b] for a, b in pairwise(borders)]
    out = np.concatenate(list(process_stream(BOTH[which], RATE, blocks)))
    assert len(out) == len(x)
    assert np.array_equal(out, through(BOTH[which], x).astype(np.float32))


def test_oversampling_preserves_the_audio_band() -> None:
    n = np.arange(4000)
    x = sum(np.sin(2 * np.pi * hz / RATE * n + hz) for hz in (60.0, 997.0, 5000.0, 15000.0, 19500.0)) / 5
    up, down = Upsampler(8), Downsampler(8)
    fine = np.concatenate((up.process(x), up.flush()))
    back = np.concatenate((down.process(fine), down.flush()))
    assert fine.shape == (32000,)
    assert np.abs(back - x)[100:-100].max() < 5e-5
    assert np.abs(fine[::8] - x)[100:-100].max() < 5e-5


@given(
    total=st.floats(-1e3, 1e3),
    linear=st.floats(1e-2, 1e3),
    diodes=st.floats(1e-9, 1e2),
    thermal=st.floats(0.02, 0.1),
)
def test_solution_of_the_diode_equation(total: float, linear: float, diodes: float, thermal: float) -> None:
    v = diode_voltage(total, linear, diodes, thermal)
    terms = linear * v, diodes * np.sinh(v / thermal)
    assert sum(terms) == pytest.approx(total, rel=1e-9, abs=1e-12)


def test_stationary_voltage_of_a_ramp() -> None:
    # A ramp drives a constant current through the branch capacitor; the diodes and the resistor share it.
    slope = 100.0
    clipper = DiodeClipper(drive=0.3)
    x = slope * np.arange(400) / RATE
    out = through(clipper, x)[300] / circuits.CLIPPER_SCALE - x[300]
    current = circuits.BRANCH_FARAD * slope
    resistance = circuits.clipper_resistance(clipper)
    diodes = 2 * circuits.SATURATION_CURRENT * np.sinh(out / circuits.THERMAL_VOLTAGE)
    assert out / resistance + diodes == pytest.approx(current, rel=1e-2)


@pytest.mark.parametrize("hz", [100, 720, 3000, 10000])
@pytest.mark.parametrize("drive", [0.0, 1.0])
def test_small_signal_response_of_the_clipper(hz: int, drive: float) -> None:
    clipper = DiodeClipper(drive=drive)
    s = 2j * np.pi * hz
    conductance = 1 / circuits.clipper_resistance(clipper) + 2 * circuits.SATURATION_CURRENT / circuits.THERMAL_VOLTAGE
    feedback = 1 / (conductance + s * circuits.FEEDBACK_FARAD)
    branch = circuits.BRANCH_OHM + 1 / (s * circuits.BRANCH_FARAD)
    expected = circuits.CLIPPER_SCALE * abs(1 + feedback / branch)
    assert harmonics(clipper, hz, 2e-6)[0] / 2e-6 == pytest.approx(expected, rel=5e-3)


def test_the_clipper_limits_with_odd_harmonics() -> None:
    soft, loud = (harmonics(DiodeClipper(drive=0.5), 440, level) for level in (0.01, 0.8))
    for found in (soft, loud):
        assert found[[1, 3, 5, 7]].max() < 1e-6 * found[0]
    assert loud[2] / loud[0] > 0.1
    assert soft[0] / 0.01 > 5 * loud[0] / 0.8


def test_distortion_increases_with_drive() -> None:
    for make, hz in ((DiodeClipper, 440), (Transformer, 60)):
        distortion = [
            np.linalg.norm(found[1:]) / found[0]
            for found in (harmonics(make(drive=drive), hz, 0.05) for drive in (0.0, 0.5, 1.0))
        ]
        assert distortion == sorted(distortion)


def test_distortion_of_the_transformer_by_frequency_and_level() -> None:
    core = Transformer(drive=0.0)
    low, middle, high = (harmonics(core, hz, 0.25) for hz in (40, 120, 400))
    for k in (1, 2):
        assert low[k] / low[0] > 2 * middle[k] / middle[0] > 8 * high[k] / high[0]
    quiet = harmonics(core, 40, 0.025)
    assert low[1] / low[0] > 3 * quiet[1] / quiet[0]
    assert low[2] / low[0] > 10 * quiet[2] / quiet[0]
    assert 0.003 < np.linalg.norm(low[1:]) / low[0] < 0.3


def test_small_signal_response_of_the_transformer() -> None:
    for hz in (20, 100, 1000):
        corner = circuits.CORE_HZ * (1 + 3 * circuits.BIAS**2)
        expected = hz / np.hypot(hz, corner) / np.hypot(1, hz / circuits.LEAKAGE_HZ)
        assert harmonics(Transformer(drive=0.5), hz, 1e-4)[0] / 1e-4 == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("circuit", BOTH)
def test_oversampling_has_converged(circuit: Circuit) -> None:
    once, twice = harmonics(circuit, 1000, 0.5, 8), harmonics(circuit, 1000, 0.5, 16)
    assert np.abs(once - twice).max() < 2e-3 * twice[0]


@pytest.mark.parametrize("circuit", BOTH)
def test_extreme_and_silent_input(circuit: Circuit) -> None:
    rng = np.random.default_rng(3)
    out = through(circuit, np.sign(rng.standard_normal(5000)) * 4.0)
    assert np.isfinite(out).all()
    assert not through(circuit, np.zeros(5000)).any()
    assert np.abs(through(circuit, 0.98 * np.sin(np.arange(5000) * 0.02))).max() <= 1.0
