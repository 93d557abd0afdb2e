"""Steps of the lag, those that stand out and those that hide."""

from collections.abc import Sequence

import numpy as np
import pytest

from twinlib.alignment.dropouts import detect_steps, hidden

from .conftest import RATE, Array

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
        found = detect_steps(position, lag)
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
        assert not detect_steps(*track(rng, int(rng.integers(1, 200)), rng.uniform(0, 2), scatter)), seed


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
        assert not detect_steps(position, lag)


@pytest.mark.parametrize("scatter", [0.15, 0.25])
@pytest.mark.parametrize("lost", [1, -1, 2])
def test_a_step_that_hides_in_the_scatter_of_a_device_is_told_by_all_windows(lost: int, scatter: float) -> None:
    """Beside known ones too, and near its place; scatter alone, and a clock that swings, hold none or are not whole."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        position, lag = track(rng, 150, 0.0, scatter)
        labels = (np.arange(150) > 40).astype(np.int64)
        after = int(rng.integers(60, 130))
        plain = lag - np.polyval(np.polyfit(position, lag, 1), position)
        assert hidden(position, plain, np.full(150, 1e4), labels, 1.0) is None, seed
        lag[after:] -= lost
        left = lag - np.polyval(np.polyfit(position, lag, 1), position)
        found = hidden(position, left, np.full(150, 1e4), labels, 1.0)
        assert found is not None, seed
        assert round(found.step) == -lost
        assert found.first <= position[after]
        assert position[after - 1] <= found.last


def test_what_was_lost_at_another_rate_is_whole_samples_of_that_rate() -> None:
    rng = np.random.default_rng(0)
    position, lag = track(rng, 150, 0.0, 0.1)
    lag[75:] -= 2 * 44100 / 48000
    left = lag - np.polyval(np.polyfit(position, lag, 1), position)
    found = hidden(position, left, np.full(150, 1e4), np.zeros(150, np.int64), 44100 / 48000)
    assert found is not None
    assert found.step == pytest.approx(-2 * 44100 / 48000)
