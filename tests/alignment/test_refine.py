"""Fit of the clock to a coarse track."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.clock import ClockModel, LagFit, LagStep, clicks_contradict, fit_click_line
from twinlib.alignment.dropouts import find_spurious
from twinlib.alignment.lag_track import LagTrack, measure_lags, plan_windows
from twinlib.alignment.pipeline import fit_track
from twinlib.alignment.refine import without_contradicted_steps
from twinlib.alignment.tracker import track_lags
from twinlib.estimation.line_fit import Line, PieceFit
from twinlib.estimation.linear_model import identify_fir
from twinlib.resampling.time_map import TimeMap
from twinlib.simulation.settings import DiodeClipper

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme, reel, rush, warped

AT = 5 * RATE + 1234


def fitted(dry: Array, wet: Array, lag: float) -> LagFit:
    windows = plan_windows(0, len(dry), RATE)
    recorded = channel(wet)
    found = fit_track(
        channel(dry), recorded, windows, track_lags(channel(dry), recorded, windows, RATE, Line(lag, 0.0))
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        (137, -64, 0.5),
        (137, -64, 1.0),
        (-300, 300, 1.0),
        (64, 64, 2.0),
        (-300, 300, 0.5),
        (1, 1, 0.5),
        (5000, -3000, 0.6),
        (137, -64, 4.0),
        (-300, 300, 4.0),
    ],
)
def test_resolves_two_dropouts_close_to_each_other(first: int, second: int, apart: float) -> None:
    """The numbers of samples and the ranges are correct, with a piece between the dropouts."""
    dry = rush(12.0, 1)
    wet, again = device(dry), AT + round(apart * RATE)
    wet = np.concatenate((noise(700, -80), wet[:AT], wet[AT + first : again], wet[again + second :]))
    found = fitted(dry, wet + noise(len(wet), -80), 700.0).clock
    assert np.diff(found.fit.lags) == pytest.approx([-first, -second], abs=0.1)
    for one, place, lost in zip(found.steps, (AT, again), (first, second), strict=True):
        assert one.first - 64 <= place + min(0, lost)
        assert place + max(0, lost) <= one.last + 64
        assert one.last - one.first < 0.4 * RATE


@pytest.mark.parametrize(
    ("lost", "played"), [(1, device), (-1, filtered), (2, filtered), (4096, filtered), (-4096, device)]
)
def test_a_dropout_of_any_size_adds_one_piece(lost: int, played: Callable[[Array], Array]) -> None:
    dry = rush(10.0, 2)
    wet = -warped(played(dry), 700.25, -40.0)
    torn = round(AT * (1 - 40e-6) + 700.25)
    wet = np.concatenate((wet[:torn], wet[torn + lost :]))
    found = fitted(dry, wet + noise(len(wet), -80), 700.0)
    assert found.polarity == -1
    assert np.diff(found.clock.fit.lags) == pytest.approx([-lost], abs=0.05)
    assert found.clock.fit.drift_ppm == pytest.approx(-40.0, abs=0.5)
    (one,) = found.clock.steps
    assert one.first - 64 <= AT + min(0, lost)
    assert AT + max(0, lost) <= one.last + 64
    assert one.last - one.first - max(0, lost) < 0.5 * RATE


def hard(x: Array) -> Array:
    """A clipper whose distortion exceeds the effect of a lag of one sample."""
    return np.clip(20.0 * x, -0.5, 0.5)


@pytest.mark.parametrize(("lost", "played"), [(1, hard), (64, lambda x: circuit(DiodeClipper(drive=0.8), x))])
def test_keeps_a_dropout_near_the_end_through_heavy_distortion(lost: int, played: Callable[[Array], Array]) -> None:
    """The short piece after it looks like an excursion of the lag."""
    dry, at = rush(16.0, 4), 11 * RATE
    wet = played(dry)
    wet = np.concatenate((noise(700, -80), wet[:at], wet[at + lost :]))
    found = fitted(dry, wet + noise(len(wet), -80), 700.0).clock
    assert np.diff(found.fit.lags) == pytest.approx([-lost], abs=1e-6)
    (one,) = found.steps
    assert one.first <= at <= one.last
    assert one.last - one.first < 0.15 * RATE + lost


@pytest.mark.slow
def test_a_sample_lost_amid_scatter_is_not_a_clock_curve() -> None:
    """The scatter of neighbouring windows masks the step."""
    rng = np.random.default_rng(0)
    dry, at = programme(40.0), round(rng.uniform(12.0, 28.0) * RATE)
    level = np.repeat(10.0 ** (rng.uniform(-20.0, 0.0, 80) / 20.0), RATE // 2)
    dry = dry * level[: len(dry)]
    wet = circuit(DiodeClipper(drive=0.8), dry)
    wet = np.concatenate((noise(700, -80), wet[:at], wet[at + 1 :]))
    found = fitted(dry, wet + noise(len(wet), -80), 700.0).clock
    assert found.curve is None
    assert np.diff(found.fit.lags) == pytest.approx([-1.0], abs=1e-6)
    (one,) = found.steps
    assert one.first <= at <= one.last
    assert one.last - one.first < 0.75 * RATE


@pytest.mark.parametrize("lost", [0, 3])
def test_clicks_drop_a_step_that_the_residual_does_not_confirm(lost: int) -> None:
    """A step that lasts to the end, within a range too wide to be confirmed, and true only if samples were lost."""
    dry, clicks = reel(12.0, 1)
    wet, place = device(dry), clicks[0] + 8 * RATE
    wet = np.concatenate((wet[:place], wet[place + lost :])) + noise(len(dry) - lost, -80)
    windows = plan_windows(clicks[0] + RATE // 2, clicks[1], RATE)
    step = LagStep(place, place - windows.size, place + windows.size, -3.0)
    clock = ClockModel(PieceFit(np.array([0.0, -3.0]), 0.0, np.zeros(2), 0.0), None, (step,))
    track, _ = measure_lags(channel(dry), channel(wet), windows, clock.time_map(0, len(dry)), None, 1, clock.excluded)
    fit = LagFit(clock, track, 0.0, 1, windows)
    measured = fit_click_line(channel(dry), channel(wet), (clicks[0], clicks[1]), clock, 1)
    assert measured is not None
    found, line = without_contradicted_steps(channel(dry), channel(wet), fit, measured)
    assert len(found.clock.steps) == (lost > 0)
    assert not clicks_contradict(line, found.clock)
    assert np.diff(found.clock.fit.lags) == pytest.approx([-3.0] * (lost > 0), abs=0.01)


@pytest.mark.parametrize(("seed", "played"), [(0, device), (1, filtered)])
def test_an_undamaged_take_is_one_piece(seed: int, played: Callable[[Array], Array]) -> None:
    dry = programme(10.0, seed)
    wet = warped(played(dry), 700.25, 35.0)
    found = fitted(dry, wet + noise(len(wet), -60), 700.0)
    assert found.clock.steps == ()
    assert found.clock.curve is None
    assert found.clock.fit.drift_ppm == pytest.approx(35.0, abs=0.3)


@cache
def recorded(played: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Twelve seconds and their recording. Read-only."""
    dry = rush(12.0, 3)
    return dry, np.concatenate((played(dry), np.zeros(100)))


@pytest.mark.parametrize("played", [device, filtered, lambda x: circuit(DiodeClipper(), x)])
@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize(("first", "last"), [(5.0, 7.0), (0.0, 2.0), (10.5, 12.0)])
def test_a_short_excursion_must_improve_the_prediction(
    played: Callable[[Array], Array], moved: bool, first: float, last: float
) -> None:
    """Two cancelling steps, or one near an end, are spurious unless samples moved."""
    dry, wet = recorded(played)
    wet = wet.copy()
    start, stop, later = round(first * RATE), round(last * RATE), 10
    if moved:
        wet[start:stop] = np.roll(wet, later)[start:stop]
    breaks = tuple(LagStep(place, place - 2000, place + 2000) for place in (start, stop) if 0 < place < len(dry))
    lags = np.array([later if first <= middle < last else 0.0 for middle in (1.0, 6.0, 11.0)])
    lags = lags if len(breaks) > 1 else lags[[0, 2]]
    clock = ClockModel(PieceFit(lags, 0.0, np.zeros(len(lags)), 0.0), None, breaks)
    found = LagFit(clock, LagTrack(*np.zeros((5, 0))), 0.0, 1, plan_windows(0, len(dry), RATE))
    prediction = identify_fir(channel(dry), channel(wet), TimeMap.straight(0.0, 0.0, 0, len(dry)), 0, len(dry), 1)
    wrong = set() if moved else set(range(len(breaks)))
    assert find_spurious(channel(dry), channel(wet), found, prediction) == wrong
