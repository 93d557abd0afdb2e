import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from twinlib.alignment.align import align
from twinlib.alignment.line import Fit, Line, fit_line
from twinlib.alignment.track import Measured, Track
from twinlib.alignment.wander import wander

from .conftest import RATE, Array, Write, device, noise, reel


def track(lag: Array, seconds: float) -> Track:
    position = np.linspace(0.0, seconds * RATE, len(lag))
    fit = fit_line(position, lag, np.ones(len(lag)))
    residual = lag - fit.line.lag - fit.line.drift_ppm * 1e-6 * position
    return Track(
        Fit(fit.line, fit.drift_error_ppm), Measured(position, residual, np.ones_like(lag), np.ones_like(lag)), 0, 1
    )


@pytest.mark.parametrize("count", [16, 32, 120, 700])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_scatter_is_no_wander(count: int, shared: float) -> None:
    """Even where a window shares programme, and so the device's phase, with the next one."""
    white = np.random.default_rng(count).standard_normal((200, count + 1))
    scattered = 0.1 * (white[:, 1:] + shared * white[:, :-1])
    alarms = sum(wander(track(lag, count * 1.0), RATE) > 0.02 for lag in scattered)
    assert alarms <= 4 if shared else alarms <= 1


@settings(deadline=None, derandomize=True)
@given(
    seconds=st.floats(110, 1500),
    scatter=st.floats(0.001, 0.1),
    phase=st.floats(0, 6.28),
    seed=st.integers(0, 1000),
)
def test_a_clock_that_wanders_by_a_fifth_of_a_sample_in_a_minute(
    seconds: float, scatter: float, phase: float, seed: int
) -> None:
    time = np.arange(0.0, seconds, 0.97)
    true = 0.2 * np.sin(2 * np.pi * time / 60.0 + phase)
    found = wander(track(true + scatter * np.random.default_rng(seed).standard_normal(len(time)), seconds), RATE)
    assert found == pytest.approx(0.14, abs=0.06)


def test_the_constant_and_the_drift_are_no_wander() -> None:
    rng = np.random.default_rng(3)
    lag = 0.01 * rng.standard_normal(120)
    drifting = lag + np.linspace(300.0, 310.0, 120)
    assert wander(track(drifting, 120.0), RATE) == pytest.approx(wander(track(lag, 120.0), RATE), abs=1e-6)


def test_few_windows_are_judged_by_what_is_left() -> None:
    residual = np.array([0.1, -0.1, 0.1, -0.1])
    one = Track(Fit(Line(0.0, 0.0), 1.0), Measured(np.arange(4.0), residual, np.ones(4), np.ones(4)), 0.0, 1)
    assert wander(one, RATE) == pytest.approx(0.1)


def test_a_recording_of_a_wandering_clock_is_suspect(write: Write) -> None:
    dry, clicks = reel(62.0, seed=6)
    n = np.arange(len(dry))
    at = n - 0.2 * np.sin(2 * np.pi * n / (60.0 * RATE)) - 0.4
    wet = map_coordinates(device(dry), [at], order=5) + noise(len(dry), -75)
    found = align(write("dry.wav", dry), write("wet.wav", wet), clicks=clicks)
    assert found.verdict == "suspect"
    assert any("wander" in reason for reason in found.reasons)
