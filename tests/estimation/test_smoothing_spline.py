"""Splines through lag tracks, and their standard errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alignment.conftest import RATE, slow_clock, swings
from twinlib.estimation.smoothing_spline import fit_smoothing_spline
from twinlib.resampling.time_map import Curve


@settings(max_examples=10)
@given(
    seconds=st.floats(60, 400),
    period=st.floats(20, 120),
    swing=st.floats(0.1, 2.0),
    scatter=st.floats(0.001, 0.02),
    seed=st.integers(0, 1000),
)
def test_a_curve_follows_a_slow_clock(seconds: float, period: float, swing: float, scatter: float, seed: int) -> None:
    """With 10 % outliers."""
    rng = np.random.default_rng(seed)
    position, true = slow_clock(rng, seconds, period, swing)
    lag = true + scatter * rng.standard_normal(len(position))
    mistaken = rng.choice(len(position), len(position) // 10, replace=False)
    lag[mistaken] += rng.uniform(-0.5, 0.5, len(mistaken))
    found = fit_smoothing_spline(position, lag, np.ones(len(position)), np.zeros(len(position), np.int64))
    assert found is not None
    assert np.std(Curve(*found.knots)(position) - true) < 0.02


@pytest.mark.parametrize("count", [4, 16, 60, 240])
def test_scatter_gets_no_curve(count: int) -> None:
    """At most one of thirty tracks gets a curve, for any pieces."""
    rng = np.random.default_rng(count)
    position = np.cumsum(rng.uniform(0.5, 1.5, count)) * RATE
    curves = 0
    for number in range(30):
        labels = np.arange(count) * (1 + number % 3) // count
        curves += fit_smoothing_spline(position, 0.05 * rng.standard_normal(count), np.ones(count), labels) is not None
    assert curves <= 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("hertz", [0.1, 0.3, 1.0, 2.5])
def test_a_curve_continues_across_imprecise_and_missing_windows(seed: int, hertz: float) -> None:
    """A minute of precise windows with a pause and spans with a hundred times the error.

    The error is below 0.02 samples everywhere, consistent with the standard errors.
    """
    rng = np.random.default_rng(seed)
    position = np.arange(0.0, 60.0, 0.047) * RATE
    true = swings(rng, position, hertz, 2.0)
    error = np.full(len(position), 0.003)
    for first in rng.integers(0, len(position) - 30, 6).tolist():
        error[first : first + 25] = 0.3
    lag = true + error * rng.standard_normal(len(position))
    kept = np.ones(len(position), bool)
    kept[500:520] = False
    found = fit_smoothing_spline(position[kept], lag[kept], error[kept] ** -2, np.zeros(int(kept.sum()), np.int64))
    assert found is not None
    off = Curve(*found.knots)(position) - true
    assert np.std(off) < 0.02
    assert np.std(off) < 3.0 * np.sqrt(np.mean(np.interp(position, found.knots[0], found.errors) ** 2))


@pytest.mark.parametrize("seed", range(4))
def test_an_irregular_curve_is_followed_and_its_gap_has_large_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    position = np.arange(0.0, 60.0, 0.093) * RATE
    true = sum(swings(rng, position, hertz, 0.2) for hertz in rng.uniform(0.02, 0.3, 25))
    kept = (position < 30.0 * RATE) | (position > 32.5 * RATE)
    lag = true + 0.003 * rng.standard_normal(len(position))
    found = fit_smoothing_spline(
        position[kept], lag[kept], np.full(int(kept.sum()), 0.003**-2), np.zeros(int(kept.sum()), np.int64)
    )
    assert found is not None
    off, errors = Curve(*found.knots)(position) - true, np.interp(position, found.knots[0], found.errors)
    assert np.std(off[kept]) < 0.02
    assert np.median(errors[kept]) < 0.005
    assert errors[~kept].max() > 4.0 * np.median(errors[kept])
