"""Sine sweeps are recognised as such, and found in what a device made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alignment.conftest import RATE, channel, noise, programme
from tests.alignment.sweep_devices import octave_up, preamp, sweep
from twinlib.estimation import find_sweep_lags, find_sweeps, measure_sweep


@settings(max_examples=4)
@given(
    kind=st.sampled_from(["exponential", "linear"]),
    seconds=st.floats(2.0, 8.0),
    edges=st.sampled_from([(20.0, 20000.0), (80.0, 5000.0), (8000.0, 100.0), (40.0, 1000.0)]),
    level=st.floats(0.05, 1.0),
    silence=st.integers(0, RATE),
)
def test_a_sweep_is_found_with_its_ends_and_frequencies(kind, seconds, edges, level, silence) -> None:
    x = np.concatenate((np.zeros(silence), sweep(kind, seconds, *edges, level), np.zeros(silence)))
    (found,) = find_sweeps(channel(x + noise(len(x), -100)))
    # A linear sweep rises by octaves within its first blocks.
    assert found.start == pytest.approx(silence, abs=0.05 * seconds * RATE)
    assert found.stop == pytest.approx(len(x) - silence, abs=0.05 * seconds * RATE)
    times = (found.position - silence) / RATE / seconds
    ratio = edges[1] / edges[0]
    truth = edges[0] * ratio**times if kind == "exponential" else edges[0] + (edges[1] - edges[0]) * times
    inside = (times > 0.1) & (times < 0.9)
    assert found.hertz[inside] == pytest.approx(truth[inside], rel=0.03)


def test_music_noise_and_tones_are_no_sweeps() -> None:
    t = np.arange(4 * RATE) / RATE
    for x in (programme(4.0), noise(4 * RATE, -20), 0.5 * np.sin(2 * np.pi * 440 * t), np.zeros(RATE)):
        assert find_sweeps(channel(x)) == []


@pytest.mark.parametrize("edges", [(20.0, 20000.0), (12000.0, 50.0)])
def test_harmonics_are_not_mistaken_for_the_sweep(edges) -> None:
    """Even of a rectifier, whose output has no fundamental, if silence shows where the sweep begins."""
    x = np.concatenate((np.zeros(RATE // 2), sweep("exponential", 5.0, *edges), np.zeros(RATE // 2)))
    (found,) = find_sweeps(channel(x))
    for wet in (preamp(x), octave_up(x)):
        late = np.concatenate((np.zeros(3000), wet)) + noise(len(wet) + 3000, -90)
        (lag,) = find_sweep_lags(channel(x), channel(late), found)
        assert lag == pytest.approx(3000, abs=1500)


def test_without_its_ends_the_sweep_of_a_rectifier_has_two_lags() -> None:
    x = sweep("exponential", 5.0, 100.0, 5000.0)
    (found,) = find_sweeps(channel(x))
    lags = find_sweep_lags(channel(x), channel(octave_up(x)[RATE:-RATE]), found)
    octave = np.log(2.0) * len(x) / np.log(50.0)
    assert len(lags) > 1
    assert min(abs(lag + RATE) for lag in lags) < 1500
    assert min(abs(lag + RATE + octave) for lag in lags) < 1500


def test_the_delay_of_a_window_is_that_of_the_device_at_its_frequency() -> None:
    x = sweep("exponential", 5.0, 100.0, 10000.0)
    (found,) = find_sweeps(channel(x))
    wet = np.concatenate((x[: 2 * RATE], x[2 * RATE + 30 :], np.zeros(30)))
    measured = measure_sweep(channel(x), channel(wet), found, 0)
    before, after = (measured.position < 1.8 * RATE), measured.position > 2.2 * RATE
    assert measured.delay[before] == pytest.approx(0.0, abs=0.05)
    assert measured.delay[after] == pytest.approx(-30.0, abs=0.5)
    assert measured.coherence[before | after].min() > 0.99
