import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as scipy_signal

from tests.evaluation.factories import RATE, cuts, device, music, near
from twinlib.errors import DatasetError, ModelError
from twinlib.evaluation.metrics import (
    MEL_BANDS,
    MEL_WINDOW,
    POWER_FLOOR,
    RESOLUTIONS,
    ErrorAccumulator,
    Framer,
    hann_window,
    mel_filter_bank,
    round_metric,
)


def measured(wet, predicted, preemphasis=0.85, pieces=None, starts=(0,)):
    errors = ErrorAccumulator(RATE, preemphasis)
    for begin, end in pieces or [(0, len(wet))]:
        if begin in starts:
            errors.start()
        errors.add(wet[begin:end], predicted[begin:end])
    return errors.result()


def test_metrics_match_hand_computed_values():
    wet = np.array([1.0, -1.0, 0.5, 0.0], np.float32)
    predicted = np.array([0.5, -1.0, 1.0, 0.25], np.float32)
    found = measured(wet, predicted, preemphasis=0.5)
    error = [-0.5, 0.0, 0.5, 0.25]
    assert found["esr"] == pytest.approx((0.25 + 0.25 + 0.0625) / 2.25)
    assert found["esr_db"] == pytest.approx(10 * math.log10(found["esr"]))
    pre_error = [error[i] - 0.5 * error[i - 1] for i in (1, 2, 3)]
    pre_wet = [wet[i] - 0.5 * wet[i - 1] for i in (1, 2, 3)]
    assert found["esr_preemphasis"] == pytest.approx(sum(e**2 for e in pre_error) / sum(y**2 for y in pre_wet))
    assert found["mae"] == pytest.approx(1.25 / 4)
    assert found["dc"] == pytest.approx(0.25 / 4)
    assert found["dc_device"] == pytest.approx(0.5 / 4)
    assert found["seconds"] == 4 / RATE
    assert found["mr_stft"] is None
    assert found["lufs_difference_db"] is None
    assert found["lufs_short_term_difference_db"] is None
    assert found["log_mel_db"] is None
    crest = [1.0 / math.sqrt(sum(y**2 for y in signal) / 4) for signal in (wet, predicted)]
    assert found["crest_difference_db"] == pytest.approx(20 * math.log10(crest[1] / crest[0]))


def test_equal_signals_have_no_error():
    wet = music(4 * RATE)
    found = measured(wet, wet)
    assert found["esr"] == found["esr_preemphasis"] == found["mae"] == found["dc"] == 0.0
    assert found["mr_stft"] == found["log_mel_db"] == 0.0
    for name in ("lufs", "lufs_short_term", "true_peak", "crest"):
        assert found[f"{name}_difference_db"] == 0.0
    assert found["esr_db"] == -200.0


@given(gain=st.floats(0.1, 3.0))
@settings(max_examples=12, deadline=None)
def test_gain_error_matches_closed_form(gain):
    wet = music(4 * RATE, level=0.3)
    found = measured(wet, np.float32(gain) * wet)
    assert found["esr"] == pytest.approx((1 - gain) ** 2, rel=1e-4, abs=1e-12)
    assert found["esr_preemphasis"] == pytest.approx((1 - gain) ** 2, rel=1e-4, abs=1e-12)
    level = 20 * math.log10(gain)
    assert found["lufs_difference_db"] == pytest.approx(level, abs=0.1)
    assert found["lufs_short_term_difference_db"] == pytest.approx(level, abs=1e-3)
    assert found["true_peak_difference_db"] == pytest.approx(level, abs=1e-4)
    assert found["crest_difference_db"] == pytest.approx(0.0, abs=1e-4)
    assert found["log_mel_db"] == pytest.approx(abs(level), abs=1e-3)


@given(points=st.lists(st.integers(0, 25000), max_size=6))
@settings(max_examples=12, deadline=None)
def test_result_is_independent_of_block_size(points):
    dry = music(25000)
    wet, predicted = device(dry), (0.8 * dry).astype(np.float32)
    whole, parts = measured(wet, predicted), measured(wet, predicted, pieces=cuts(25000, points))
    assert None not in whole.values()
    for name, value in whole.items():
        assert parts[name] == near(value, 1e-6), name


def test_errors_are_pooled_not_averaged():
    loud, quiet = music(RATE, 1, 0.5), music(RATE, 2, 0.001)
    wet = np.concatenate([loud, quiet])
    # Correct in the loud half, silent in the quiet half: a mean of ratios would be 0.5.
    predicted = np.concatenate([loud, np.zeros_like(quiet)])
    found = measured(wet, predicted, pieces=[(0, RATE), (RATE, 2 * RATE)])
    assert found["esr"] == pytest.approx(np.sum(quiet.astype(float) ** 2) / np.sum(wet.astype(float) ** 2), rel=1e-6)
    assert found["esr"] < 1e-4


def test_spans_are_independent():
    first, second = music(6000, 1), music(6000, 2)
    wet, predicted = np.concatenate([first, second]), np.concatenate([0.9 * first, 0.7 * second]).astype(np.float32)
    apart = measured(wet, predicted, pieces=[(0, 6000), (6000, 12000)], starts=(0, 6000))

    def pre(samples):
        x = samples.astype(np.float64)
        return float(np.sum((x[1:] - 0.85 * x[:-1]) ** 2))

    error = predicted.astype(np.float64) - wet
    expected = (pre(error[:6000]) + pre(error[6000:])) / (pre(first) + pre(second))
    assert apart["esr_preemphasis"] == pytest.approx(expected, rel=1e-9)
    assert apart["mr_stft"] == pytest.approx(reference_mr_stft([(first, predicted[:6000]), (second, predicted[6000:])]))


def reference_mr_stft(pairs):
    distances = []
    for length in RESOLUTIONS:
        both = []
        for k in (0, 1):
            frames = [
                scipy_signal.stft(
                    pair[k].astype(np.float64),
                    window="hann",
                    nperseg=length,
                    noverlap=length * 3 // 4,
                    boundary=None,
                    padded=False,
                )[2]
                * (length / 2)
                for pair in pairs
            ]
            power = np.abs(np.concatenate(frames, axis=1)) ** 2
            both.append(np.sqrt(np.maximum(power, POWER_FLOOR)))
        device_, twin = both
        convergence = np.linalg.norm(device_ - twin) / np.linalg.norm(device_)
        distances.append(convergence + np.mean(np.abs(np.log(device_ / twin))))
    return pytest.approx(np.mean(distances), rel=1e-4)


def test_mr_stft_equals_scipy():
    dry = music(9000)
    wet, predicted = device(dry), (0.9 * dry).astype(np.float32)
    assert measured(wet, predicted)["mr_stft"] == reference_mr_stft([(wet, predicted)])


def test_common_silence_does_not_dominate_mr_stft():
    wet = np.concatenate([music(8000), np.zeros(40000, np.float32)])
    predicted = wet + np.float32(1e-7)
    assert measured(wet, predicted)["mr_stft"] < 1e-2


@given(length=st.sampled_from([8, 16]), points=st.lists(st.integers(0, 100), max_size=8), frames=st.integers(0, 100))
def test_framer_is_independent_of_block_size(length, points, frames):
    samples = np.arange(frames, dtype=np.float32)
    framer = Framer(length, length // 4)
    found = [framer.frames(samples[a:b]).copy() for a, b in cuts(frames, points)]
    starts = [row[0] for rows in found for row in rows]
    assert starts == list(range(0, frames - length + 1, length // 4))
    assert all((np.diff(row) == 1).all() for rows in found for row in rows)


def test_hann_window_overlaps_to_a_constant():
    window = hann_window(16)
    assert np.allclose(window[:8] + window[8:], 1.0)


def test_silent_device_raises():
    zeros = np.zeros(1000, np.float32)
    with pytest.raises(DatasetError, match="silent"):
        measured(zeros, music(1000))
    with pytest.raises(DatasetError, match="silent"):
        ErrorAccumulator(RATE).result()


def test_different_shapes_raise():
    with pytest.raises(DatasetError, match="shape"):
        measured(music(100), music(99))
    with pytest.raises(DatasetError, match="shape"):
        measured(music(100)[:, None], music(100)[:, None])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_signal_raises_with_its_position(bad):
    wet = music(2 * RATE)
    broken = wet.copy()
    broken[RATE] = bad
    with pytest.raises(ModelError, match=r"1\.00 s"):
        measured(wet, broken)
    with pytest.raises(DatasetError, match=r"1\.00 s"):
        measured(broken, wet)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_mel_bands_overlap_to_one(rate):
    bands = mel_filter_bank(MEL_WINDOW, rate)
    assert bands.shape == (MEL_WINDOW // 2 + 1, MEL_BANDS)
    first, last = np.argmax(bands[:, 0]), np.argmax(bands[:, -1])
    assert bands[first + 1 : last].sum(axis=1) == pytest.approx(np.ones(last - first - 1), abs=1e-4)
    assert (bands > 0).any(axis=0).all(), "a band without a bin would always agree"


def test_log_mel_matches_its_definition():
    dry = music(9000)
    wet, predicted = device(dry), (0.9 * dry).astype(np.float32)
    levels = []
    for samples in (wet, predicted):
        begins = range(0, len(samples) - MEL_WINDOW + 1, MEL_WINDOW // 4)
        frames = np.array([samples[at : at + MEL_WINDOW] for at in begins], np.float64)
        power = np.abs(np.fft.rfft(frames * scipy_signal.get_window("hann", MEL_WINDOW), axis=1)) ** 2
        levels.append(10 * np.log10(np.maximum(power @ mel_filter_bank(MEL_WINDOW, RATE).astype(float), POWER_FLOOR)))
    expected = np.mean(np.abs(levels[0] - levels[1]))
    assert measured(wet, predicted)["log_mel_db"] == pytest.approx(expected, rel=1e-3)


def test_silent_twin_has_no_peak_metrics():
    wet = music(4 * RATE)
    found = measured(wet, 0 * wet)
    assert found["esr"] == 1.0
    assert found["true_peak_difference_db"] is found["crest_difference_db"] is None


def test_round_metric():
    assert round_metric(1 / 3) == 0.333333333
    assert round_metric(None) is None
