"""Devices that are far from linear, decks at another speed, single notes, and faults of milliseconds."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, lfilter

from twinlib import audio
from twinlib.alignment import Alignment, align

from .conftest import RATE, Array, device, noise, programme, reel, sample_at

LAG = 1500


@pytest.fixture(scope="module")
def dry_reel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array, list[int]]:
    samples, clicks = reel(7.0, seed=2)
    path = tmp_path_factory.mktemp("dry") / "reel.wav"
    audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return path, samples, clicks


def aligned(path: Path, wet: Array, folder: Path, clicks: list[int] | None) -> Alignment:
    audio.write(folder / "wet.wav", wet.astype(np.float32), RATE, "FLOAT")
    return align(path, folder / "wet.wav", clicks=clicks)


def late(x: Array, lag: int = LAG) -> Array:
    wet = np.concatenate((np.zeros(lag), x, np.zeros(RATE // 2)))
    return np.asarray(wet + noise(len(wet), -100))


def coupled(x: Array) -> Array:
    return np.asarray(lfilter([0.995, -0.995], [1.0, -0.99], x))


def octave_up(x: Array) -> Array:
    """A full-wave rectifier after a booster."""
    return coupled(np.abs(coupled(np.tanh(8.0 * x))))


def two_stage_fuzz(x: Array) -> Array:
    return np.asarray(0.6 * np.tanh(200.0 * lfilter([0.05], [1.0, -0.95], np.tanh(100.0 * x))))


def expander(x: Array) -> Array:
    level = lfilter([0.001], [1.0, -0.999], np.abs(x))
    return device(x) * lfilter([0.01], [1.0, -0.99], np.clip(level / 0.02, 0.0, 1.0))


@pytest.mark.parametrize("circuit", [octave_up, two_stage_fuzz, expander])
@pytest.mark.parametrize("polarity", [1, -1])
def test_devices_far_from_linear_are_aligned_by_clicks_and_programme(dry_reel, tmp_path, circuit, polarity) -> None:
    path, dry, clicks = dry_reel
    found = aligned(path, polarity * late(circuit(dry)), tmp_path, clicks)
    assert found.verdict == "ok", found.reasons
    assert found.lag_samples == pytest.approx(LAG, abs=4.0)
    assert found.drift_ppm == pytest.approx(0.0, abs=0.05)


def test_the_octave_of_a_pair_is_found_by_its_absolute_value(tmp_path) -> None:
    """Half of it still resembles the input, which gives the lag but not the lags of single windows."""
    dry = np.concatenate([plucks(seed) for seed in range(4)])
    audio.write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    driven = np.tanh(6.0 * coupled(dry))
    found = aligned(tmp_path / "dry.wav", late(np.where(driven > 0, driven, -0.8 * driven)), tmp_path, None)
    assert (found.verdict, found.drift_ppm) == ("ok", 0.0), found.reasons
    assert found.lag_samples == pytest.approx(LAG, abs=2.0)


def test_a_vibrato_of_a_pair_is_followed(tmp_path) -> None:
    """One constant lag describes none of its windows, and must not be preferred to the clock that describes all."""
    dry = programme(12.0, seed=6)
    audio.write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    places = np.arange(len(dry))
    wet = sample_at(device(dry, 3.0), places - 300.0 - 176.0 * np.sin(2 * np.pi * 0.5 * places / RATE))
    found = aligned(tmp_path / "dry.wav", wet + noise(len(wet), -90), tmp_path, None)
    assert found.verdict != "refused", found.reasons
    assert found.wander_rms_samples > 100.0


def test_another_reel_through_a_rectifier_is_refused(dry_reel, tmp_path) -> None:
    path, _, clicks = dry_reel
    other, _ = reel(7.0, seed=3)
    assert aligned(path, late(octave_up(other)), tmp_path, clicks).verdict == "refused"


@pytest.mark.parametrize(
    ("percent", "verdict"), [(0.9, "suspect"), (-0.6, "suspect"), (2.5, "refused"), (-1.3, "refused")]
)
def test_the_speed_of_a_deck_is_named(dry_reel, tmp_path, percent: float, verdict: str) -> None:
    path, dry, clicks = dry_reel
    wet = late(device(dry))
    found = aligned(
        path, sample_at(wet, np.arange(int(len(wet) * (1 + percent / 100))) / (1 + percent / 100)), tmp_path, clicks
    )
    assert found.verdict == verdict
    assert len(found.reasons) == 1
    assert f"runs {abs(percent):g} % {'slow' if percent > 0 else 'fast'}: correct the deck's speed" in found.reasons[0]
    if verdict == "suspect":
        assert found.drift_ppm == pytest.approx(1e4 * percent, abs=0.1)


def plucks(seed: int) -> Array:
    """Single short notes of a plucked string, 5 s."""
    rng = np.random.default_rng(seed)
    out, start = np.zeros(5 * RATE), RATE // 5
    while start < 4 * RATE:
        frames, period = int(rng.uniform(0.4, 1.2) * RATE), int(RATE / (82.4 * 2 ** (rng.integers(0, 24) / 12)))
        excited = np.zeros(frames)
        excited[:period] = rng.standard_normal(period)
        string = np.zeros(period + 2)
        string[0], string[period:] = 1.0, -0.498
        note = lfilter([1.0], string, excited) * np.minimum(1.0, np.arange(frames)[::-1] / 1000.0)
        stop = min(start + frames, len(out))
        out[start:stop] += rng.uniform(0.2, 0.6) * (note / np.abs(note).max())[: stop - start]
        start += frames + int(rng.uniform(0.2, 0.6) * RATE)
    return out


def distortion(x: Array) -> Array:
    clipped = np.tanh(60.0 * lfilter(*butter(1, 700, "high", fs=RATE), x))
    return np.asarray(0.5 * lfilter(*butter(1, 3000, fs=RATE), clipped))


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("circuit", [distortion, two_stage_fuzz])
def test_single_notes_of_one_interface_have_one_clock(tmp_path, circuit, clips: int) -> None:
    dry = np.concatenate([plucks(seed) for seed in range(clips)])
    audio.write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    wet = np.concatenate((np.zeros(5), circuit(dry)))[: len(dry)]
    found = aligned(tmp_path / "dry.wav", wet + noise(len(wet), -90), tmp_path, None)
    assert found.verdict == "ok", found.reasons
    assert found.drift_ppm == 0.0
    assert found.warp == "shift"
    # The device delays single tones, too.
    assert found.lag_samples == pytest.approx(5.0, abs=5.0)


def test_single_notes_of_two_interfaces_keep_their_drift(tmp_path) -> None:
    dry = np.concatenate([plucks(seed) for seed in range(3)])
    audio.write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    wet = sample_at(distortion(dry), (np.arange(len(dry)) - 700) / (1 + 40e-6))
    found = aligned(tmp_path / "dry.wav", wet + noise(len(wet), -90), tmp_path, None)
    assert found.drift_ppm == pytest.approx(40.0, abs=1.5)


@pytest.mark.parametrize("fault", ["crackles", "mutes"])
def test_faults_of_milliseconds_are_all_excluded(tmp_path, fault: str) -> None:
    dry = programme(8.0, seed=5)
    audio.write(tmp_path / "dry.wav", dry.astype(np.float32), RATE, "FLOAT")
    wet = late(device(dry, 3.0))
    places = LAG + (np.linspace(0.8, 7.2, 10) * RATE).astype(int)
    length = 1 if fault == "crackles" else RATE * 5 // 1000
    for place in places.tolist():
        if fault == "crackles":
            wet[place] += 0.5
        else:
            wet[place : place + length] *= 1e-4
    found = aligned(tmp_path / "dry.wav", wet, tmp_path, None)
    assert found.verdict == "suspect"
    assert {finding.code for finding in found.findings} <= {"brief-faults", "disturbed"}
    missed = [
        place
        for place in (places - LAG).tolist()
        if not any(span.start <= place and place + length <= span.stop for span in found.excluded)
    ]
    assert not missed
