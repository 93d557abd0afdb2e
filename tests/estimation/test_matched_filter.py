"""Detection of clicks."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.alignment.conftest import CLICK, RATE, channel, click, device, noise, programme, reel, warped
from twinlib.estimation.matched_filter import (
    MIN_CORRELATION,
    SIZE,
    ClickPeak,
    click_waveform,
    find_clicks,
    match_clicks,
)


@settings(max_examples=10)
@example(offset=0, level=0.1, sign=1, rate=96_000)
@given(
    offset=st.integers(-1200, 1200),
    level=st.floats(0.01, 1.0),
    sign=st.sampled_from([1, -1]),
    rate=st.sampled_from([RATE, 48_000, 96_000]),
)
def test_a_click_is_found_at_block_borders(offset: int, level: float, sign: int, rate: int) -> None:
    """To a fraction of a sample, at any sample rate of the reel."""
    wet = noise(2 * SIZE, -60)
    place = SIZE - 3 * CLICK + offset
    wet[place : place + CLICK] += sign * level * click()
    found = find_clicks(channel(wet, rate, rate), click().astype(np.float32))
    assert found[0].position == pytest.approx(place, abs=0.25 * rate / RATE)
    assert np.sign(found[0].correlation) == sign


def test_a_click_at_the_ends_of_the_file_is_found() -> None:
    """Even if the recording ends within the click."""
    for wet, place in (
        (np.concatenate((click(), noise(RATE, -60))), 0),
        (np.concatenate((noise(RATE, -60), click())), RATE),
        (np.concatenate((noise(RATE, -60), click()[: CLICK // 2])), RATE),
    ):
        found = find_clicks(channel(wet), click().astype(np.float32))
        assert found[0].position == pytest.approx(place, abs=1.0)
        assert found[0].correlation > MIN_CORRELATION


def test_loud_music_does_not_mask_the_clicks() -> None:
    dry, clicks = reel(8.0)
    music = 1.8 * programme(4.0, seed=8)
    wet = np.concatenate((music, device(0.05 * warped(dry, 0.5, 0.0), 3.0)))
    shape = click_waveform(channel(dry), clicks[0])
    assert abs(len(shape) - CLICK) < 3
    found = find_clicks(channel(wet), shape)
    best = match_clicks(clicks, found, 50.0, 2000.0)
    assert best is not None
    assert set(best.positions) == set(clicks)
    assert best.line.lag == pytest.approx(len(music) + 0.5, abs=0.3)


def test_music_and_silence_have_no_clicks() -> None:
    for wet in (programme(8.0, seed=4), noise(4 * RATE, -20), np.zeros(RATE)):
        found = find_clicks(channel(wet), click().astype(np.float32))
        assert all(abs(one.correlation) < MIN_CORRELATION for one in found)
    assert not len(click_waveform(channel(np.zeros(RATE)), 0))


def test_the_spacing_of_the_clicks_must_match_the_reel() -> None:
    clicks = (1000, 500_000)
    pair = [ClickPeak(2000.0, -0.9), ClickPeak(501_010.0, -0.8)]
    best = match_clicks(clicks, [ClickPeak(300_000.0, 0.7), *pair], 50.0, 2000.0)
    assert best is not None
    assert (best.polarity, set(best.positions)) == (-1, set(clicks))
    assert best.line.drift_ppm == pytest.approx(10 / 499_000 * 1e6, rel=1e-6)
    alone = match_clicks(clicks, [pair[0], ClickPeak(401_000.0, -0.9)], 50.0, 2000.0)
    assert alone is not None
    assert set(alone.positions) == {1000}
    opposite = match_clicks(clicks, [pair[0], ClickPeak(501_000.0, 0.8)], 50.0, 2000.0)
    assert opposite is not None
    assert len(opposite.positions) == 1
    assert match_clicks(clicks, [ClickPeak(2000.0, 0.2)], 50.0, 2000.0) is None
