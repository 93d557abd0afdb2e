import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.material import cuts, music
from twinlib.evaluation.loudness import Loudness


def loudness(samples, rate, pieces=None):
    meter = Loudness(rate)
    for begin, end in pieces or [(0, len(samples))]:
        meter.add(samples[begin:end])
    return meter.lufs()


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_is_that_of_pyloudnorm(rate):
    samples = music(3 * rate, 1, 0.3)
    # A quiet part that the relative gate leaves out.
    samples[rate : 2 * rate] *= np.float32(0.02)
    assert loudness(samples, rate) == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(samples), abs=1e-3)


def test_the_sine_of_the_standard():
    # ITU-R BS.1770-4: a sine of 0 dBFS at 997 Hz in one channel reads -3.01 LKFS; EBU Tech 3341 allows 0.1 LU.
    sine = np.sin(2 * np.pi * 997 * np.arange(4 * 48000) / 48000).astype(np.float32)
    assert loudness(sine, 48000) == pytest.approx(-3.01, abs=0.1)


@given(points=st.lists(st.integers(0, 16000), max_size=6))
@settings(max_examples=20, deadline=None)
def test_any_blocks_give_the_same(points):
    samples = music(16000)
    assert loudness(samples, 8000, cuts(16000, points)) == pytest.approx(loudness(samples, 8000), abs=1e-9)


def test_too_short_or_silent_has_none():
    assert loudness(music(3199), 8000) is None
    assert loudness(music(3200), 8000) is not None
    assert loudness(np.zeros(16000, np.float32), 8000) is None
    assert Loudness(8000).lufs() is None
