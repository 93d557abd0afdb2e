"""Where samples were lost, told by short frames."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.lag_track import Response, measure_lags, plan_windows
from twinlib.alignment.place import TwoMaps, placed
from twinlib.alignment.time_map import TimeMap
from twinlib.simulation.settings import DiodeClipper

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme

AT = 3 * RATE + 1234
DRY = programme(6.0, 1)
KNOWN = ((0, 2 * RATE), (4 * RATE, 6 * RATE))
ZONE = (2 * RATE, 4 * RATE)


def clipper(x: Array) -> Array:
    return circuit(DiodeClipper(), x)


@cache
def whole(played: Callable[[Array], Array]) -> Array:
    return played(DRY) + noise(len(DRY), -80)


@cache
def response(played: Callable[[Array], Array]) -> tuple[Response, int, float]:
    """What windows tell of the device, their size, and its own delay."""
    windows, still, known = plan_windows(0, len(DRY), RATE), TimeMap.straight(0.0, 0.0, 0, len(DRY)), None
    for _ in range(2):
        _, known = measure_lags(channel(DRY), channel(whole(played)), windows, still, known, 1)
    assert known is not None
    return known, windows.size, known.delay


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -1, 7, 64, -512, 4096])
def test_the_place_of_a_loss_is_told_within_the_doubt_that_is_said(played: Callable[[Array], Array], lost: int) -> None:
    known, size, delay = response(played)
    wet = whole(played)
    spoilt = np.concatenate((wet[:AT], wet[AT + lost :]))
    maps = tuple(TimeMap.straight(delay - gone, 0.0, 0, len(DRY)) for gone in (0, lost))
    found = placed(TwoMaps(channel(DRY), channel(spoilt), (maps[0], maps[1]), known, size, 1), ZONE, KNOWN)
    assert found is not None
    assert found.first <= found.place <= found.last
    # Repeated samples begin to answer by the second lag where they are played first.
    assert found.first <= AT + min(0, lost) <= found.last
    assert found.last - found.first < 0.1 * RATE


@pytest.mark.parametrize("played", [device, filtered, clipper])
def test_where_nothing_was_lost_no_place_is_told(played: Callable[[Array], Array]) -> None:
    known, size, delay = response(played)
    for lost in (0, 1, -64):
        maps = tuple(TimeMap.straight(delay - gone, 0.0, 0, len(DRY)) for gone in (0, lost))
        wet = channel(whole(played))
        assert placed(TwoMaps(channel(DRY), wet, (maps[0], maps[1]), known, size, 1), ZONE, KNOWN) is None


def test_a_pause_may_hold_a_loss_anywhere() -> None:
    """What is silent tells no place: all of it is in doubt, and nothing beside it."""
    known, size, delay = response(device)
    pause = slice(AT, AT + RATE // 2)
    dry = DRY.copy()
    dry[pause] = 0.0
    wet = device(dry)
    wet = np.concatenate((wet[: AT + 9000], wet[AT + 9064 :]))
    maps = tuple(TimeMap.straight(delay - gone, 0.0, 0, len(dry)) for gone in (0, 64))
    found = placed(TwoMaps(channel(dry), channel(wet), (maps[0], maps[1]), known, size, 1), ZONE, KNOWN)
    assert found is not None
    assert AT - 2048 < found.first <= AT + 64
    assert pause.stop - 64 <= found.last < pause.stop + 2048


def test_silence_tells_no_place() -> None:
    known, size, _ = response(device)
    silent = channel(np.zeros(len(DRY)))
    maps = tuple(TimeMap.straight(lag, 0.0, 0, len(DRY)) for lag in (0.0, -5.0))
    assert placed(TwoMaps(silent, silent, (maps[0], maps[1]), known, size, 1), ZONE, KNOWN) is None
