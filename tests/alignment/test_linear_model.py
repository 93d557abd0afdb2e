"""What a device's filter makes of the dry signal, slowly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.linear_model import (
    AFTER,
    BEFORE,
    CELL,
    EARLY,
    LATE,
    MARGIN,
    PACE,
    at_whole_lags,
    middles,
    predicted_by,
    slow,
)
from twinlib.alignment.time_map import TimeMap

from .conftest import RATE, Array, channel, filtered, noise, programme, rush, warped

DRY = rush(6.0, seed=4)
STILL = TimeMap.straight(0.0, 0.0, 0, len(DRY))


def answer(wet: Array, start: int, stop: int, polarity: int = 1, dry: Array = DRY) -> tuple[Array, Array]:
    """What is predicted over [start, stop), and what came, both slow."""
    prediction = predicted_by(channel(dry), channel(wet), STILL, 0, len(dry), polarity)
    predicted, _ = prediction.of(channel(dry).read(start - BEFORE, stop + AFTER))
    return predicted, polarity * slow(channel(wet).read(start - MARGIN, stop + MARGIN))


def error(predicted: Array, came: Array) -> float:
    return float(np.mean((predicted - came) ** 2) / np.mean(came**2))


@pytest.mark.parametrize("polarity", [1, -1])
def test_a_filter_is_predicted_all_of_it(polarity: int) -> None:
    for start in (0, RATE + 12, 4 * RATE):
        assert error(*answer(polarity * filtered(DRY), start, start + RATE, polarity)) < 0.02


def test_a_burst_of_noise_spoils_no_prediction() -> None:
    """However loud it is, and however soft the passage that it falls into."""
    wet = filtered(DRY)
    wet[RATE : RATE + 8000] += noise(8000, 0)
    assert error(*answer(wet, 3 * RATE, 4 * RATE)) < 0.02


def test_chance_makes_up_no_answer() -> None:
    """After a loud attack silence is predicted, although the noise of the recording hid the response."""
    dry = programme(6.0, seed=1)
    dry[: RATE // 2] = 0.0
    dry[RATE // 4] = 0.9
    wet = dry + noise(len(dry), -45)
    predicted, _ = answer(wet, 0, RATE // 2, dry=dry)
    # An impulse 4.4 kHz wide of its amplitude, and nothing 3 ms from it.
    attack = RATE // 4 // PACE
    away = np.abs(np.arange(len(predicted)) - attack) > 32
    away[-EARLY:] = False
    assert np.abs(predicted[away]).max() < 0.02 * np.abs(predicted).max()


def test_silence_is_predicted_of_silence() -> None:
    for dry, wet in ((np.zeros(len(DRY)), filtered(DRY)), (DRY, np.zeros(len(DRY)))):
        prediction = predicted_by(channel(dry), channel(wet), STILL, 0, len(dry), 1)
        predicted, change = prediction.of(channel(dry).read(-BEFORE, RATE + AFTER))
        assert not predicted.any()
        assert not change.any()


@given(start=st.integers(-500, len(DRY)), cells=st.integers(1, 40))
@settings(max_examples=20)
def test_there_is_a_slow_sample_for_every_fourth(start: int, cells: int) -> None:
    """The same whatever stretch they are part of."""
    stop = start + cells * CELL
    samples = slow(channel(DRY).read(start - MARGIN, stop + MARGIN))
    assert len(samples) == (stop - start) // PACE
    more = slow(channel(DRY).read(start - MARGIN - 64, stop + MARGIN + 128))
    assert np.array_equal(more[16:-32], samples)
    prediction = predicted_by(channel(DRY), channel(DRY), STILL, 0, len(DRY), 1)
    assert len(prediction.taps) == EARLY + LATE
    assert [len(part) for part in prediction.of(channel(DRY).read(start - BEFORE, stop + AFTER))] == [len(samples)] * 2


@given(lag=st.floats(-300, 300), drift=st.floats(-300, 300), start=st.integers(700, 3 * RATE))
@settings(max_examples=20)
def test_whole_lags_are_half_a_sample_off_at_most(lag: float, drift: float, start: int) -> None:
    """Read at the nearest sample, cell by cell, with a margin that belongs to the first and the last of them."""
    # So that no sample is too loud to be sound.
    ramp = np.arange(len(DRY), dtype=float) / 512.0
    timemap = TimeMap.straight(lag, drift, 0, len(DRY))
    stop, margin = start + 20 * CELL, 20
    read = 512.0 * at_whole_lags(channel(ramp), timemap, start, stop, margin)
    off = read - (
        np.arange(start - margin, stop + margin) + timemap.lags(np.arange(start - margin, stop + margin) * 1.0)
    )
    assert np.abs(off).max() <= 0.5 + 300e-6 * CELL
    inner = read[margin:-margin].reshape(-1, CELL)
    assert np.array_equal(inner - inner[:, :1], np.broadcast_to(np.arange(CELL), inner.shape))
    assert np.array_equal(middles(start, stop), start + CELL * (np.arange(20) + 0.5))


def test_the_change_is_that_of_a_sample() -> None:
    """A wet signal half a sample late is the prediction less half its change."""
    prediction = predicted_by(channel(DRY), channel(DRY), STILL, 0, len(DRY), 1)
    predicted, change = prediction.of(channel(DRY).read(RATE - BEFORE, 2 * RATE + AFTER))
    late = slow(channel(warped(DRY, 0.5, 0.0)).read(RATE - MARGIN, 2 * RATE + MARGIN))
    assert error(predicted - 0.5 * change, late) < 0.1 * error(predicted, late)
