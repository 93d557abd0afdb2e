"""Identification of the linear model, and its predictions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alignment.conftest import RATE, Array, channel, filtered, noise, programme, rush, warped
from twinlib.estimation.linear_model import (
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    DECIMATION,
    FILTER_MARGIN,
    FRAME,
    POST_TAPS,
    PRE_TAPS,
    decimate,
    frame_centres,
    identify_fir,
    read_at_integer_lags,
)
from twinlib.resampling.time_map import TimeMap

DRY = rush(6.0, seed=4)
STILL = TimeMap.straight(0.0, 0.0, 0, len(DRY))


def answer(wet: Array, start: int, stop: int, polarity: int = 1, dry: Array = DRY) -> tuple[Array, Array]:
    """The prediction over [start, stop) and the wet signal, both decimated."""
    model = identify_fir(channel(dry), channel(wet), STILL, 0, len(dry), polarity)
    predicted, _ = model.predict(channel(dry).read(start - CONTEXT_BEFORE, stop + CONTEXT_AFTER))
    return predicted, polarity * decimate(channel(wet).read(start - FILTER_MARGIN, stop + FILTER_MARGIN))


def error(predicted: Array, recorded: Array) -> float:
    return float(np.mean((predicted - recorded) ** 2) / np.mean(recorded**2))


@pytest.mark.parametrize("polarity", [1, -1])
def test_a_linear_filter_is_predicted(polarity: int) -> None:
    for start in (0, RATE + 12, 4 * RATE):
        assert error(*answer(polarity * filtered(DRY), start, start + RATE, polarity)) < 0.02


def test_a_burst_of_noise_does_not_affect_the_model() -> None:
    """Even a loud burst in a soft passage."""
    wet = filtered(DRY)
    wet[RATE : RATE + 8000] += noise(8000, 0)
    assert error(*answer(wet, 3 * RATE, 4 * RATE)) < 0.02


def test_noise_in_the_taps_is_suppressed() -> None:
    """The prediction is silent after a loud attack, although noise masks the end of the response."""
    dry = programme(6.0, seed=1)
    dry[: RATE // 2] = 0.0
    dry[RATE // 4] = 0.9
    wet = dry + noise(len(dry), -45)
    predicted, _ = answer(wet, 0, RATE // 2, dry=dry)
    # The response is an impulse limited to 4.4 kHz, and zero 3 ms from it.
    attack = RATE // 4 // DECIMATION
    away = np.abs(np.arange(len(predicted)) - attack) > 32
    away[-PRE_TAPS:] = False
    assert np.abs(predicted[away]).max() < 0.02 * np.abs(predicted).max()


def test_silence_predicts_silence() -> None:
    for dry, wet in ((np.zeros(len(DRY)), filtered(DRY)), (DRY, np.zeros(len(DRY)))):
        model = identify_fir(channel(dry), channel(wet), STILL, 0, len(dry), 1)
        predicted, slope = model.predict(channel(dry).read(-CONTEXT_BEFORE, RATE + CONTEXT_AFTER))
        assert not predicted.any()
        assert not slope.any()


@given(start=st.integers(-500, len(DRY)), frames=st.integers(1, 40))
@settings(max_examples=20)
def test_decimation_keeps_every_fourth_sample(start: int, frames: int) -> None:
    """The result is independent of the range read."""
    stop = start + frames * FRAME
    samples = decimate(channel(DRY).read(start - FILTER_MARGIN, stop + FILTER_MARGIN))
    assert len(samples) == (stop - start) // DECIMATION
    more = decimate(channel(DRY).read(start - FILTER_MARGIN - 64, stop + FILTER_MARGIN + 128))
    assert np.array_equal(more[16:-32], samples)
    model = identify_fir(channel(DRY), channel(DRY), STILL, 0, len(DRY), 1)
    assert len(model.taps) == PRE_TAPS + POST_TAPS
    assert [len(part) for part in model.predict(channel(DRY).read(start - CONTEXT_BEFORE, stop + CONTEXT_AFTER))] == [
        len(samples)
    ] * 2


@given(lag=st.floats(-300, 300), drift=st.floats(-300, 300), start=st.integers(700, 3 * RATE))
@settings(max_examples=20)
def test_integer_lags_are_off_by_at_most_half_a_sample(lag: float, drift: float, start: int) -> None:
    """The lag is constant within a frame; the margins belong to the first and the last frame."""
    # This level is below the limit for non-finite samples.
    ramp = np.arange(len(DRY), dtype=float) / 512.0
    timemap = TimeMap.straight(lag, drift, 0, len(DRY))
    stop, margin = start + 20 * FRAME, 20
    read = 512.0 * read_at_integer_lags(channel(ramp), timemap, start, stop, margin)
    off = read - (
        np.arange(start - margin, stop + margin) + timemap.lags(np.arange(start - margin, stop + margin) * 1.0)
    )
    assert np.abs(off).max() <= 0.5 + 300e-6 * FRAME
    inner = read[margin:-margin].reshape(-1, FRAME)
    assert np.array_equal(inner - inner[:, :1], np.broadcast_to(np.arange(FRAME), inner.shape))
    assert np.array_equal(frame_centres(start, stop), start + FRAME * (np.arange(20) + 0.5))


def test_the_slope_is_per_sample() -> None:
    """A wet signal half a sample late is the prediction minus half its slope."""
    model = identify_fir(channel(DRY), channel(DRY), STILL, 0, len(DRY), 1)
    predicted, slope = model.predict(channel(DRY).read(RATE - CONTEXT_BEFORE, 2 * RATE + CONTEXT_AFTER))
    late = decimate(channel(warped(DRY, 0.5, 0.0)).read(RATE - FILTER_MARGIN, 2 * RATE + FILTER_MARGIN))
    assert error(predicted - 0.5 * slope, late) < 0.1 * error(predicted, late)
