import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.factories import cuts, music
from twinlib.evaluation.loudness import LoudnessMeter, TruePeakMeter, max_loudness_difference


def loudness(samples, rate, pieces=None):
    meter = LoudnessMeter(rate)
    for begin, end in pieces or [(0, len(samples))]:
        meter.add(samples[begin:end])
    return meter.lufs()


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_loudness_equals_pyloudnorm(rate):
    samples = music(3 * rate, 1, 0.3)
    # A quiet part below the relative gate.
    samples[rate : 2 * rate] *= np.float32(0.02)
    assert loudness(samples, rate) == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(samples), abs=1e-3)


def test_loudness_of_the_reference_sine():
    # ITU-R BS.1770-4: a sine of 0 dBFS at 997 Hz in one channel reads -3.01 LKFS; EBU Tech 3341 allows 0.1 LU.
    sine = np.sin(2 * np.pi * 997 * np.arange(4 * 48000) / 48000).astype(np.float32)
    assert loudness(sine, 48000) == pytest.approx(-3.01, abs=0.1)


@given(points=st.lists(st.integers(0, 16000), max_size=6))
@settings(max_examples=20, deadline=None)
def test_result_is_independent_of_block_size(points):
    samples = music(16000)
    assert loudness(samples, 8000, cuts(16000, points)) == pytest.approx(loudness(samples, 8000), abs=1e-9)


def test_short_or_silent_audio_has_no_loudness():
    assert loudness(music(3199), 8000) is None
    assert loudness(music(3200), 8000) is not None
    assert loudness(np.zeros(16000, np.float32), 8000) is None
    assert LoudnessMeter(8000).lufs() is None


def meters(*programmes, rate=8000):
    found = []
    for samples in programmes:
        meter = LoudnessMeter(rate)
        meter.add(samples)
        found.append(meter)
    return found


def test_short_term_loudness_of_a_sine_equals_its_loudness():
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000).astype(np.float32)
    found = meters(0.1 * sine, rate=48000)[0].short_term()
    # Windows of 3 s in 5 s, ten per second.
    assert len(found) == 21
    assert found == pytest.approx(np.full(21, -23.01), abs=0.1)


def test_largest_difference_and_its_sign():
    device = music(80000)
    gains = np.ones(80000, np.float32)
    # One window contains exactly this part.
    gains[32000:56000] = 0.5
    twin = gains * device
    assert max_loudness_difference(*meters(device, twin)) == pytest.approx(-6.02, abs=0.05)
    assert max_loudness_difference(*meters(twin, device)) == pytest.approx(6.02, abs=0.05)


def test_difference_to_silence_is_finite():
    device, silence = music(32000), np.zeros(32000, np.float32)
    level = float(np.max(meters(device)[0].short_term()))
    assert max_loudness_difference(*meters(device, silence)) == pytest.approx(-70 - level)
    assert max_loudness_difference(*meters(silence, silence)) is None
    assert max_loudness_difference(*meters(device[:23999], device[:23999])) is None


def measure_peaks(samples, pieces=None, starts=()):
    meter = TruePeakMeter()
    for begin, end in pieces or [(0, len(samples))]:
        if begin in starts:
            meter.start()
        meter.add(samples[begin:end])
    return meter.sample_peak, meter.true_peak


def test_true_peak_between_samples():
    # A quarter of the sample rate at 45 degrees: every sample is 3 dB below the peak.
    sine = np.sin(np.pi / 2 * np.arange(1000) + np.pi / 4).astype(np.float32)
    samples, true = measure_peaks(sine)
    assert samples == pytest.approx(np.sqrt(0.5))
    assert true == pytest.approx(1.0, rel=1e-3)


@given(frequency=st.floats(0.001, 0.4), phase=st.floats(0, 6.28))
@settings(max_examples=20, deadline=None)
def test_true_peak_of_a_sine_is_its_amplitude(frequency, phase):
    sine = 0.7 * np.sin(2 * np.pi * frequency * np.arange(4000) + phase).astype(np.float32)
    # ITU-R BS.1770-4 allows 0.55 dB at 0.4 of the rate; the bound for four points per sample.
    miss = np.cos(np.pi * frequency / 4)
    assert 0.7 * miss * 0.995 <= measure_peaks(sine)[1] <= 0.7 * 1.005


@given(points=st.lists(st.integers(0, 3000), max_size=6))
@settings(max_examples=15, deadline=None)
def test_true_peak_is_independent_of_block_size(points):
    samples = np.random.default_rng(3).uniform(-1, 1, 3000).astype(np.float32)
    assert measure_peaks(samples, cuts(3000, points)) == pytest.approx(measure_peaks(samples), rel=1e-6)
    assert measure_peaks(samples)[1] > measure_peaks(samples)[0]


def test_true_peak_ignores_span_borders():
    samples = np.concatenate([np.full(500, 0.9), np.full(500, -0.9)]).astype(np.float32)
    assert measure_peaks(samples, [(0, 500), (500, 1000)], starts=(0, 500))[1] == pytest.approx(0.9, rel=1e-5)
    assert measure_peaks(samples)[1] > 0.95
