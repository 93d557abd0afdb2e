"""Localisation of dropouts by residual and phase."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.change_point import (
    LOG_LIKELIHOOD,
    PHASE_WINDOW,
    ChangePoint,
    TwoMaps,
    join_ranges,
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
    return locate_by_residual(TwoMaps(channel(DRY), channel(wet), maps, 1, ZONE), whole(played)[1])


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
    return locate_by_phase(TwoMaps(dry, wet, maps, 1, (RATE, 5 * RATE)), response, known)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -1, 7, 64, -512, 4096])
def test_the_phase_locates_a_dropout(played: Callable[[Array], Array], lost: int) -> None:
    wet = whole(played)[0]
    place = locate_phase(played, lost, np.concatenate((wet[:AT], wet[AT + lost :])))
    assert place is not None
    assert place.first <= place.position <= place.last
    assert place.first <= AT + max(0, lost)
    assert AT + min(0, lost) <= place.last
    if played is filtered and abs(lost) == 1:
        return  # These notes are low, and the filter removes their overtones: only the residual shows one sample.
    assert place.log_likelihood > LOG_LIKELIHOOD
    assert place.last - place.first < (0.3 if abs(lost) == 1 else 0.1) * RATE + abs(lost)


@pytest.mark.parametrize("played", [device, filtered, clipper])
@pytest.mark.parametrize("lost", [1, -64])
def test_the_phase_shows_no_dropout_in_a_whole_take(played: Callable[[Array], Array], lost: int) -> None:
    place = locate_phase(played, lost, whole(played)[0])
    assert place is None or place.log_likelihood < LOG_LIKELIHOOD


@pytest.mark.parametrize("length", [100, 1024, 2047, 2048 + 4096, 12000])
@pytest.mark.parametrize("lost", [1, 4096])
def test_a_short_zone_is_no_error(length: int, lost: int) -> None:
    """Two steps may be that near to each other."""
    wet = channel(whole(clipper)[0])
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(float(-lost), 0.0, 0, len(DRY))
    _, response = measure_lags(channel(DRY), wet, plan_dense_windows(0, AT, PHASE_WINDOW), maps[0], None, 1)
    assert response is not None
    pair = TwoMaps(channel(DRY), wet, maps, 1, (AT, AT + length))
    place = locate_by_phase(pair, response, (AT + length // 4, AT + length // 2))
    assert place is None or place.log_likelihood < LOG_LIKELIHOOD
    assert locate_by_residual(pair, whole(clipper)[1])[1] < CONFIRMED


def test_the_inner_range_counts_and_ranges_that_overlap_in_part_are_joined() -> None:
    assert join_ranges((0, 10), (2, 5)) == join_ranges((2, 5), (0, 10)) == (2, 5)
    assert join_ranges((0, 5), (2, 10)) == (0, 10)
    assert join_ranges((0, 5), (7, 10)) == (0, 10)


def test_silence_confirms_no_dropout() -> None:
    silent = channel(np.zeros(len(DRY)))
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(-5.0, 0.0, 0, len(DRY))
    assert locate_by_residual(TwoMaps(silent, silent, maps, 1, ZONE), whole(device)[1]) == (None, 0.0)
