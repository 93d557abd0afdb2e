"""Detection of steps in lag tracks."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.signal import lfilter

from tests.alignment.conftest import RATE, Array
from twinlib.estimation.change_points import change_scores, detect_steps

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


@pytest.mark.parametrize("serial", [0.0, 0.9])
@pytest.mark.parametrize("width", [0, 5])
def test_a_change_between_two_models_has_the_highest_score(serial: float, width: int) -> None:
    generator = np.random.default_rng(5)
    count, change = 600, 260
    expected = generator.uniform(0.05, 1.0, count)
    noise = lfilter([np.sqrt(1 - serial**2)], [1.0, -serial], 0.1 * generator.standard_normal(count))
    true_side = np.where(np.arange(count) < change, -1.0, 1.0)
    observed = true_side * expected + noise
    observed[change : change + width] = generator.standard_normal(width)
    known = np.where((np.arange(count) < 150) | (np.arange(count) > 400), true_side, 0.0)
    errors = [observed - side * expected for side in (-1.0, 1.0)]
    scores = change_scores(errors, expected, known, np.ones(count, np.bool_), width)
    assert scores is not None
    assert abs(int(scores.argmax()) - change) <= 1
    assert scores.max() > 100.0
    unchanged = [-expected + noise - side * expected for side in (-1.0, 1.0)]
    still = change_scores(unchanged, expected, np.minimum(known, 0.0), np.ones(count, np.bool_), width)
    assert still is not None
    assert still.max() < 10.0
    assert change_scores(errors, expected, np.zeros(count), np.ones(count, np.bool_), width) is None
