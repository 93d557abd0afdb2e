import numpy as np
import pytest

from tests.excitation.factories import small
from twinlib.excitation.layout import lay_out_reels
from twinlib.excitation.sync_click import make_click


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000, 192000])
def test_click_is_loud_and_short_and_fades_to_silence(rate: int) -> None:
    made = make_click(rate)
    assert made.dtype == np.float32
    assert 20 * np.log10(np.abs(made).max()) == pytest.approx(-1.0, abs=1e-3)
    assert len(made) == pytest.approx(0.02 * rate, abs=1)
    assert max(abs(made[0]), abs(made[-1])) < 1e-3
    assert abs(float(made.mean())) < 2e-2
    assert lay_out_reels("a", small(sample_rate=rate, reel_minutes=1))[0].click_frames == len(made)


def test_click_is_broadband() -> None:
    spectrum = np.abs(np.fft.rfft(make_click(44100), 8192)) ** 2
    frequency = np.fft.rfftfreq(8192, 1 / 44100)
    high = spectrum.max()
    assert 10 * np.log10(spectrum[(frequency > 300) & (frequency < 17000)].min() / high) > -12
    assert 10 * np.log10(spectrum[(frequency > 1000) & (frequency < 16000)].min() / high) > -4


def test_a_matched_filter_locates_the_click() -> None:
    made = make_click(44100).astype(np.float64)
    correlation = np.abs(np.correlate(made, made, "full"))
    centre = len(made) - 1
    away = np.delete(correlation, np.arange(centre - 8, centre + 9))
    assert 20 * np.log10(away.max() / correlation[centre]) < -20
