"""The twin as witness: windows of the residual, and the stretches where it is an outlier."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from tests.evaluation.factories import RATE, late, music, reader
from twinlib.audio import Signal
from twinlib.evaluation import residuals
from twinlib.evaluation.excerpts import AlignedSpan, ProcessBlock
from twinlib.evaluation.outliers import _trimmed, find_outliers
from twinlib.evaluation.residuals import LabelledSpan, measure_residuals, noise_floor_of_takes
from twinlib.evaluation.twin_runner import TwinRunner

GUARD, FIELD, SECONDS, OFFSET = 4, 64, 24, 2.5
SPLITS = {"one": "train", "two": "train", "three": "test"}


def play(dry: Signal, drive: float = 3.0) -> Signal:
    """A distortion after a one-pole filter, with the guard."""
    return late(np.tanh(drive * lfilter([0.5], [1, -0.5], dry)).astype(np.float32) / 2, GUARD)


def start_twin(drive: float = 2.91) -> ProcessBlock:
    """A twin of `play`, by default with a drive that is 3 % too low."""
    state, delay = np.zeros(1), np.zeros(GUARD, np.float32)

    def process(block: Signal) -> Signal:
        nonlocal state, delay
        filtered, state = lfilter([0.5], [1, -0.5], block.astype(np.float64), zi=state)
        joined = np.concatenate([delay, np.tanh(drive * filtered).astype(np.float32) / 2])
        delay = joined[len(block) :]
        return joined[: len(block)]

    return process


RUNNER = TwinRunner(start_twin, RATE, GUARD, FIELD)


def dry_signal(seed: int) -> Signal:
    """Music whose level changes by up to 20 dB every second."""
    levels = 10 ** np.random.default_rng(seed).uniform(-1, 0, SECONDS)
    return (music(SECONDS * RATE, seed, 0.5) * np.repeat(levels, RATE)).astype(np.float32)


DRY = {name: dry_signal(seed) for seed, name in enumerate(SPLITS)}
WET = {
    name: play(dry) + 1e-4 * np.random.default_rng(7).standard_normal(len(dry)).astype(np.float32)
    for name, dry in DRY.items()
}


def labelled(name: str, wet: Signal) -> LabelledSpan:
    """A capture whose take starts `OFFSET` seconds before the dry file."""
    span = AlignedSpan(reader(DRY[name]), reader(wet), FIELD, len(wet), FIELD)
    return LabelledSpan(span, name, SPLITS[name], OFFSET + (FIELD - GUARD) / RATE)


def outliers(wet: dict[str, Signal]):
    return find_outliers(measure_residuals(RUNNER, [labelled(name, signal) for name, signal in wet.items()]))


def altered(name: str, start: float, stop: float, change) -> dict[str, Signal]:
    """All takes, with a change of one between two seconds of the take."""
    first, last = (round((at - OFFSET) * RATE) for at in (start, stop))
    wet = WET[name].copy()
    wet[first:last] = change(wet[first:last], DRY[name][first:last])
    return {**WET, name: wet}


def test_clean_takes_have_no_finding() -> None:
    assert outliers(WET) == {}


# Where the level changes at a quiet second, its place is known less well: draw the same examples in every run.
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(SPLITS)),
    st.floats(OFFSET, OFFSET + SECONDS - 8),
    st.floats(5, 8),
    st.sampled_from([-6.0, -2.0, 2.0, 4.0]),
)
def test_changed_level_is_found_in_its_take_and_seconds(name: str, start: float, length: float, db: float) -> None:
    stop = start + length
    found = outliers(altered(name, start, stop, lambda wet, _: wet * np.float32(10 ** (db / 20))))
    assert list(found) == [name]
    (finding,) = found[name]
    assert (finding.code, finding.severity) == ("outlier-level", "suspect")
    assert finding.span is not None
    assert finding.span.file == name
    assert finding.span.start == pytest.approx(start, abs=2.0)
    assert finding.span.stop == pytest.approx(stop, abs=2.0)
    assert finding.values["change_db"] == pytest.approx(db, rel=0.2)
    assert finding.values["excess_db"] > 6


@pytest.mark.parametrize(
    "change",
    [
        lambda wet, dry: dry,
        lambda wet, dry: lfilter([0.4], [1, -0.6], wet),
        lambda wet, dry: np.zeros_like(wet),
        lambda wet, dry: wet + np.concatenate([np.zeros(800, np.float32), 0.5 * wet[:-800]]),
    ],
    ids=["bypass", "tone", "mute", "echo"],
)
def test_other_changes_are_found_as_a_stretch(change) -> None:
    found = outliers(altered("two", 10.0, 17.0, change))
    assert [finding.code for finding in found.pop("two")] == ["outlier-stretch"]
    assert found == {}


def test_trimming_leaves_at_least_one_window() -> None:
    for excess in ([-1.0, -1.0], [5.0, 5.0], [0.0, 6.0, 7.0, 1.0]):
        kept = _trimmed(pd.DataFrame({"excess": excess}))["excess"].tolist()
        assert kept == (excess if len(excess) == 2 else [6.0, 7.0])


def test_two_stretches_are_two_findings() -> None:
    wet = altered("one", 5.0, 9.0, lambda wet, _: 0.5 * wet)["one"]
    first, last = (round((at - OFFSET) * RATE) for at in (18.0, 22.0))
    wet[first:last] = DRY["one"][first:last]
    found = outliers({**WET, "one": wet})["one"]
    assert [finding.code for finding in found] == ["outlier-level", "outlier-stretch"]
    assert [round(finding.span.start) for finding in found if finding.span] == [5, 18]


def test_take_with_other_settings_is_found_as_a_whole() -> None:
    found = outliers({**WET, "two": DRY["two"]})
    assert [finding.code for finding in found.pop("two")] == ["outlier-take"]
    assert found == {}


def test_mild_misfit_is_no_outlier() -> None:
    # Unseen music with three times the error, and a tenth of a dB between two takes.
    wet = {**WET, "two": WET["two"] * np.float32(1.01), "three": play(DRY["three"], 3.2)}
    assert outliers(wet) == {}


def test_error_of_a_perfect_twin_is_negligible() -> None:
    wet = {name: play(dry) for name, dry in DRY.items()}
    wet["one"][8 * RATE : 14 * RATE] *= np.float32(1.001)
    spans = [labelled(name, signal) for name, signal in wet.items()]
    assert find_outliers(measure_residuals(replace(RUNNER, start=lambda: start_twin(3.0)), spans)) == {}


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_short_and_silent_audio_has_no_finding(seconds: float) -> None:
    frames = round(seconds * RATE) + FIELD
    span = AlignedSpan(reader(np.zeros(frames, np.float32)), reader(np.ones(frames, np.float32)), FIELD, frames, FIELD)
    assert find_outliers(measure_residuals(RUNNER, [LabelledSpan(span, "take", "train", 0.0)])) == {}


def test_windows_hold_the_signals_at_their_time() -> None:
    windows = measure_residuals(RUNNER, [labelled("one", WET["one"])])
    size, twin = round(0.25 * RATE), start_twin()(DRY["one"])
    assert len(windows) == (len(DRY["one"]) - FIELD) // size
    begin = FIELD + 9 * size
    wet = WET["one"][begin : begin + size].astype(float)
    row = windows.iloc[9]
    assert row["start"] == pytest.approx(OFFSET + (begin - GUARD) / RATE)
    assert row["stop"] - row["start"] == pytest.approx(0.25)
    assert row["wet"] == pytest.approx(np.mean(wet**2))
    assert row["dry"] == pytest.approx(np.mean(DRY["one"][begin - GUARD : begin - GUARD + size].astype(float) ** 2))
    assert row["product"] == pytest.approx(np.mean(wet * twin[begin : begin + size]), rel=1e-4)
    assert row["error"] == pytest.approx(np.mean((twin[begin : begin + size] - wet) ** 2), rel=1e-3)


def test_long_audio_is_sampled_evenly_over_all_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [labelled(name, wet) for name, wet in WET.items()]
    monkeypatch.setattr(residuals, "MAX_SECONDS", 20.0)
    done: list[float] = []
    windows = measure_residuals(RUNNER, spans, lambda n, note="": done.append(n))
    assert set(windows["capture"]) == set(WET)
    assert 15.0 < 0.25 * len(windows) <= 21.0
    assert sum(done) == pytest.approx(0.25 * len(windows))
    assert windows.groupby("capture")["start"].diff().max() < 6.0


def test_noise_of_the_takes_gives_the_floor_of_the_test_split() -> None:
    windows = measure_residuals(RUNNER, [labelled(name, wet) for name, wet in WET.items()])
    power = windows.loc[windows["split"] == "test", "wet"].mean()
    captures = {"one": {"noise_floor_dbfs": -60.0}, "two": {"noise_floor_dbfs": None}, "three": {}}
    assert noise_floor_of_takes(windows, captures) == pytest.approx(1e-6 / power)
    assert noise_floor_of_takes(windows, {"two": {}}) is None
    assert noise_floor_of_takes(windows[windows["split"] == "train"], captures) is None
