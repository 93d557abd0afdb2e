"""Steps of the lag, and the place of a loss between two windows."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from twinlib.alignment.breaks import locate, steps
from twinlib.alignment.timemap import Piece, TimeMap

from .conftest import RATE, Array, channel, device, filtered, noise, programme

SCATTER = 0.05


def track(rng: np.random.Generator, count: int, swing: float, scatter: float) -> tuple[Array, Array]:
    """Windows of a programme of any drift, whose clock swings slowly and whose lags scatter."""
    position = np.cumsum(rng.uniform(0.37, 0.75, count)) * RATE
    slow = swing * np.sin(2 * np.pi * position / RATE / rng.uniform(20, 120) + rng.uniform(0, 6.28))
    drift = rng.uniform(-300, 300) * 1e-6 * position
    return position, 500.0 + drift + slow + scatter * rng.standard_normal(count)


@pytest.mark.parametrize("swing", [0.0, 0.3])
def test_a_step_of_a_sample_or_more_is_found_at_its_place(swing: float) -> None:
    """And nowhere else, whatever its size and however near the ends, where two windows are all that tell it."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(12, 200))
        after = int(rng.choice([2, count - 2, int(rng.integers(2, count - 1))]))
        size = float(rng.choice([-1, 1]) * 10 ** rng.uniform(0, 6))
        position, lag = track(rng, count, swing, SCATTER)
        lag[after:] += size
        found = steps(position, lag)
        assert [one.after for one in found] == [after], seed
        assert found[0].samples == pytest.approx(size, abs=0.5)


@pytest.mark.parametrize(
    "scatter",
    [0.0, 0.001, 0.01, 0.03, SCATTER, 0.1],
)
def test_smooth_curves_and_scatter_hold_no_step(scatter: float) -> None:
    """Of 150 clocks that swing by up to two samples, whatever the length of the track."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        assert not steps(*track(rng, int(rng.integers(1, 200)), rng.uniform(0, 2), scatter)), seed


@pytest.mark.parametrize(
    "places",
    [range(2, 58), (0, 59), (1, 58)],
    ids=["inside", "ends", "next to the ends"],
)
def test_a_single_window_that_was_mistaken_is_no_step(places: Sequence[int]) -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        position, lag = track(rng, 60, 0.3, 0.02)
        lag[rng.choice(places)] += rng.choice([-1, 1]) * rng.uniform(1, 5000)
        assert not steps(position, lag)


@pytest.mark.parametrize("lost", [1, -1, 64, -64, 1024, 4096])
@pytest.mark.parametrize("played", [device, filtered])
def test_a_loss_is_located_between_two_windows(lost: int, played: Callable[[Array], Array]) -> None:
    """What is left out holds the loss, and not much else; repeated samples may be counted before or behind."""
    sides = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        dry = programme(4.0, seed)
        at = 2 * RATE + int(rng.integers(-8000, 8000))
        wet = played(dry)
        wet = np.concatenate((wet[:at], wet[at + lost :])) + noise(len(dry) - lost, -80, seed)
        zone = 2 * RATE - 16_384, 2 * RATE + 16_384 + max(0, lost)
        before = Piece(0, zone[0], (0.0,), (0.0,))
        after = Piece(zone[1], len(dry), (0.0,), (-float(lost),))
        found = locate(channel(dry), channel(wet), TimeMap([before, after]), 0, zone)
        assert found is not None
        assert zone[0] <= found.first <= found.place <= found.last <= zone[1]
        assert found.first - 64 <= at + min(0, lost) <= at + max(0, lost) <= found.last + 64 + max(0, -lost)
        sides.append(found.last - found.first - max(0, lost))
    assert np.median(sides) < 0.35 * RATE


@pytest.mark.parametrize("apart", [0.0, 0.01])
def test_where_nothing_was_lost_nothing_is_located(apart: float) -> None:
    """Two pieces that explain a stretch alike are one."""
    dry = programme(4.0)
    zone = 2 * RATE - 16_384, 2 * RATE + 16_384
    pieces = [Piece(0, zone[0], (0.0,), (0.0,)), Piece(zone[1], len(dry), (0.0,), (apart,))]
    for wet in (device(dry), filtered(dry)):
        assert locate(channel(dry), channel(wet + noise(len(dry), -70)), TimeMap(pieces), 0, zone) is None


def test_silence_tells_no_place() -> None:
    dry = np.zeros(4 * RATE)
    zone = RATE, 2 * RATE
    pieces = [Piece(0, zone[0], (0.0,), (0.0,)), Piece(zone[1], len(dry), (0.0,), (-5.0,))]
    assert locate(channel(dry), channel(dry), TimeMap(pieces), 0, zone) is None
