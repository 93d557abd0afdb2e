"""Variance that two subbands share."""

import numpy as np
import pytest

from tests.alignment.conftest import breathing, swings
from twinlib.estimation.variance_components import common_rms


@pytest.mark.parametrize("seed", range(8))
def test_common_subband_variation_is_the_clock(seed: int) -> None:
    rng = np.random.default_rng(seed)
    position, lag, level = breathing(rng, 2e-4)
    clock = swings(rng, position, 0.7, 0.1)
    scatter = 0.01 * rng.standard_normal((2, len(lag)))
    assert common_rms(clock + scatter[0], clock + scatter[1], level) == pytest.approx(0.07, abs=0.01)
    assert common_rms(clock + lag, clock + 0.6 * lag, level) == pytest.approx(0.07, abs=0.01)
    assert common_rms(lag, 0.6 * lag, level) < 0.005
    assert common_rms(clock + scatter[0], scatter[1], level) == 0.0
    assert common_rms(lag, 0.7 * lag, 0.0 * level) == 0.0
    assert common_rms(clock[:4], clock[:4], level[:4]) == 0.0
