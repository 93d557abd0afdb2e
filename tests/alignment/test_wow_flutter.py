import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.clock import LagStep, fit_clock
from twinlib.alignment.lag_track import LagTrack
from twinlib.alignment.pipeline import align
from twinlib.alignment.wow_flutter import is_broadband, residual_rms, subbands_covary, wander_rms
from twinlib.estimation.line_fit import fit_line

from .conftest import CLICK, RATE, Array, Write, breathing, device, noise, reel, slow_clock, wandered


def windows(lag: Array, seconds: float) -> LagTrack:
    """Evenly spaced windows, relative to the line fitted to their lags."""
    position = np.linspace(0.0, seconds * RATE, len(lag))
    line = fit_line(position, lag, np.ones(len(lag))).line
    residual = lag - line.lag - line.drift_ppm * 1e-6 * position
    return LagTrack(position, residual, np.ones_like(lag), np.ones_like(lag), np.zeros_like(lag))


@pytest.mark.parametrize("count", [16, 32, 120, 700])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_scatter_is_not_wander(count: int, shared: float) -> None:
    """Even if neighbouring windows share programme and thus the phase of the device."""
    white = np.random.default_rng(count).standard_normal((200, count + 1))
    scattered = 0.1 * (white[:, 1:] + shared * white[:, :-1])
    alarms = sum(wander_rms(windows(lag, count * 1.0), RATE) > 0.02 for lag in scattered)
    assert alarms <= 4 if shared else alarms <= 1


@settings(max_examples=50)
@given(
    seconds=st.floats(110, 1500),
    scatter=st.floats(0.001, 0.1),
    phase=st.floats(0, 6.28),
    seed=st.integers(0, 1000),
)
def test_measures_a_clock_that_wanders_by_a_fifth_of_a_sample_in_a_minute(
    seconds: float, scatter: float, phase: float, seed: int
) -> None:
    time = np.arange(0.0, seconds, 0.97)
    true = 0.2 * np.sin(2 * np.pi * time / 60.0 + phase)
    found = wander_rms(windows(true + scatter * np.random.default_rng(seed).standard_normal(len(time)), seconds), RATE)
    assert found == pytest.approx(0.14, abs=0.06)


def test_a_constant_and_drift_are_not_wander() -> None:
    rng = np.random.default_rng(3)
    lag = 0.01 * rng.standard_normal(120)
    drifting = lag + np.linspace(300.0, 310.0, 120)
    assert wander_rms(windows(drifting, 120.0), RATE) == pytest.approx(wander_rms(windows(lag, 120.0), RATE), abs=1e-6)


def test_few_windows_give_the_plain_residual() -> None:
    residual = np.array([0.1, -0.1, 0.1, -0.1])
    few = LagTrack(np.arange(4.0), residual, np.ones(4), np.ones(4), np.zeros(4))
    assert wander_rms(few, RATE) == pytest.approx(0.1)
    assert residual_rms(few) == pytest.approx(0.1)


@given(constant=st.floats(-0.3, 0.3), scatter=st.floats(0.001, 0.05), seed=st.integers(0, 1000))
def test_the_residual_is_that_of_the_inliers_without_their_constant(constant: float, scatter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    residual = constant + scatter * rng.standard_normal(200)
    weight = rng.uniform(0.5, 2.0, 200)
    sign = np.ones(200)
    sound = np.ones(200, bool)
    residual[:20], weight[20:40], sign[40:60] = 40.0, 0.0, -1.0
    sound[:60] = False
    found = residual_rms(LagTrack(np.arange(200.0), residual, weight, sign, np.zeros(200)))
    mean = np.average(residual[sound], weights=weight[sound])
    assert found == pytest.approx(np.sqrt(np.average((residual[sound] - mean) ** 2, weights=weight[sound])))
    none = LagTrack(np.arange(60.0), residual[:60], weight[:60], sign[:60], np.zeros(60))
    assert residual_rms(none) is None


@pytest.mark.parametrize(("count", "seconds"), [(2, 60.0), (2, 200.0), (3, 60.0), (8, 300.0)])
def test_a_curve_continues_across_dropouts(count: int, seconds: float) -> None:
    """Each piece has its constant, and all share one curve."""
    rng = np.random.default_rng(0)
    position, true = slow_clock(rng, seconds, 60.0, 0.5)
    places = [round(float(position[-1]) * number / count) for number in range(1, count)]
    lost = np.searchsorted(places, position, side="right") * 137.0
    lag = 500.0 - lost + true + 0.005 * rng.standard_normal(len(position))
    found = fit_clock(position, lag, np.ones(len(position)), [LagStep(place, place, place) for place in places], True)
    assert found.curve is not None
    assert np.sqrt(np.mean((found.lags(position) - (500.0 - lost + true)) ** 2)) < 0.01


def test_follows_a_slowly_wandering_clock(write: Write) -> None:
    """The error is below 0.02 samples."""
    dry, clicks = reel(20.0, seed=6)
    n = np.arange(0.0, len(dry))

    def lags(m: Array) -> Array:
        return 3000.4 + 8e-6 * m + 0.2 * np.sin(2 * np.pi * m / (16.0 * RATE))

    wet = wandered(device(dry), lags, len(dry) + 5000)
    found = align(write("dry.wav", dry), write("wet.wav", wet + noise(len(wet), -75)), clicks=clicks)
    assert found.verdict == "ok", found.reasons
    assert found.warp == "sinc"
    assert found.wander_rms_samples == pytest.approx(0.14, abs=0.05)
    inside = n[clicks[0] + CLICK : clicks[1]]
    assert np.sqrt(np.mean((found.lags(inside) - lags(inside)) ** 2)) < 0.02


def test_a_pause_is_not_a_dropout(write: Write) -> None:
    """The lag changes by more than half a sample during silence, without lost samples."""
    dry, clicks = reel(30.0, seed=6)
    middle = (clicks[0] + clicks[1]) // 2
    dry[middle : middle + round(2.5 * RATE)] = 0.0

    def lags(m: Array) -> Array:
        return 3000.4 + 1.5 * np.sin(2 * np.pi * (m - middle) / (30.0 * RATE))

    wet = wandered(device(dry), lags, len(dry) + 5000)
    found = align(write("dry.wav", dry), write("wet.wav", wet + noise(len(wet), -75)), clicks=clicks)
    assert not found.dropouts
    assert found.wander_rms_samples > 0.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("minutes", [1, 10])
def test_subbands_distinguish_a_clock_from_a_device(seed: int, minutes: int) -> None:
    """A clock shifts both equally; a device delays each by a different amount."""
    rng = np.random.default_rng(seed)
    time = np.arange(0.0, 60.0 * minutes, 0.37)
    scatter = 0.05 * rng.standard_normal((2, len(time)))
    clock = 0.2 * np.sin(2 * np.pi * time / 60.0 + seed)
    fast = 0.5 * np.sin(2 * np.pi * time / 3.0)
    loudness = np.interp(time, np.arange(0.0, 700.0, 5.0), rng.uniform(0.0, 1.0, 140))
    device = np.array([0.3 * loudness - 4.0, 0.05 * loudness])

    def covary(lags: Array) -> bool:
        return subbands_covary(
            *(LagTrack(time * RATE, lag, *np.ones((2, len(time))), np.zeros(len(time))) for lag in lags), RATE
        )

    assert covary(clock + scatter)
    assert covary(fast + scatter)
    assert covary(clock + np.array([[-4.0], [0.0]]) + scatter)
    assert not covary(device + scatter)


def test_few_windows_do_not_exclude_a_clock() -> None:
    few = LagTrack(np.arange(4.0), np.ones(4), np.ones(4), np.ones(4), np.zeros(4))
    assert subbands_covary(few, few, RATE)


@pytest.mark.parametrize("seed", range(8))
def test_a_level_dependent_delay_is_not_wander(seed: int) -> None:
    """Even for slow level changes; the regression keeps the part due to the clock."""
    rng = np.random.default_rng(seed)
    position, lag, level = breathing(rng, 2e-4)
    ones = np.ones(len(lag))
    clock = 0.05 * np.sin(2 * np.pi * position / RATE / 40.0)
    assert wander_rms(LagTrack(position, lag, ones, ones, 0.0 * level), RATE) > 1e-3
    assert wander_rms(LagTrack(position, lag, ones, ones, level), RATE) < 1e-3
    assert wander_rms(LagTrack(position, lag + clock, ones, ones, level), RATE) > 0.02


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [1.0, 0.65, 0.0])
def test_a_curve_that_the_highs_follow_less_is_not_broadband(seed: int, share: float) -> None:
    """A level-dependent all-pass delays highs two thirds as much as lows, a clipper hardly; a clock delays all
    frequencies equally.
    """
    rng = np.random.default_rng(seed)
    position, swing = slow_clock(rng, 60.0, 15.0, 0.04)
    ones = np.ones(len(swing))
    low, high = (
        LagTrack(position, constant + part * swing + 0.01 * rng.standard_normal(len(swing)), ones, ones, 0 * ones)
        for constant, part in ((0.0, 1.0), (-3.0, share))
    )
    assert is_broadband(low, high, lambda _: swing) == (share == 1.0)


def test_few_windows_reject_no_curve() -> None:
    few = LagTrack(np.arange(4.0), np.ones(4), np.ones(4), np.ones(4), np.zeros(4))
    assert is_broadband(few, few, np.ones_like)


@pytest.mark.parametrize(("hertz", "swing"), [(0.3, 2.0), (0.3, 0.2), (5.0, 0.2)])
def test_follows_wow_and_flutter(write: Write, hertz: float, swing: float) -> None:
    """Wow of 2 and 0.2 samples, and flutter that the default windows average out."""
    dry, clicks = reel(12.0, seed=6)
    n = np.arange(0.0, len(dry))

    def lags(m: Array) -> Array:
        return 3000.4 + 8e-6 * m + swing * np.sin(2 * np.pi * hertz * m / RATE)

    wet = wandered(device(dry), lags, len(dry) + 5000)
    found = align(write("dry.wav", dry), write("wet.wav", wet + noise(len(wet), -75)), clicks=clicks)
    assert found.verdict == "ok", found.reasons
    assert not found.excluded
    assert found.wander_rms_samples == pytest.approx(swing / np.sqrt(2.0), rel=0.1)
    inside = n[clicks[0] + CLICK : clicks[1]]
    assert np.std(found.lags(inside) - lags(inside)) < 0.02


@pytest.mark.parametrize("hertz", [25.0])
def test_reports_flutter_too_fast_to_follow(write: Write, hertz: float) -> None:
    dry, clicks = reel(8.0, seed=6)

    def lags(m: Array) -> Array:
        return 3000.4 + 8e-6 * m + 0.1 * np.sin(2 * np.pi * hertz * m / RATE)

    wet = wandered(device(dry), lags, len(dry) + 5000)
    found = align(write("dry.wav", dry), write("wet.wav", wet + noise(len(wet), -75)), clicks=clicks)
    assert found.verdict == "suspect"
    assert any("flutters" in reason for reason in found.reasons)
