"""Delays of cross-spectra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import rfft

from tests.alignment.conftest import RATE, Array, rush, warped
from twinlib.estimation.delay import band, integer_peaks, phat_weighted, subsample_delay

SIZE = 8192
BINS = band(SIZE, RATE)
DRY = rush(0.5, seed=2)


def cross(wet: Array, at: int = 8000) -> Array:
    """The cross-spectrum of a window of both signals."""
    taper = np.hanning(SIZE)
    return np.asarray(rfft(DRY[at : at + SIZE] * taper)[BINS].conj() * rfft(wet[at : at + SIZE] * taper)[BINS])


@settings(max_examples=15)
@given(lag=st.floats(-200.0, 200.0), sign=st.sampled_from([1, -1]))
def test_a_delay_is_measured_to_a_hundredth_of_a_sample(lag: float, sign: int) -> None:
    spectrum = cross(sign * warped(DRY, lag, 0.0, len(DRY)))
    peak = integer_peaks(phat_weighted(spectrum)[np.newaxis], BINS, SIZE, 1024)[0]
    assert peak.sign == sign
    assert abs(peak.delay - lag) < 1.0
    found = subsample_delay(sign * spectrum, BINS, SIZE, peak.delay)
    # A window that holds other samples at its ends limits the precision.
    assert abs(found.delay - lag) < 0.01 + 1e-3 * abs(lag)


def test_the_weight_is_the_inverse_variance() -> None:
    """Within a factor of three, for noise of a tenth of the signal."""
    rng = np.random.default_rng(0)
    level = 0.1 * float(np.std(DRY[8000 : 8000 + SIZE]))
    found = [subsample_delay(cross(DRY + level * rng.standard_normal(len(DRY))), BINS, SIZE, 0.0) for _ in range(40)]
    variance = float(np.var([each.delay for each in found]))
    assert 1 / 3 < variance * float(np.mean([each.weight for each in found])) < 3.0


@pytest.mark.parametrize("low_hz", [200.0, 1500.0])
def test_the_band_is_limited(low_hz: float) -> None:
    bins = band(SIZE, RATE, 30_000.0, low_hz)
    assert bins.start * RATE / SIZE >= low_hz
    assert (bins.stop - 1) * RATE / SIZE <= 16_000.0
