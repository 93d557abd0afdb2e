"""Robust statistics."""

import numpy as np
import pytest

from twinlib.estimation.robust import biweight, mad_sigma


@pytest.mark.parametrize("sigma", [0.01, 3.0])
def test_a_tenth_of_outliers_hardly_changes_the_scale(sigma: float) -> None:
    values = sigma * np.random.default_rng(0).standard_normal(2000)
    values[::10] += 1e3 * sigma
    assert mad_sigma(values) == pytest.approx(sigma, rel=0.2)


def test_outliers_have_no_weight() -> None:
    values = np.array([0.0, 1.0, -1.0, 0.5, -0.5, 50.0])
    weights = biweight(values)
    assert weights[0] == 1.0
    assert weights[-1] == pytest.approx(1e-6)
    assert (weights[:5] > 0.8).all()
