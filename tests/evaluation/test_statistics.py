import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from tests.evaluation.factories import RATE, cuts, late, music
from twinlib.evaluation.statistics import TransferHistogram, WelchSpectrum


def test_spectrum_equals_welch():
    samples = music(20000)
    spectrum = WelchSpectrum(1024, RATE)
    spectrum.add(samples)
    frequencies, expected = signal.welch(samples, RATE, "hann", 1024, 512, detrend=False)
    assert spectrum.frequencies == pytest.approx(frequencies)
    # SciPy does not double the first and the last bin of a one-sided density.
    assert spectrum.density()[1:-1] == pytest.approx(expected[1:-1], rel=1e-4)


@given(points=st.lists(st.integers(0, 9000), max_size=5))
@settings(max_examples=10, deadline=None)
def test_spectrum_is_independent_of_block_size(points):
    samples = music(9000)
    whole, parts = WelchSpectrum(512, RATE), WelchSpectrum(512, RATE)
    whole.add(samples)
    for begin, end in cuts(9000, points):
        parts.add(samples[begin:end])
    assert parts.density() == pytest.approx(whole.density(), rel=1e-5)


def test_spectrum_frames_do_not_cross_spans():
    spectrum = WelchSpectrum(512, RATE)
    spectrum.add(music(400))
    spectrum.start()
    spectrum.add(music(400))
    assert not spectrum.density().any()


def test_transfer_of_a_memoryless_device_is_its_curve():
    dry = np.random.default_rng(0).uniform(-0.8, 0.8, 400_000).astype(np.float32)
    wet = np.tanh(2 * dry)
    transfer = TransferHistogram(0.8, float(np.max(np.abs(wet))))
    transfer.add(dry, wet)
    found = transfer.quantiles()
    assert len(found.level) == 256
    assert found.middle == pytest.approx(np.tanh(2 * found.level), abs=0.02)
    assert np.max(found.high - found.low) < 0.05
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()


def test_transfer_of_a_device_with_memory_spreads():
    dry = music(100_000)
    transfer = TransferHistogram(float(np.max(np.abs(dry))), float(np.max(np.abs(dry))))
    transfer.add(dry, late(dry, 2))
    found = transfer.quantiles()
    assert np.mean(found.high - found.low) > 0.05


def test_transfer_omits_rare_levels():
    transfer = TransferHistogram(1.0, 1.0)
    transfer.add(np.full(100, 0.1, np.float32), np.full(100, 0.2, np.float32))
    transfer.add(np.full(99, 0.9, np.float32), np.full(99, 0.9, np.float32))
    found = transfer.quantiles()
    assert len(found.level) == 1
    assert found.level[0] == pytest.approx(0.1, abs=0.01)
    assert found.middle[0] == pytest.approx(0.2, abs=0.01)


def test_transfer_of_silence_and_clipping():
    silence = TransferHistogram(0.0, 0.0)
    silence.add(np.zeros(1000, np.float32), np.zeros(1000, np.float32))
    assert silence.quantiles().middle == pytest.approx([0.0], abs=0.01)
    overs = TransferHistogram(0.5, 0.5)
    overs.add(np.full(200, 2.0, np.float32), np.full(200, -9.0, np.float32))
    assert overs.quantiles().middle[0] == pytest.approx(-0.625, abs=0.01)
