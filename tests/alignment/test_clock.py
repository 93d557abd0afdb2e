from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.alignment.clock import (
    MAX_CLICK_OFFSET,
    ClickLine,
    ClockModel,
    anchor_to_clicks,
    clicks_contradict,
    fit_click_line,
)
from twinlib.alignment.lag_track import LagTrack, inliers
from twinlib.alignment.pipeline import Alignment, align
from twinlib.estimation.line_fit import Line, LineFit, PieceFit, fit_line
from twinlib.simulation.settings import DiodeClipper

from .conftest import CLICK, RATE, Array, Write, channel, circuit, click, device, noise, reel, warped

SPAN = 5_000_000


def clock(line: Line) -> ClockModel:
    """A linear clock without steps."""
    return ClockModel(PieceFit(np.array([line.lag]), line.drift_ppm, np.zeros(1), 0.0), None, ())


def track(rng: np.random.Generator, line: Line, scatter: float, count: int = 120) -> tuple[LineFit, LagTrack]:
    """A track of lags scattered about `line`, and the line fitted to it."""
    position = np.linspace(0.02, 0.98, count) * SPAN
    lag = np.array([line.at(p) for p in position]) + scatter * rng.standard_normal(count)
    fit = fit_line(position, lag, np.ones(count))
    residual = lag - np.array([fit.line.at(p) for p in position])
    return fit, LagTrack(position, residual, np.ones(count), np.ones(count), np.zeros(count))


def test_reels_of_one_device_have_exact_drift_and_the_same_bias(write: Write) -> None:
    biases = []
    for seed, lag in ((0, 5000.3), (1, 9000.8)):
        dry, clicks = reel(10.0, seed)
        wet = -warped(circuit(DiodeClipper(), dry), lag, 12.0)
        wet += noise(len(wet), -80, seed)
        found = align(write("dry.wav", dry), write("wet.wav", wet), clicks=clicks)
        assert found.verdict == "ok", found.reasons
        assert found.drift_ppm == pytest.approx(12.0, abs=5e-4)
        assert found.drift_error_ppm is not None
        assert abs(found.drift_ppm - 12.0) < 4.0 * found.drift_error_ppm
        residual = np.array([window.residual for window in found.track if window.weight > 0])
        assert np.median(residual) == pytest.approx(0.0, abs=0.01)
        assert found.residual_rms_samples is not None
        assert found.residual_rms_samples > 0.005, "the device was to scatter"
        biases.append(found.lag_samples - lag)
    assert biases[0] == pytest.approx(biases[1], abs=1e-3)


@pytest.mark.parametrize("lost", [1, -512])
def test_a_take_with_dropouts_has_the_drift_of_its_clicks(write: Write, lost: int) -> None:
    """Through a device with scatter, separate lines for both sides would be less precise."""
    dry, clicks = reel(14.0, 3)
    wet = -warped(circuit(DiodeClipper(), dry), 4000.3, 12.0)
    at = sum(clicks) // 2 + 9000
    wet = np.concatenate((wet[:at], wet[at + lost :]))
    found = align(write("dry.wav", dry), write("wet.wav", wet + noise(len(wet), -80)), clicks=clicks)
    assert [one.lost_samples for one in found.dropouts] == [lost]
    assert found.drift_ppm == pytest.approx(12.0, abs=5e-4)
    places = np.array(clicks, float)
    assert np.diff(found.lags(places)) == pytest.approx([-lost + 12e-6 * (clicks[1] - clicks[0])], abs=1e-3)
    assert abs(0.5 * (found.dropouts[0].start + found.dropouts[0].stop) * RATE - at) < 0.05 * RATE


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array, list[int]]:
    dry, clicks = reel(8.0, seed=2)
    path = tmp_path_factory.mktemp("dry") / "reel.wav"
    audio.write(path, dry.astype(np.float32), RATE, "FLOAT")
    return path, warped(device(dry), 3000.4, 7.0), clicks


class TestOneClickChanged:
    """The programme outvotes a damaged click."""

    def aligned(self, both: tuple[Path, Array, list[int]], write: Write, wet: Array) -> Alignment:
        return align(both[0], write("wet.wav", wet + noise(len(wet), -75)), clicks=both[2])

    @pytest.mark.parametrize("late", [1, -1, 5])
    def test_moved(self, both, write: Write, late: int) -> None:
        wet = both[1].copy()
        around = slice(3000 + both[2][1] - 2000, 3000 + both[2][1] + 4000)
        wet[around] = np.roll(wet[around], late)
        assert self.aligned(both, write, wet).drift_ppm == pytest.approx(7.0, abs=0.02)

    def test_half_muted_or_disturbed(self, both, write: Write) -> None:
        start = 3000 + both[2][1]
        for part in (np.zeros(CLICK // 2), noise(CLICK // 2, -6)):
            wet = both[1].copy()
            wet[start : start + len(part)] = part
            found = self.aligned(both, write, wet)
            assert found.drift_ppm == pytest.approx(7.0, abs=0.02)


def test_the_standard_error_matches_the_noise() -> None:
    gap = 20 * CLICK
    dry = np.zeros(gap + 3 * gap)
    places = (gap, 3 * gap)
    for place in places:
        dry[place : place + CLICK] = click()
    drifts, claims = [], []
    for seed in range(40):
        wet = np.roll(dry, 3) + noise(len(dry), -25, seed)
        found = fit_click_line(channel(dry), channel(wet), places, clock(Line(3.3, 0.0)), 1)
        assert found is not None
        drifts.append(found.line.drift_ppm)
        claims.append(found.drift_error_ppm)
    assert 0.7 < np.mean(claims) / np.sqrt(np.mean(np.square(drifts))) < 1.5


@settings(max_examples=20)
@given(
    lag=st.floats(-900, 900),
    drift=st.floats(-300, 300),
    off=st.floats(-5, 5),
    polarity=st.sampled_from([1, -1]),
)
def test_the_line_of_two_clean_clicks_is_exact(lag: float, drift: float, off: float, polarity: int) -> None:
    """Even with a clock that is off by some samples, if the polarity is correct."""
    dry = np.zeros(100 * CLICK)
    places = (10 * CLICK, 80 * CLICK)
    for place in places:
        dry[place : place + CLICK] = click()
    wet = channel(0.5 * polarity * warped(dry, 1000.0 + lag, drift))
    about = clock(Line(1000.0 + lag + off, drift - off))
    found = fit_click_line(channel(dry), wet, places, about, polarity)
    assert found is not None
    for place in places:
        assert found.line.at(place) == pytest.approx(1000.0 + lag + drift * 1e-6 * place, abs=2e-4)
    # A device may invert both clicks but not the programme. A single inverted click is damaged.
    inverted = fit_click_line(channel(dry), wet, places, about, -polarity)
    assert inverted is not None
    assert inverted.line == found.line
    half = np.where(np.arange(len(dry)) < 45 * CLICK, dry, -dry)
    assert fit_click_line(channel(half), wet, places, about, polarity) is None


def test_a_missing_click_gives_no_line() -> None:
    dry = np.zeros(40 * CLICK)
    dry[10 * CLICK : 11 * CLICK] = click()
    one = channel(dry)
    assert fit_click_line(one, one, (10 * CLICK, 30 * CLICK), clock(Line(0.0, 0.0)), 1) is None
    assert fit_click_line(one, one, (10 * CLICK, 10 * CLICK + 900_000), clock(Line(0.0, 0.0)), 1) is None


@given(
    lag=st.floats(-1e4, 1e4),
    drift=st.floats(-100, 100),
    bias=st.floats(-2, 2),
    step=st.floats(-3, 3),
    error=st.sampled_from([1e-4, 0.01, 0.3, 2.0]),
)
def test_clicks_contradict_a_clock_that_lost_a_sample_between_them(
    lag: float, drift: float, bias: float, step: float, error: float
) -> None:
    """A common delay is no contradiction, and imprecise clicks contradict nothing."""
    line = Line(lag + bias, drift + step / SPAN * 1e6)
    clicks = ClickLine(line, (0, SPAN), error)
    certain = abs(abs(step) - MAX_CLICK_OFFSET) > 1e-6
    if certain:
        assert clicks_contradict(clicks, clock(Line(lag, drift))) == (abs(step) > MAX_CLICK_OFFSET and error < 0.25)


@given(
    lag=st.floats(-1e4, 1e4),
    drift=st.floats(-100, 100),
    bias=st.floats(-2, 2),
    scatter=st.floats(1e-4, 0.15),
    error=st.floats(1e-5, 0.015),
    seed=st.integers(0, 1000),
)
def test_the_more_precise_drift_dominates(
    lag: float, drift: float, bias: float, scatter: float, error: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    fit, measured = track(rng, Line(lag, drift), scatter)
    click = Line(lag + bias, drift + error / SPAN * 1e6 * float(np.clip(rng.standard_normal(), -2, 2)))
    clicks = ClickLine(click, (0, SPAN), error)
    both = anchor_to_clicks(fit, measured, clicks)
    assert both is not None
    found, about_it = both
    errors = sorted((fit.drift_error_ppm, clicks.drift_error_ppm))
    assert found.drift_error_ppm <= errors[0]
    low, high = sorted((fit.line.drift_ppm, click.drift_ppm))
    assert low - 1e-9 <= found.line.drift_ppm <= high + 1e-9
    surer = fit.line if errors[0] == fit.drift_error_ppm else click
    assert abs(found.line.drift_ppm - surer.drift_ppm) <= (high - low) / 2 + 1e-9
    # The constant is that of the clicks; that of the windows is removed.
    assert found.line.at(SPAN / 2) == pytest.approx(click.at(SPAN / 2), abs=1e-6)
    assert np.median(about_it.residual[inliers(measured)]) == pytest.approx(0.0, abs=1e-9)
    before = np.array([fit.line.at(p) for p in measured.position]) + measured.residual
    after = np.array([found.line.at(p) for p in about_it.position]) + about_it.residual
    assert np.ptp(before - after) < 1e-6


@given(scatter=st.floats(0, 0.15), seed=st.integers(0, 1000), sign=st.sampled_from([1, -1]))
def test_ignores_clicks_that_the_programme_contradicts(scatter: float, seed: int, sign: int) -> None:
    fit, measured = track(np.random.default_rng(seed), Line(100.0, 5.0), scatter)
    allowed = 6.0 * (fit.drift_error_ppm + (scatter + 0.003) / SPAN * 1e6)
    wrong = ClickLine(Line(100.0, 5.0 + sign * (allowed + 1e-3) * 1.5), (0, SPAN), 1e-4)
    assert anchor_to_clicks(fit, measured, wrong) is None
    assert anchor_to_clicks(fit, measured, ClickLine(Line(120.0, 5.0), (0, SPAN), 1e-4)) is None
    assert anchor_to_clicks(fit, measured, ClickLine(Line(100.0, 5.0), (0, SPAN), 3.0)) is None
    few = LineFit(Line(100.0, 5.0), np.inf)
    assert anchor_to_clicks(few, measured, ClickLine(Line(100.0, 5.0), (0, SPAN), 1e-4)) is None
