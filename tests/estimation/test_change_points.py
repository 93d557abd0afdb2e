"""Detection of steps in lag tracks."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.alignment.conftest import RATE, Array
from twinlib.estimation.change_points import detect_steps

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
