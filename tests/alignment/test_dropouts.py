"""Localisation of dropouts by residual and phase."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.change_point import PHASE_WINDOW, locate_by_phase, locate_by_residual
from twinlib.alignment.dropouts import CONFIRMED
from twinlib.alignment.lag_track import measure_lags, plan_dense_windows
from twinlib.estimation.linear_model import FirModel, identify_fir
from twinlib.resampling.time_map import TimeMap
from twinlib.simulation.settings import DiodeClipper

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme

AT = 3 * RATE + 1234
DRY = programme(6.0, 1)
ZONE = (2 * RATE, 4 * RATE)


def clipper(x: Array) -> Array:
    return circuit(DiodeClipper(), x)


@cache
def whole(played: Callable[[Array], Array]) -> tuple[Array, FirModel]:
    wet = played(DRY) + noise(len(DRY), -80)
    still = TimeMap.straight(0.0, 0.0, 0, len(DRY))
    return wet, identify_fir(channel(DRY), channel(wet), still, 0, len(DRY), 1)


def located(played: Callable[[Array], Array], lost: int, wet: Array) -> tuple[tuple[int, int] | None, float]:
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(float(-lost), 0.0, 0, len(DRY))
    return locate_by_residual(channel(DRY), channel(wet), maps, whole(played)[1], 1, ZONE)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -1, 7, 64, -512, 4096])
def test_a_dropout_is_inside_its_range(played: Callable[[Array], Array], lost: int) -> None:
    wet = whole(played)[0]
    found, statistic = located(played, lost, np.concatenate((wet[:AT], wet[AT + lost :])))
    assert found is not None
    # A clipper's residual hides a single sample, which the windows measure.
    assert statistic > (0.0 if played is clipper and abs(lost) == 1 else CONFIRMED)
    assert found[0] <= AT + min(0, lost)
    assert AT + max(0, lost) <= found[1]
    assert statistic < CONFIRMED or found[1] - found[0] < 0.3 * RATE + abs(lost)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -64])
def test_a_whole_take_confirms_no_dropout(played: Callable[[Array], Array], lost: int) -> None:
    assert located(played, lost, whole(played)[0])[1] < CONFIRMED


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -1, 7, 64, -512, 4096])
def test_the_phase_locates_a_dropout(played: Callable[[Array], Array], lost: int) -> None:
    whole_wet = whole(played)[0]
    dry, wet = channel(DRY), channel(np.concatenate((whole_wet[:AT], whole_wet[AT + lost :])))
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(float(-lost), 0.0, 0, len(DRY))
    known = AT - RATE // 2, AT + RATE // 2
    windows = plan_dense_windows(0, known[0], PHASE_WINDOW)
    _, response = measure_lags(dry, wet, windows, maps[0], None, 1)
    assert response is not None
    place = locate_by_phase(dry, wet, maps, response, 1, (RATE, 5 * RATE), known)
    assert place is not None
    position, first, last = place
    assert first <= position <= last
    assert first <= AT + max(0, lost)
    assert AT + min(0, lost) <= last
    # Here the notes are long and low: one sample changes their phase little.
    assert last - first < (0.7 if abs(lost) == 1 else 0.1) * RATE + abs(lost)


def test_silence_confirms_no_dropout() -> None:
    silent = channel(np.zeros(len(DRY)))
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(-5.0, 0.0, 0, len(DRY))
    assert locate_by_residual(silent, silent, maps, whole(device)[1], 1, ZONE) == (None, 0.0)
