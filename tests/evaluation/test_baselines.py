import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.factories import cuts, device, late, music
from twinlib.errors import DatasetError
from twinlib.evaluation.baselines import LinearFit
from twinlib.measurement.noise import noise_floor_esr

TAPS = 32
GUARD = 12


def fitted(dry, wet, taps=TAPS, guard=GUARD, pieces=None):
    """`pieces` are ranges of wet, with history before each."""
    fit = LinearFit(taps)
    for begin, end in pieces or [(taps - 1, len(wet))]:
        fit.add(dry[begin - taps + 1 : end], wet[begin:end])
    return fit.solve(guard)


def matrix(dry, wet, pieces, taps=TAPS):
    rows = [dry[n - taps + 1 : n + 1][::-1] for begin, end in pieces for n in range(begin, end)]
    return np.array(rows, np.float64), np.concatenate([wet[begin:end] for begin, end in pieces]).astype(np.float64)


@given(seed=st.integers(0, 1000), points=st.lists(st.integers(0, 1500), max_size=4))
@settings(max_examples=15, deadline=None)
def test_linear_fit_equals_least_squares(seed, points):
    dry = np.random.default_rng(seed).standard_normal(1600).astype(np.float32)
    wet = np.tanh(device(dry, GUARD) + 0.3 * late(dry, GUARD + 3)).astype(np.float32)
    # Skip every other piece, so that span borders matter.
    pieces = [(a + TAPS - 1, b + TAPS - 1) for a, b in cuts(1500, points)][::2]
    if sum(b - a for a, b in pieces) < 2 * TAPS:
        return
    found = fitted(dry, wet, pieces=pieces)
    x, y = matrix(dry, wet, pieces)
    expected = np.linalg.lstsq(x, y, rcond=None)[0]
    assert found.fir == pytest.approx(expected, abs=1e-6)
    energy = float(y @ y)
    assert found.esr_linear == pytest.approx(float(np.sum((y - x @ expected) ** 2)) / energy, rel=1e-6, abs=1e-9)
    assert found.esr_dry == pytest.approx(float(np.sum((y - x[:, GUARD]) ** 2)) / energy, rel=1e-9)
    gain = float(x[:, GUARD] @ y) / float(x[:, GUARD] @ x[:, GUARD])
    assert found.gain == pytest.approx(gain, rel=1e-9)
    assert found.esr_gain == pytest.approx(float(np.sum((y - gain * x[:, GUARD]) ** 2)) / energy, rel=1e-9)


@given(points=st.lists(st.integers(0, 8000), max_size=5))
@settings(max_examples=15, deadline=None)
def test_result_is_independent_of_block_size(points):
    dry = music(8000 + TAPS - 1)
    wet = device(dry, GUARD)
    pieces = [(a + TAPS - 1, b + TAPS - 1) for a, b in cuts(8000, points)]
    whole, parts = fitted(dry, wet), fitted(dry, wet, pieces=pieces)
    assert parts.esr_linear == pytest.approx(whole.esr_linear, rel=1e-6)
    assert parts.esr_dry == pytest.approx(whole.esr_dry, rel=1e-9)


def test_linear_device_is_fitted_exactly():
    dry = music(20000)
    fir = np.zeros(TAPS)
    fir[GUARD : GUARD + 3] = [0.7, -0.4, 0.2]
    found = fitted(dry, np.convolve(dry, fir)[: len(dry)].astype(np.float32))
    assert found.fir == pytest.approx(fir, abs=1e-4)
    assert found.esr_linear < 1e-12
    assert found.esr_gain > 1e-3


def test_wire_has_no_error():
    dry = music(5000)
    found = fitted(dry, late(dry, GUARD))
    assert found.esr_dry < 1e-12
    assert found.esr_gain < 1e-12
    assert found.gain == pytest.approx(1.0)


def test_gain_and_its_sign_are_found():
    dry = music(5000)
    found = fitted(dry, late(-0.5 * dry, GUARD))
    assert found.gain == pytest.approx(-0.5)
    assert found.esr_gain < 1e-12
    assert found.esr_dry == pytest.approx((1 / 0.5 + 1) ** 2)


def test_baselines_are_ordered():
    dry = music(20000)
    found = fitted(dry, device(dry, GUARD))
    assert found.esr_dry > found.esr_gain > found.esr_linear > 0


def test_fit_is_stable_with_empty_bands():
    time = np.arange(20000)
    dry = (0.3 * np.sin(0.05 * time) + 0.2 * np.sin(0.31 * time)).astype(np.float32)
    found = fitted(dry, late(0.5 * dry, GUARD), taps=256)
    assert found.esr_linear < 1e-8
    assert np.isfinite(found.fir).all()


def test_bad_input_raises():
    dry = music(1000)
    fit = LinearFit(TAPS)
    with pytest.raises(DatasetError, match="dry"):
        fit.add(dry, dry)
    with pytest.raises(DatasetError, match="too few"):
        fit.solve(GUARD)
    with pytest.raises(DatasetError, match="guard"):
        fit.solve(TAPS)
    silent = np.zeros(1000, np.float32)
    for x, y in ((silent, dry), (dry, silent)):
        with pytest.raises(DatasetError, match="silent"):
            fitted(x, y)
    broken = dry.copy()
    broken[500] = np.nan
    with pytest.raises(DatasetError):
        fitted(broken, dry)


@pytest.mark.parametrize("noise", [0.001, 0.05])
def test_noise_floor_equals_that_of_added_noise(noise):
    frames = 100_000
    clean = device(music(frames)).astype(np.float64)
    rng = np.random.default_rng(5)
    first, second = ((clean + noise * rng.standard_normal(frames)).astype(np.float32) for _ in range(2))
    power = float(np.mean(clean**2))
    # Five standard deviations.
    assert noise_floor_esr(first, second) == pytest.approx(noise**2 / (power + noise**2), rel=5 * np.sqrt(2 / frames))
    # The ESR of a perfect twin.
    evaluated = np.sum((clean - first) ** 2) / np.sum(first.astype(float) ** 2)
    assert noise_floor_esr(first, second) == pytest.approx(evaluated, rel=0.03)


def test_noise_floor_of_no_noise_and_of_noise_alone():
    wet = music(1000)
    assert noise_floor_esr(wet, wet) == 0.0
    rng = np.random.default_rng(6)
    assert noise_floor_esr(*rng.standard_normal((2, 100_000)).astype(np.float32)) == pytest.approx(1.0, rel=0.03)


def test_noise_floor_of_incomparable_recordings_raises():
    wet, silent = music(1000), np.zeros(1000, np.float32)
    broken = wet.copy()
    broken[7] = np.inf
    for first, second, reason in (
        (wet, wet[1:], "shapes"),
        (wet[:, None], wet[:, None], "shapes"),
        (silent, silent, "silent"),
        (wet, broken, "NaN"),
    ):
        with pytest.raises(DatasetError, match=reason):
            noise_floor_esr(first, second)
