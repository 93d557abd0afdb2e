import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from twinlib import audio
from twinlib.alignment.pipeline import Alignment, align
from twinlib.alignment.warp import WarpedReader
from twinlib.errors import AlignmentError, AudioError

from .conftest import RATE, Write, decibels, device, noise, programme, reel, sample_at, warped

SECONDS, SHORT = 12.0, 7.0


@pytest.fixture(scope="module")
def dry_reel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, list[int]]:
    samples, clicks = reel(SECONDS)
    path = tmp_path_factory.mktemp("dry") / "reel.wav"
    audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return path, samples, clicks


@pytest.fixture(scope="module")
def short_reel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, list[int]]:
    samples, clicks = reel(SHORT, seed=1)
    path = tmp_path_factory.mktemp("dry") / "reel.wav"
    audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return path, samples, clicks


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    lag=st.floats(300, 40000),
    drift=st.floats(-80, 80),
    polarity=st.sampled_from([1, -1]),
    gain=st.floats(-12, 0),
    clicked=st.booleans(),
)
def test_estimates_lag_drift_and_polarity(dry_reel, tmp_path, lag, drift, polarity, gain, clicked) -> None:
    path, dry, clicks = dry_reel
    wet = polarity * 10 ** (gain / 20) * warped(device(dry), lag, drift)
    wet += noise(len(wet), -75)
    audio.write(tmp_path / "wet.wav", wet.astype(np.float32), RATE, "FLOAT")
    found = align(path, tmp_path / "wet.wav", clicks=clicks if clicked else None)
    assert found.verdict == "ok", found.reasons
    assert found.polarity == polarity
    assert found.lag_samples == pytest.approx(lag, abs=0.01)
    assert found.drift_ppm == pytest.approx(drift, abs=0.05)
    assert found.residual_rms_samples is not None
    assert found.residual_rms_samples < 0.02
    assert found.gain_db == pytest.approx(gain, abs=1.0)
    assert found.confidence == 1.0
    end = len(dry) * (1 + drift * 1e-6) + lag
    assert found.lag_samples + (1 + found.drift_ppm * 1e-6) * len(dry) == pytest.approx(end, abs=0.02)


def test_the_warped_wet_signal_is_synchronous_with_the_dry_signal(dry_reel, write: Write) -> None:
    path, dry, clicks = dry_reel
    wet = write("wet.wav", -0.5 * warped(dry, 20000.4, 40.0))
    found = align(path, wet, clicks=clicks, guard_samples=12)
    assert found.warp == "sinc"
    with WarpedReader(wet, found) as reader:
        start, stop = reader.valid_range()
        assert (start, stop) == (0, len(dry))
        placed = reader.read(start, stop)
    expected = 0.5 * np.concatenate((np.zeros(12), dry[:-12]))
    music = slice(clicks[0] + RATE, clicks[1] - RATE)
    error = placed[music] - expected[music]
    assert 10 * np.log10((expected[music] ** 2).sum() / (error**2).sum()) > 60


def test_filters_do_not_bias_drift_and_polarity(dry_reel, write: Write) -> None:
    path, dry, clicks = dry_reel
    y = sosfilt(butter(1, 150, "high", fs=RATE, output="sos"), device(dry, 6.0))
    y = sosfilt(butter(2, 6000, fs=RATE, output="sos"), y)
    wet = write("wet.wav", -warped(y, 9000.25, -15.0))
    found = align(path, wet, clicks=clicks)
    assert found.verdict == "ok", found.reasons
    assert found.polarity == -1
    assert found.lag_samples == pytest.approx(9000.25, abs=2.5)
    assert found.drift_ppm == pytest.approx(-15.0, abs=0.1)


def test_a_digital_pair_is_shifted_without_interpolation(write: Write) -> None:
    dry = programme(8.0, seed=3)
    path = write("dry.wav", dry)
    wet = write("wet.wav", np.concatenate((np.zeros(1234), -device(dry, 4.0))))
    found = align(path, wet)
    assert (found.verdict, found.warp, found.polarity) == ("ok", "shift", -1)
    assert (found.applied_lag_samples, found.applied_drift_ppm) == (1234.0, 0.0)
    assert found.lag_samples == pytest.approx(1234.0, abs=0.01)


def test_ranges_limit_both_signals(write: Write) -> None:
    dry = programme(8.0, seed=4)
    silent = np.zeros(RATE)
    path = write("dry.wav", np.concatenate((noise(RATE, -10, 5), dry, noise(RATE, -10, 6))))
    wet = write("wet.wav", np.concatenate((noise(RATE, -10, 7), silent, dry, noise(RATE, -10, 8))))
    found = align(path, wet, dry_range=(RATE, RATE + len(dry)), wet_range=(2 * RATE, 2 * RATE + len(dry)))
    assert found.verdict == "ok", found.reasons
    assert found.lag_samples == pytest.approx(RATE, abs=0.01)
    assert found.dry_range == (RATE, RATE + len(dry))
    with WarpedReader(wet, found) as reader:
        assert reader.valid_range() == (RATE + 12, RATE + len(dry))


def test_selects_the_wet_channel(write: Write) -> None:
    dry = programme(6.0, seed=5)
    path = write("dry.wav", dry)
    wet = write("wet.wav", np.stack((noise(len(dry) + 500, -20), np.concatenate((np.zeros(500), dry))), axis=1))
    assert align(path, wet, channel=1).applied_lag_samples == 500
    assert align(path, wet, channel=0).verdict == "refused"


@pytest.mark.parametrize(
    ("lag", "drift"), [(-0.5 * RATE - 0.3, 12.0), (60.0 * RATE + 0.7, -7.0), (900.2, 300.0), (900.2, -300.0)]
)
def test_late_and_early_starts_and_large_drifts_are_exact(short_reel, write: Write, lag: float, drift: float) -> None:
    """The recorder starts half a second after the player, or a minute before it."""
    path, dry, clicks = short_reel
    wet = warped(device(dry), lag, drift)
    wet += noise(len(wet), -75)
    found = align(path, write("wet.wav", wet), clicks=clicks)
    assert found.verdict == "ok", found.reasons
    assert found.lag_samples == pytest.approx(lag, abs=0.01)
    assert found.drift_ppm == pytest.approx(drift, abs=0.05)
    places = np.array(clicks, float)
    assert found.lags(places) == pytest.approx(lag + drift * 1e-6 * places, abs=0.01)


@pytest.mark.parametrize("rate", [48_000, 88_200])
def test_a_take_at_another_sample_rate_is_resampled(short_reel, tmp_path: Path, rate: int) -> None:
    """Lag and drift are in samples of the reel; the warped signal equals the output of the device."""
    path, dry, clicks = short_reel
    played = 0.8 * dry
    lag, drift = 3210.6, 25.0
    frames = int(len(dry) * rate / RATE) + rate
    wet = sample_at(played, (np.arange(frames) * RATE / rate - lag) / (1 + drift * 1e-6))
    audio.write(tmp_path / "wet.wav", wet.astype(np.float32), rate, "FLOAT")
    found = align(path, tmp_path / "wet.wav", clicks=clicks, guard_samples=8)
    assert found.verdict == "ok", found.reasons
    assert (found.sample_rate, found.wet_sample_rate, found.wet_frames) == (RATE, rate, frames)
    assert found.lag_samples == pytest.approx(lag, abs=0.005)
    assert found.drift_ppm == pytest.approx(drift, abs=0.02)
    with WarpedReader(tmp_path / "wet.wav", found) as reader:
        start, stop = reader.valid_range()
        assert (start, stop) == (0, len(dry))
        assert decibels(played[clicks[0] : clicks[1]], reader.read(clicks[0] + 8, clicks[1] + 8)) > 80


@pytest.mark.parametrize("rate", [16_000, 22_050, 32_000])
@pytest.mark.parametrize("clicked", [True, False])
def test_a_take_at_a_low_rate_is_aligned_and_reported(short_reel, tmp_path: Path, rate: int, clicked: bool) -> None:
    """The error is below 0.02 samples of the reel."""
    path, dry, clicks = short_reel
    lag, drift = 3210.6, 25.0
    limited = sosfilt(butter(16, 0.44 * rate, fs=RATE, output="sos"), device(dry)[::-1])[::-1]
    limited = sosfilt(butter(16, 0.44 * rate, fs=RATE, output="sos"), limited)
    wet = sample_at(limited, (np.arange(int(len(dry) * rate / RATE) + rate) * RATE / rate - lag) / (1 + drift * 1e-6))
    wet += noise(len(wet), -80)
    audio.write(tmp_path / "wet.wav", wet.astype(np.float32), rate, "FLOAT")
    found = align(path, tmp_path / "wet.wav", clicks=clicks if clicked else None)
    assert found.verdict == "suspect"
    assert f"nothing above {rate // 2} Hz is in it" in found.reasons[0]
    assert ("record again at" if clicked else "use a wet file at") + " 44100 Hz" in found.reasons[0]
    assert found.confidence == 1.0
    places = np.array(clicks, float)
    assert found.lags(places) == pytest.approx(lag + drift * 1e-6 * places, abs=0.02)


def test_repair_corrects_only_the_requested_properties(short_reel, write: Write) -> None:
    """Polarity is always measured; gain and offset are corrected on request."""
    path, dry, clicks = short_reel
    offset = 0.02
    wet = write("wet.wav", np.concatenate((np.full(500, offset), -0.5 * dry + offset)))
    for repair, factor, dc in (
        (("polarity",), 0.5, -offset),
        ((), -0.5, offset),
        (("polarity", "gain", "dc"), 1.0, 0.0),
    ):
        found = align(path, wet, clicks=clicks, repair=repair, guard_samples=0)
        assert found.verdict == "ok", found.reasons
        assert (found.polarity, found.applied_polarity) == (-1, -1 if "polarity" in repair else 1)
        assert found.gain_db == pytest.approx(20 * np.log10(0.5), abs=0.01)
        with WarpedReader(wet, found) as reader:
            music = slice(clicks[0] + RATE, clicks[1] - RATE)
            placed = reader.read(music.start, music.stop)
        assert np.abs(placed - (factor * dry[music] + dc)).max() < 2e-3


def test_a_lost_buffer_leaves_both_sides_exact(short_reel, write: Write) -> None:
    path, dry, clicks = short_reel
    wet = warped(device(dry), 2000.25, 20.0)
    at = 5 * RATE
    wet = np.concatenate((wet[:at], wet[at + 4096 :]))
    found = align(path, write("wet.wav", wet + noise(len(wet), -80)), clicks=clicks)
    assert found.verdict == "suspect"
    assert [one.lost_samples for one in found.dropouts] == [4096]
    assert len(found.pieces) == 2
    n = np.arange(clicks[0], clicks[1], 100.0)
    known = ~np.any([(n >= one.start) & (n < one.stop) for one in found.excluded], axis=0)
    true = 2000.25 + 20e-6 * n - np.where(n + 2000.25 + 20e-6 * n >= at, 4096.0, 0.0)
    assert np.abs(found.lags(n) - true)[known].max() < 0.02
    assert known.mean() > 0.9
    with WarpedReader(write("wet.wav", wet), found) as reader:
        placed = reader.read(clicks[0], clicks[1])
    expected = device(dry)[clicks[0] - found.guard_samples : clicks[1] - found.guard_samples]
    behind = np.roll(np.repeat(known, 100)[: len(placed)], found.guard_samples)
    assert decibels(expected[: len(behind)][behind], placed[: len(behind)][behind]) > 50


class TestBadTakes:
    def test_another_reel_of_the_same_length(self, short_reel, write: Write) -> None:
        path, _, clicks = short_reel
        other, places = reel(SHORT, seed=9)
        assert places == clicks
        found = align(path, write("wet.wav", warped(other, 5000.3, 5.0)), clicks=clicks)
        assert found.verdict == "refused"
        assert "another" in found.reasons[0]

    def test_a_reel_of_another_length(self, short_reel, write: Write) -> None:
        path, _, clicks = short_reel
        other, _ = reel(SHORT - 2.0, seed=9)
        found = align(path, write("wet.wav", warped(other, 5000.3, 5.0, 14 * RATE)), clicks=clicks)
        assert found.verdict == "refused"
        assert "another re" in found.reasons[0]

    @pytest.mark.parametrize("clicked", [True, False])
    def test_silence(self, dry_reel, write: Write, clicked: bool) -> None:
        path, dry, clicks = dry_reel
        for name, wet in (("noise.wav", noise(len(dry), -80)), ("zero.wav", np.zeros(len(dry)))):
            found = align(path, write(name, wet), clicks=clicks if clicked else None)
            assert found.verdict == "refused"
            assert found.confidence == 0.0
            assert ("silent" if name == "zero.wav" else "nothing of the dry signal") in found.reasons[0]

    def test_cut_short(self, dry_reel, write: Write) -> None:
        """The recorded part is aligned and the missing part reported."""
        path, dry, clicks = dry_reel
        found = align(path, write("wet.wav", warped(dry, 5000.3, 5.0)[: 8 * RATE]), clicks=clicks)
        assert found.verdict == "suspect"
        assert any("not on the wet file" in reason for reason in found.reasons)
        assert found.lag_samples == pytest.approx(5000.3, abs=0.02)

    def test_half_speed(self, short_reel, write: Write) -> None:
        path, dry, clicks = short_reel
        slow = np.interp(np.arange(2 * len(dry)) / 2, np.arange(len(dry)), dry)
        wet = write("wet.wav", slow)
        assert align(path, wet, clicks=clicks).verdict == "refused"
        assert align(path, wet).verdict == "refused"

    def test_another_sample_rate(self, dry_reel, tmp_path: Path) -> None:
        path, dry, clicks = dry_reel
        audio.write(tmp_path / "wet.wav", dry.astype(np.float32), 48000, "FLOAT")
        found = align(path, tmp_path / "wet.wav", clicks=clicks)
        assert found.verdict == "refused"
        assert "48000" in found.reasons[0]

    @pytest.mark.parametrize("lost", [137, -64])
    def test_lost_and_repeated_samples_are_found_and_excluded(self, dry_reel, write: Write, lost: int) -> None:
        path, dry, clicks = dry_reel
        wet = np.concatenate((np.zeros(3000), device(dry)))
        at = 9 * RATE
        wet = np.concatenate((wet[:at], wet[at + lost :]))
        found = align(path, write("wet.wav", wet), clicks=clicks)
        assert found.verdict == "suspect"
        assert [one.lost_samples for one in found.dropouts] == [lost]
        assert found.dropouts[0].start - 0.05 < at / RATE < found.dropouts[0].stop + 0.05
        assert found.dropouts[0].stop - found.dropouts[0].start < 0.1
        place = at - 3000
        assert any(one.start <= place < one.stop and one.reason.endswith("-samples") for one in found.excluded)
        before, after = found.lags(np.array([clicks[0], clicks[1]], float))
        assert (before, after) == (3000.0, 3000.0 - lost)

    def test_a_muted_span_is_suspect(self, dry_reel, write: Write) -> None:
        path, dry, clicks = dry_reel
        wet = warped(dry, 100.5, 3.0)
        wet[8 * RATE : 11 * RATE] = 0.0
        found = align(path, write("wet.wav", wet), clicks=clicks)
        assert found.verdict == "suspect"
        assert any("recognised" in reason for reason in found.reasons)


class TestBadInput:
    def test_rejects_a_file_without_audio(self, dry_reel, tmp_path: Path) -> None:
        bad = tmp_path / "bad.wav"
        bad.write_bytes(b"no audio")
        for path in (bad, tmp_path / "missing.wav"):
            with pytest.raises(AudioError):
                align(dry_reel[0], path)

    def test_rejects_a_missing_channel_or_range(self, dry_reel) -> None:
        path, dry, _ = dry_reel
        with pytest.raises(AlignmentError, match="channel"):
            align(path, path, channel=1)
        for wrong in ((0, len(dry) + 1), (5, 5), (-1, 10)):
            with pytest.raises(AlignmentError, match="range"):
                align(path, path, wet_range=wrong)
        with pytest.raises(AlignmentError, match="guard"):
            align(path, path, guard_samples=-1)

    def test_rejects_a_reel_without_its_click(self, dry_reel) -> None:
        with pytest.raises(AlignmentError, match="click"):
            align(dry_reel[0], dry_reel[0], clicks=[0])

    @pytest.mark.parametrize("frames", [1, 2, 100, 3000])
    def test_a_file_too_short_to_compare(self, write: Write, frames: int) -> None:
        path = write("short.wav", noise(frames, -10))
        assert align(path, path).verdict == "refused"


def test_json_round_trip(dry_reel) -> None:
    path, _, clicks = dry_reel
    found = align(path, path, clicks=clicks)
    assert found.applied_lag_samples == 0.0
    again = Alignment.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again == found
    for broken in ({}, {**found.to_dict(), "colour": 1}, {**found.to_dict(), "track": 3}):
        with pytest.raises(AlignmentError):
            Alignment.from_dict(broken)


def test_is_deterministic(dry_reel, write: Write) -> None:
    path, dry, clicks = dry_reel
    wet = write("wet.wav", warped(device(dry), 2222.2, 9.0))
    assert align(path, wet, clicks=clicks) == align(path, wet, clicks=clicks)
