"""The lag tracker across dropouts of any length."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.lag_track import plan_windows
from twinlib.alignment.tracker import CoarseTrack, count_consistent, track_lags
from twinlib.estimation.line_fit import Line

from .conftest import RATE, Array, channel, device, noise, programme, rush, warped

LAG = 500
SECONDS = 44.0
AT = int(11.2 * RATE)


@cache
def made(make: Callable[[float, int], Array]) -> Array:
    return make(SECONDS, 5)


def torn(dry: Array, jump: int) -> Array:
    """Add a lag step at `AT` by inserting noise or removing samples."""
    wet = device(dry)
    wet = np.concatenate((noise(LAG, -70), wet[:AT], noise(max(0, jump), -70, 2), wet[AT + max(0, -jump) :]))
    return wet + noise(len(wet), -70, 3)


def walked(dry: Array, wet: Array, anchor: int, lag: float) -> CoarseTrack:
    windows = plan_windows(0, len(dry), RATE)
    return track_lags(channel(dry), channel(wet), windows, anchor, Line(lag, 0.0))


@pytest.mark.parametrize(
    ("make", "seconds", "backwards"),
    [
        *((rush, jump, way) for jump in (0.01, -0.01, 0.1, -0.1, 1.0, -1.0, 20.0, -20.0) for way in (False, True)),
        (rush, 5.0, False),
        (rush, -5.0, False),
        (rush, 5.0, True),
        (rush, -5.0, True),
        *((programme, jump, way) for jump in (0.01, -0.01, 0.1, -0.1) for way in (False, True)),
        (programme, 1.0, False),
        (programme, -5.0, False),
    ],
)
def test_tracks_across_a_step(make: Callable[[float, int], Array], seconds: float, backwards: bool) -> None:
    """Most windows on both sides have the correct lag; very few have a wrong one."""
    dry, jump = made(make), round(seconds * RATE)
    wet = torn(dry, jump)
    anchor, lag = (int((SECONDS - 2) * RATE), LAG + jump) if backwards else (2 * RATE, LAG)
    found = walked(dry, wet, anchor, lag)
    sides = (found.position < AT - 0.8 * RATE), (found.position > AT + max(0, -jump) + 0.8 * RATE)
    for side, true in zip(sides, (LAG, LAG + jump), strict=True):
        right = np.abs(found.lag[side] - true) < 2
        assert side.sum() > 15
        # Some windows pass before the search.
        assert (right & found.detected[side]).mean() > 0.85
        assert (~right & found.detected[side]).mean() < 0.05


def test_a_muted_span_is_not_a_step() -> None:
    """No window is found within ten seconds of silence."""
    dry = made(programme)
    wet = torn(dry, 0)
    wet[15 * RATE : 25 * RATE] = noise(10 * RATE, -70, 4)
    found = walked(dry, wet, 2 * RATE, LAG)
    muted = (found.position > 15.5 * RATE) & (found.position < 24.5 * RATE)
    assert np.abs(found.lag[found.detected & ~muted] - LAG).max() < 2
    assert found.detected[~muted].mean() > 0.95
    assert found.detected[muted].mean() < 0.1


@pytest.mark.parametrize("make", [rush, programme])
def test_ignores_other_audio_in_between(make: Callable[[float, int], Array]) -> None:
    """Tracking continues after ten seconds of other audio of the same kind."""
    dry = made(make)
    wet = torn(dry, 0)
    wet[15 * RATE : 25 * RATE] = device(make(10.0, 6))
    found = walked(dry, wet, 2 * RATE, LAG)
    strange = (found.position > 14.5 * RATE) & (found.position < 25.5 * RATE)
    assert found.detected[~strange].all()
    assert np.abs(found.lag[~strange] - LAG).max() < 2
    assert found.detected[strange].mean() < 0.15


@pytest.mark.parametrize(("drift", "polarity"), [(300.0, 1), (-300.0, -1), (1000.0, 1)])
def test_tracks_an_unknown_drift(drift: float, polarity: int) -> None:
    dry = made(rush)
    wet = channel(polarity * warped(device(dry), 100.5, drift))
    windows = plan_windows(0, len(dry), RATE)
    found = track_lags(channel(dry), wet, windows, 0, Line(100.0, 0.0))
    assert found.detected.all()
    assert (found.sign == polarity).all()
    # At 300 ppm, the lag changes by ten samples within a window; the error is below a sixth of that.
    blur = abs(drift) * 1e-6 * windows.size
    assert np.abs(found.lag - 100.5 - drift * 1e-6 * found.position).max() < blur / 6


def test_only_a_correct_guess_is_consistent() -> None:
    dry = rush(12.0)
    wet = channel(torn(dry, 0))
    windows = plan_windows(0, len(dry), RATE)
    for anchor in (0, 6 * RATE, 12 * RATE):
        there, found = count_consistent(channel(dry), wet, windows, anchor, Line(float(LAG), 0.0))
        assert there == found == 8
        there, found = count_consistent(channel(dry), wet, windows, anchor, Line(LAG + 2.0 * RATE, 0.0))
        assert found <= 1
    there, _ = count_consistent(channel(np.zeros(len(dry))), wet, windows, 0, Line(0.0, 0.0))
    assert there == 0
