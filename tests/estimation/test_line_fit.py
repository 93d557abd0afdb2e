import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.estimation.line_fit import fit_line, fit_pieces, theil_sen, with_integer_steps


@given(
    lag=st.floats(-1e5, 1e5),
    drift=st.floats(-300, 300),
    count=st.integers(5, 700),
    seed=st.integers(0, 100),
)
def test_a_fifth_of_outliers_does_not_bias_the_line(lag: float, drift: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 1e7, count))
    y = lag + drift * 1e-6 * x + 1e-3 * rng.standard_normal(count)
    y[: count // 5] += rng.uniform(20, 4000, count // 5)
    rng.shuffle(both := np.stack((x, y), axis=1))
    fit = fit_line(both[:, 0], both[:, 1], np.ones(count))
    ends = [abs(fit.line.at(p) - lag - drift * 1e-6 * p) for p in (0, 1e7)]
    assert max(ends) < 0.05


def test_the_standard_error_of_the_drift_matches_the_scatter() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(500) * 1e5
    found = [fit_line(x, 0.01 * rng.standard_normal(500), np.ones(500)) for _ in range(50)]
    spread = np.std([fit.line.drift_ppm for fit in found])
    assert 0.6 < np.mean([fit.drift_error_ppm for fit in found]) / spread < 1.6


def test_a_single_position_has_no_slope() -> None:
    assert theil_sen(np.array([5.0, 5.0]), np.array([1.0, 3.0])).drift_ppm == 0.0


@settings(max_examples=50)
@given(
    drift=st.floats(-300, 300),
    lost=st.lists(st.integers(-5000, 5000), min_size=1, max_size=4),
    scatter=st.floats(1e-4, 0.05),
    seed=st.integers(0, 1000),
)
def test_pieces_share_their_drift_and_have_separate_constants(
    drift: float, lost: list[int], scatter: float, seed: int
) -> None:
    """Within five standard errors, with 10 % outliers."""
    rng = np.random.default_rng(seed)
    count = len(lost) + 1
    x = np.sort(rng.uniform(0, 1e7, 100 * count))
    labels = np.arange(len(x)) * count // len(x)
    constants = np.cumsum([1000.0, *(float(-one) for one in lost)])
    y = constants[labels] + drift * 1e-6 * x + scatter * rng.standard_normal(len(x))
    mistaken = rng.choice(len(x), len(x) // 10, replace=False)
    y[mistaken] += rng.uniform(20, 4000, len(mistaken))
    fit = fit_pieces(x, y, np.ones(len(x)), labels, count)
    assert abs(fit.drift_ppm - drift) < 5 * fit.drift_error_ppm
    assert np.all(np.abs(fit.lags - constants) < 5 * fit.lag_errors)
    assert np.array_equal(fit.at(x, labels), fit.lags[labels] + fit.drift_ppm * 1e-6 * x)


@pytest.mark.parametrize(
    ("steps", "lags"),
    [(None, [7.0, 7.0, -193.0, -193.0, -193.0]), ([3.0, -30.0, 5.0, 2.0], [4.0, 7.0, -193.0, -188.0, -186.0])],
)
def test_a_piece_without_windows_continues_its_neighbour(steps: list[float] | None, lags: list[float]) -> None:
    x = np.arange(100) * 1e5
    labels = np.where(x < 5e6, 1, 2)
    fit = fit_pieces(x, np.where(x < 5e6, 7.0, -193.0) + 2e-6 * x, np.ones(100), labels, 5, steps)
    assert np.allclose(fit.lags, lags, atol=1e-6)
    assert fit.lag_errors[[1, 2]].max() < 1.0
    assert fit.lag_errors[[0, 3, 4]].min() > 1e6


@settings(max_examples=30)
@given(
    lost=st.lists(st.integers(-5000, 5000), min_size=1, max_size=3),
    scatter=st.floats(1e-3, 0.15),
    unit=st.sampled_from([1.0, 44100 / 48000]),
    seed=st.integers(0, 1000),
)
def test_integer_steps_give_a_more_precise_drift(lost: list[int], scatter: float, unit: float, seed: int) -> None:
    """Steps are multiples of a wet sample."""
    rng = np.random.default_rng(seed)
    count = len(lost) + 1
    x = np.sort(rng.uniform(0, 1e7, 60 * count))
    labels = np.arange(len(x)) * count // len(x)
    constants = np.cumsum([1000.3, *(-one * unit for one in lost)])
    y = constants[labels] + 12e-6 * x + scatter * rng.standard_normal(len(x))
    free = fit_pieces(x, y, np.ones(len(x)), labels, count)
    whole = with_integer_steps(free, x, y, np.ones(len(x)), labels, unit, 0.003)
    assert whole is not None
    assert np.diff(whole.lags) == pytest.approx([-one * unit for one in lost], abs=1e-6)
    assert whole.drift_error_ppm < 0.7 * free.drift_error_ppm
    assert abs(whole.drift_ppm - 12.0) < 5 * whole.drift_error_ppm


@pytest.mark.parametrize("part", [0.3, -0.5, 0.1])
def test_fractional_steps_are_not_rounded(part: float) -> None:
    """A player that resamples causes fractional steps; precise windows exclude integer ones."""
    rng = np.random.default_rng(0)
    x = np.arange(120) * 2e4
    labels = np.arange(120) // 60
    y = 700.0 - (64.0 + part) * labels + 0.005 * rng.standard_normal(120)
    free = fit_pieces(x, y, np.ones(120), labels, 2)
    assert with_integer_steps(free, x, y, np.ones(120), labels, 1.0, 0.003) is None
