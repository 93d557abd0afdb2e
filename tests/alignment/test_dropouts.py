"""Localisation of dropouts by residual and phase."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.change_point import (
    LOG_LIKELIHOOD,
    PHASE_WINDOW,
    ChangePoint,
    locate_by_phase,
    locate_by_residual,
)
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


def locate_phase(played: Callable[[Array], Array], lost: int, recorded: Array) -> ChangePoint | None:
    dry, wet = channel(DRY), channel(recorded)
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(float(-lost), 0.0, 0, len(DRY))
    known = AT - RATE // 2, AT + RATE // 2
    _, response = measure_lags(dry, wet, plan_dense_windows(0, known[0], PHASE_WINDOW), maps[0], None, 1)
    assert response is not None
    return locate_by_phase(dry, wet, maps, response, 1, (RATE, 5 * RATE), known)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -1, 7, 64, -512, 4096])
def test_the_phase_locates_a_dropout(played: Callable[[Array], Array], lost: int) -> None:
    wet = whole(played)[0]
    place = locate_phase(played, lost, np.concatenate((wet[:AT], wet[AT + lost :])))
    assert place is not None
    assert place.first <= place.position <= place.last
    assert place.first <= AT + max(0, lost)
    assert AT + min(0, lost) <= place.last
    # The residual shows one sample through a filter.
    assert place.log_likelihood > LOG_LIKELIHOOD or (played is filtered and abs(lost) == 1)
    # Here the notes are long and low: one sample changes their phase little.
    assert place.last - place.first < (0.7 if abs(lost) == 1 else 0.1) * RATE + abs(lost)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -64])
def test_the_phase_shows_no_dropout_in_a_whole_take(played: Callable[[Array], Array], lost: int) -> None:
    place = locate_phase(played, lost, whole(played)[0])
    assert place is None or place.log_likelihood < LOG_LIKELIHOOD


def test_silence_confirms_no_dropout() -> None:
    silent = channel(np.zeros(len(DRY)))
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(-5.0, 0.0, 0, len(DRY))
    assert locate_by_residual(silent, silent, maps, whole(device)[1], 1, ZONE) == (None, 0.0)
