import tracemalloc

import numpy as np
import pytest
from scipy.signal import lfilter

from tests.evaluation.factories import RATE, device, fir_process, music, near, span
from twinlib.errors import DatasetError, ModelError
from twinlib.evaluation.evaluate_split import evaluate_split, group_linear_errors
from twinlib.evaluation.excerpts import AlignedSpan
from twinlib.evaluation.metrics import ErrorAccumulator
from twinlib.evaluation.settings import Evaluation
from twinlib.evaluation.twin_runner import TwinRunner

GUARD = 12
SETTINGS = Evaluation(linear_taps=64)
FIR = np.zeros(GUARD + 4, np.float32)
FIR[GUARD:] = [0.6, 0.3, 0.1, -0.05]


def runner(fir=FIR, fresh=None):
    return TwinRunner(fresh or (lambda: fir_process(fir)), RATE, GUARD, len(fir))


def material(frames=20000, seed=0):
    dry = music(frames, seed)
    return dry, device(dry, GUARD)


def test_perfect_twin_of_a_distortion():
    dry, wet = material()

    def fresh():
        state = {"filter": np.zeros(1), "last": np.zeros(GUARD, np.float32)}

        def process(block):
            filtered, state["filter"] = lfilter([0.5], [1, -0.5], block.astype(np.float64), zi=state["filter"])
            late = np.concatenate([state["last"], (np.tanh(3 * filtered) / 2).astype(np.float32)])
            state["last"] = late[len(block) :]
            return late[: len(block)]

        return process

    found = evaluate_split(TwinRunner(fresh, RATE, GUARD, 128), [span(dry, wet, 127)], SETTINGS)
    assert found.metrics["esr"] < 1e-9
    assert found.metrics["esr_linear"] > 1e-4
    assert found.metrics["gain_over_linear_db"] > 40
    assert found.metrics["seconds"] == pytest.approx((20000 - 127) / RATE)
    assert found.densities["error"].max() < 1e-6 * found.densities["device"].max()


def test_best_linear_filter_has_no_gain_over_itself():
    dry, wet = material()
    where = [span(dry, wet, 63)]
    fir = evaluate_split(runner(), where, SETTINGS).fir.astype(np.float32)
    found = evaluate_split(runner(fir), where, SETTINGS).metrics
    assert found["gain_over_linear_db"] == pytest.approx(0.0, abs=1e-4)
    assert found["esr"] == pytest.approx(found["esr_linear"], rel=1e-5)


def test_copying_twin_equals_the_dry_baseline():
    dry, wet = material()
    copy = np.zeros(GUARD + 1, np.float32)
    copy[GUARD] = 1.0
    found = evaluate_split(runner(copy), [span(dry, wet, 63)], SETTINGS).metrics
    assert found["esr"] == pytest.approx(found["esr_dry"], rel=1e-6)
    assert found["esr_dry"] >= found["esr_gain"] >= found["esr_linear"]


def test_spans_are_pooled_and_start_from_their_history():
    first, second = material(9000, 1), material(7000, 2)
    found = evaluate_split(runner(), [span(*first, 100), span(*second, 100)], SETTINGS).metrics
    errors = ErrorAccumulator(RATE, SETTINGS.preemphasis)
    for dry, wet in (first, second):
        errors.start()
        errors.add(wet[100:], lfilter(FIR, [1.0], dry.astype(np.float64)).astype(np.float32)[100:])
    expected = errors.result()
    for name in expected:
        assert found[name] == near(expected[name], 1e-5), name


def test_evaluation_is_deterministic():
    dry, wet = material()
    first, second = (evaluate_split(runner(), [span(dry, wet, 63)], SETTINGS) for _ in range(2))
    assert first.metrics == second.metrics
    assert np.array_equal(first.fir, second.fir)


def test_short_spans_omit_long_window_metrics():
    dry, wet = material(700)
    found = evaluate_split(runner(), [span(dry, wet, 63)], SETTINGS)
    assert found.metrics["mr_stft"] is None
    assert found.metrics["lufs_difference_db"] is None
    assert found.metrics["esr"] > 0
    assert found.densities["device"].any()


def test_progress_counts_seconds():
    dry, wet = material()
    seconds = []
    evaluate_split(
        runner(), [span(dry, wet, 4000), span(dry, wet, 12000)], SETTINGS, lambda n, note="": seconds.append(n)
    )
    assert sum(seconds) == pytest.approx(3.0)


def test_bad_input_raises():
    dry, wet = material(3000)
    with pytest.raises(DatasetError, match="no span to evaluate"):
        evaluate_split(runner(), [], SETTINGS)
    with pytest.raises(DatasetError, match="history"):
        evaluate_split(runner(), [span(dry, wet, 62)], SETTINGS)
    with pytest.raises(DatasetError, match="too few"):
        evaluate_split(runner(), [span(dry, wet, 63, 100)], SETTINGS)
    with pytest.raises(DatasetError, match="silent"):
        evaluate_split(runner(), [span(dry, 0 * wet, 63)], SETTINGS)
    broken = runner(fresh=lambda: lambda block: np.full_like(block, np.nan))
    with pytest.raises(ModelError, match="NaN"):
        evaluate_split(broken, [span(dry, wet, 63)], SETTINGS)


def test_memory_is_constant():
    def peak(frames):
        def read(start, stop):
            return np.sin(np.arange(start, stop, dtype=np.float32) % 1000)

        tracemalloc.start()
        evaluate_split(runner(), [AlignedSpan(read, read, 63, frames, 63)], SETTINGS)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(200_000)
    assert peak(800_000) < 1.1 * peak(200_000)


def test_grouped_errors_sum_to_the_total():
    first, second = material(9000, 1), material(7000, 2)
    spans = [span(*first, 100), span(*second, 100)]
    evaluated = evaluate_split(runner(), spans, SETTINGS)
    for name, found in (
        ("esr", evaluated.grouped),
        ("esr_linear", group_linear_errors(evaluated.fir, spans, RATE)),
    ):
        for sums in (found.by_level().sum(axis=0), found.over_time()[1].sum(axis=0)):
            assert sums[2] / sums[1] == pytest.approx(evaluated.metrics[name], rel=1e-5)
            assert sums[0] / RATE == pytest.approx(evaluated.metrics["seconds"])
