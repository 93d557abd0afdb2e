"""Detection of steps in lag tracks, and their localisation by the residual."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest

from twinlib.alignment.dropouts import CONFIRMED, detect_steps, locate_step
from twinlib.alignment.linear_model import FirModel, identify_fir
from twinlib.resampling.time_map import TimeMap
from twinlib.simulation.settings import DiodeClipper

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme

SCATTER = 0.05
SEEDS = range(60)


def track(rng: np.random.Generator, count: int, swing: float, scatter: float) -> tuple[Array, Array]:
    """Windows of a programme with any drift, a slowly varying clock and scattered lags."""
    position = np.cumsum(rng.uniform(0.37, 0.75, count)) * RATE
    slow = swing * np.sin(2 * np.pi * position / RATE / rng.uniform(20, 120) + rng.uniform(0, 6.28))
    drift = rng.uniform(-300, 300) * 1e-6 * position
    return position, 500.0 + drift + slow + scatter * rng.standard_normal(count)


@pytest.mark.parametrize("swing", [0.0, 0.3])
def test_a_step_of_a_sample_or_more_is_detected_at_its_place(swing: float) -> None:
    """At any size and down to two windows from the ends, without false detections."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        count = int(rng.integers(12, 200))
        after = int(rng.choice([2, count - 2, int(rng.integers(2, count - 1))]))
        size = float(rng.choice([-1, 1]) * 10 ** rng.uniform(0, 6))
        position, lag = track(rng, count, swing, SCATTER)
        lag[after:] += size
        found = detect_steps(position, lag)
        assert [step.after for step in found] == [after], seed
        assert found[0].samples == pytest.approx(size, abs=0.5)


@pytest.mark.parametrize("scatter", [0.0, 0.001, 0.01, 0.03, SCATTER, 0.1])
def test_smooth_curves_and_scatter_have_no_step(scatter: float) -> None:
    """For clocks that vary by up to two samples and tracks of any length."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        assert not detect_steps(*track(rng, int(rng.integers(1, 200)), rng.uniform(0, 2), scatter)), seed


@pytest.mark.parametrize("places", [range(2, 58), (0, 59), (1, 58)], ids=["inside", "ends", "next to the ends"])
def test_a_single_outlier_is_not_a_step(places: Sequence[int]) -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        position, lag = track(rng, 60, 0.3, 0.02)
        lag[rng.choice(places)] += rng.choice([-1, 1]) * rng.uniform(1, 5000)
        assert not detect_steps(position, lag)


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
    return locate_step(channel(DRY), channel(wet), maps, whole(played)[1], 1, ZONE)


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


def test_silence_confirms_no_dropout() -> None:
    silent = channel(np.zeros(len(DRY)))
    maps = TimeMap.straight(0.0, 0.0, 0, len(DRY)), TimeMap.straight(-5.0, 0.0, 0, len(DRY))
    assert locate_step(silent, silent, maps, whole(device)[1], 1, ZONE) == (None, 0.0)
