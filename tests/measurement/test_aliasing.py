"""Aliasing of curves whose harmonics are known."""

import numpy as np
import pytest

from twinlib.measurement.aliasing import ALIASING_HERTZ, ALIASING_LEVELS, measure_aliasing

RATE = 44100


def cubic(x: np.ndarray) -> np.ndarray:
    return x - 0.2 * x**3


@pytest.mark.parametrize("rate", [44100, 96000])
def test_the_folded_third_harmonic_of_a_cubic(rate: int) -> None:
    found = measure_aliasing(cubic, rate)
    assert len(found) == len(ALIASING_HERTZ) * len(ALIASING_LEVELS)
    for sine in found:
        amplitude = 10 ** (sine["level_dbfs"] / 20)
        third, first = 0.05 * amplitude**3, amplitude - 0.15 * amplitude**3
        folds = 3 * sine["hz"] > rate / 2
        expected = 20 * np.log10(third / first) if folds else -140.0
        assert sine["alias_db"] == pytest.approx(expected, abs=0.01) if folds else sine["alias_db"] < expected


def test_sines_beyond_the_band_are_left_out() -> None:
    assert {round(sine["hz"], -3) for sine in measure_aliasing(cubic, 8000)} == {1000, 2000, 3000}


def test_a_linear_filter_has_no_aliases_whatever_its_memory() -> None:
    kernel = np.exp(-np.arange(2000) / 400)
    found = measure_aliasing(lambda dry: np.convolve(dry, kernel)[: len(dry)], RATE)
    assert max(sine["alias_db"] for sine in found) < -100
