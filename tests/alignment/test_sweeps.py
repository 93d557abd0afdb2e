"""Pairs that are sine sweeps, whose harmonics match the sweep at other lags."""

from pathlib import Path

import numpy as np
import pytest

from twinlib import audio
from twinlib.alignment import Alignment, align
from twinlib.diagnosis import diagnose

from .conftest import RATE, Array, noise, programme, warped
from .sweep_devices import DEVICES, asymmetric_fuzz, octave_up, preamp, soft_gate, sweep, two_stage_fuzz

X = sweep("exponential", 6.0, 20.0, 20000.0)


def align_pair(folder: Path, dry: Array, wet: Array, lag: float | None = None) -> Alignment:
    paths = folder / "dry.wav", folder / "wet.wav"
    for path, samples in zip(paths, (dry, wet + noise(len(wet), -95)), strict=True):
        audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return diagnose(align(*paths, lag=lag), *paths)


def late(x: Array, lag: int) -> Array:
    return np.concatenate((np.zeros(lag), x)) if lag >= 0 else x[-lag:]


KINDS = (
    ("exponential", (20.0, 20000.0), 6.0, 4410, 0),
    ("exponential", (12000.0, 50.0), 5.0, -2000, RATE),
    ("linear", (50.0, 16000.0), 5.0, 30_000, RATE // 2),
)


@pytest.mark.parametrize(("number", "device"), enumerate(DEVICES))
def test_a_sweep_is_aligned_through_any_device(tmp_path, number: int, device) -> None:
    kind, edges, seconds, lag, silence = KINDS[number % len(KINDS)]
    dry = np.concatenate((np.zeros(silence), sweep(kind, seconds, *edges), np.zeros(silence)))
    sign = -1 if lag < 0 else 1
    found = align_pair(tmp_path, dry, sign * late(device(dry), lag))
    assert (found.verdict, found.reasons, found.excluded) == ("ok", (), ())
    # The device delays, too.
    assert found.applied_lag_samples == pytest.approx(lag, abs=5.0)
    assert found.drift_ppm == 0.0


def test_a_sweep_of_ten_octaves_without_silence(tmp_path) -> None:
    """Harmonics of the fuzz lie 1.00 s, the octave, before the sweep."""
    dry = sweep("exponential", 10.0, 20.0, 20000.0)
    for device in (preamp, two_stage_fuzz, asymmetric_fuzz):
        found = align_pair(tmp_path, dry, late(device(dry), 777))
        assert (found.verdict, found.excluded) == ("ok", ())
        assert found.applied_lag_samples == pytest.approx(777, abs=2.0)


@pytest.mark.parametrize(("device", "music_first"), [(two_stage_fuzz, True), (soft_gate, False)])
def test_a_sweep_with_music(tmp_path, device, music_first: bool) -> None:
    parts = [programme(2.0), np.zeros(RATE // 2), X]
    dry = np.concatenate(parts if music_first else parts[::-1])
    found = align_pair(tmp_path, dry, late(device(dry), 4410))
    assert not {"disturbed", "lost-samples", "repeated-samples", "misaligned"} & {each.code for each in found.findings}
    assert found.applied_lag_samples == pytest.approx(4410, abs=5.0)


def test_a_sweep_without_ends_is_refused_unless_its_lag_is_known(tmp_path) -> None:
    wet = octave_up(X)[RATE:-RATE]
    refused = align_pair(tmp_path, X, wet)
    assert [each.code for each in refused.findings] == ["ambiguous-sweep"]
    assert "set `lag` of the pair" in refused.reasons[0]
    known = align_pair(tmp_path, X, wet, lag=-RATE)
    assert known.verdict != "refused"
    assert known.applied_lag_samples == pytest.approx(-RATE, abs=3.0)


def test_another_sweep_is_refused(tmp_path) -> None:
    other = sweep("exponential", 4.0, 20.0, 20000.0)
    assert align_pair(tmp_path, sweep("exponential", 5.0, 20.0, 20000.0), two_stage_fuzz(other)).verdict == "refused"


def test_lost_samples_are_found(tmp_path) -> None:
    samples, place = 7, int(4.0 * RATE)
    found = align_pair(tmp_path, X, late(np.delete(preamp(X), slice(place, place + samples)), 777))
    assert found.verdict == "suspect"
    assert [drop.lost_samples for drop in found.dropouts] == [pytest.approx(samples, abs=2)]
    assert found.dropouts[0].start - 0.3 < (place + 777) / RATE < found.dropouts[0].stop + 0.3
    assert found.lags(np.array([3.0 * RATE, 5.0 * RATE])) == pytest.approx([777, 777 - samples], abs=2.0)


def test_a_mute_is_found_although_a_filter_removes_a_frequency_too(tmp_path) -> None:
    wet = preamp(X)
    wet[int(3.0 * RATE) :] *= 1e-4
    found = align_pair(tmp_path, X, late(wet, 777))
    assert found.verdict != "ok"


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_the_drift_of_two_clocks_is_followed(tmp_path, kind: str) -> None:
    dry = sweep(kind, 6.0, 50.0, 16000.0)
    found = align_pair(tmp_path, dry, warped(preamp(dry), 777.3, 80.0))
    assert found.drift_ppm == pytest.approx(80.0, abs=12.0)
    middle = np.array([3.0 * RATE])
    assert found.lags(middle) == pytest.approx(777.3 + 80e-6 * middle, abs=3.0)
