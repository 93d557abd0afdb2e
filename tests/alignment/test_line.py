import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twinlib.alignment.line import fit_line, theil_sen


@given(
    lag=st.floats(-1e5, 1e5),
    drift=st.floats(-300, 300),
    count=st.integers(5, 700),
    seed=st.integers(0, 100),
)
def test_a_fifth_of_outliers_does_not_bend_the_line(lag: float, drift: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 1e7, count))
    y = lag + drift * 1e-6 * x + 1e-3 * rng.standard_normal(count)
    y[: count // 5] += rng.uniform(20, 4000, count // 5)
    rng.shuffle(both := np.stack((x, y), axis=1))
    fit = fit_line(both[:, 0], both[:, 1], np.ones(count))
    ends = [abs(fit.line.at(p) - lag - drift * 1e-6 * p) for p in (0, 1e7)]
    assert max(ends) < 0.05


def test_the_error_of_the_drift_is_that_of_the_scatter() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(500) * 1e5
    found = [fit_line(x, 0.01 * rng.standard_normal(500), np.ones(500)) for _ in range(50)]
    spread = np.std([fit.line.drift_ppm for fit in found])
    assert 0.6 < np.mean([fit.drift_error_ppm for fit in found]) / spread < 1.6


def test_one_place_has_no_slope() -> None:
    assert theil_sen(np.array([5.0, 5.0]), np.array([1.0, 3.0])).drift_ppm == 0.0
