import json
import re
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.finding_codes import used_codes, written_out
from twinlib import audio
from twinlib.capture import file_checks, levels, take_checks
from twinlib.capture.ingest import ingest_take
from twinlib.capture.take_checks import MESSAGES, PAIR_MESSAGES
from twinlib.contracts import TAKE
from twinlib.errors import AudioError, CaptureError
from twinlib.files import read_json, sha256_file, write_json
from twinlib.findings import Finding, Span, verdict

from .conftest import RATE, Write, music

VALUES = dict.fromkeys(
    ["channel", "channels", "seconds", "missing_seconds", "missing_samples", "percent", "peak_dbfs", "other_channels",
     "level_dbfs", "hum_hz", "hum_dbfs", "runs", "samples", "other_channel", "difference_db", "dc", "distance_db",
     "noise_floor_dbfs", "snr_db", "reason", "file", "loss", "codec", "before", "after", "peak",
     "full_scale"],
    1,
)  # fmt: skip
"""A value for every field of the sentences."""

PAUSE = 1.2
"""Seconds of silence at both ends of a reel."""


def with_pauses(samples: np.ndarray) -> np.ndarray:
    return np.pad(samples, int(PAUSE * RATE))


def white(like: np.ndarray, dbfs: float, seed: int = 0) -> np.ndarray:
    return 10 ** (dbfs / 20) * np.random.default_rng(seed).standard_normal(len(like))


def hum(like: np.ndarray, hz: float, dbfs: float) -> np.ndarray:
    """A fundamental and two harmonics with a total rms level of `dbfs`."""
    turns = np.arange(len(like)) * hz / RATE
    sound = sum(level * np.sin(2 * np.pi * k * turns + k) for k, level in ((1, 1.0), (2, 0.5), (3, 0.3)))
    return np.asarray(10 ** (dbfs / 20) * sound / np.sqrt(0.5 * (1.0 + 0.25 + 0.09)))


def loud(seconds: float) -> np.ndarray:
    """Music without pauses: noise with a slowly varying level."""
    noise = np.random.default_rng(5).standard_normal(int(seconds * RATE))
    return 0.1 * noise.clip(-4, 4) * (1.0 + 0.5 * np.sin(np.arange(len(noise)) * 5.0 / RATE))


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(samples, RATE, rate)


def test_properties_of_a_good_take(write: Write, tmp_path: Path) -> None:
    samples = music(4.0, peak=0.5) + 1e-4 * np.random.default_rng(1).standard_normal(4 * RATE)
    wet, reel = write("take.wav", samples), write("reel.wav", music(3.0))
    take = ingest_take(wet, reel=reel, simulated=True, settings={"drive": 6})
    assert (take.verdict, take.reasons) == ("ok", ())
    assert take.peak_dbfs == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.01)
    assert take.rms_dbfs == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.01)
    assert take.noise_floor_dbfs == pytest.approx(-80, abs=0.5)
    assert take.snr_db == pytest.approx(take.rms_dbfs - take.noise_floor_dbfs)
    assert (take.bit_depth, take.channels, take.frames, take.clips) == (24, 1, 4 * RATE, 0)
    assert take.sha256 == sha256_file(wet)
    write_json(tmp_path / "take.json", TAKE, take.to_dict())
    content = read_json(tmp_path / "take.json", TAKE)
    assert content["simulated"] is True
    assert content["settings"] == {"drive": 6}
    assert json.dumps(content)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    block=st.integers(7, 300),
)
def test_all_clipped_runs_are_detected_for_any_block_size(write: Write, monkeypatch, runs: list, block: int) -> None:
    samples = 0.3 * np.sin(np.arange(1000) * 0.1)
    for start, length, up in runs:
        samples[start : start + length] = 1.0 if up else -1.0
    wet = write("take.wav", samples, subtype="FLOAT")
    expected, at = [], 0
    while at < 1000:
        stop = at + 1
        while stop < 1000 and samples[stop] == samples[at]:
            stop += 1
        if abs(samples[at]) == 1.0 and stop - at >= 3:
            expected.append((at, stop - at))
        at = stop
    blocks = audio.Reader.blocks
    with monkeypatch.context() as patch:
        patch.setattr(audio.Reader, "blocks", lambda self, frames=0: blocks(self, block))
        take = ingest_take(wet)
    assert [(clip.start, clip.samples) for clip in take.clipped] == expected
    assert (take.clips, take.clipped_samples) == (len(expected), sum(length for _, length in expected))
    share = take.clipped_samples / 1000
    assert take.verdict == ("ok" if not expected else "suspect" if share <= 0.01 else "refused")


def test_only_the_first_hundred_clipped_runs_are_listed(write: Write) -> None:
    samples = np.clip(3 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE), -1, 1)
    take = ingest_take(write("take.wav", samples, subtype="PCM_16"))
    assert take.clips > 500
    assert len(take.clipped) == 100
    assert take.clipped[0].seconds == round(take.clipped[0].start / RATE, 6)
    assert [clip.start for clip in take.clipped] == sorted(clip.start for clip in take.clipped)
    assert take.clipped[-1].seconds < 0.3
    assert "lower the input gain" in take.reasons[0]


@pytest.mark.parametrize("sound", [music(2.0, 0.05), np.zeros(2 * RATE) + 0.05 * np.sin(np.arange(2 * RATE) * 0.2)])
def test_distortion_of_the_device_is_not_clipping_of_the_take(write: Write, sound: np.ndarray) -> None:
    assert ingest_take(write("take.wav", np.clip(30 * sound, -0.7, 0.7))).clips == 0


class TestRefused:
    def refused(self, words: str, wet: Path, **options: object) -> None:
        take = ingest_take(wet, **options)
        assert take.verdict == "refused"
        assert {finding.severity for finding in take.findings} == {"refused"}
        assert any(words in reason for reason in take.reasons), take.reasons
        json.dumps(take.to_dict(), allow_nan=False)

    def test_too_short(self, write: Write) -> None:
        self.refused("0.51 s (", write("w.wav", music(0.99)), reel=write("r.wav", music(1.5)))
        self.refused("This is too little", write("w.wav", music(1.5)), reel=write("r.wav", music(31)))
        reel = write("r.wav", np.zeros(31 * RATE))
        self.refused("This is too little", write("w.wav", music(1.5)), reel=reel)
        self.refused("3.51 s (", write("w.wav", music(0.5), 44100), reel=write("r.wav", music(4.01)))

    def test_one_frame(self, write: Write) -> None:
        self.refused("This is too little", write("w.wav", np.full(1, 0.5)), reel=write("r.wav", music(2)))
        assert ingest_take(write("w.wav", np.full(1, 0.5)), reel=write("r.wav", np.full(1, 0.5))).hum_hz is None

    @pytest.mark.parametrize(("seconds", "words"), [(0.5, "less than the dry file"), (3.0, "silent")])
    def test_short_and_silent(self, write: Write, seconds: float, words: str) -> None:
        self.refused(words, write("w.wav", np.zeros(int(seconds * RATE))), reel=write("r.wav", music(4)))

    def test_mostly_clipped(self, write: Write) -> None:
        wet = write("w.wav", np.clip(20 * music(2.0), -1, 1))
        self.refused("useless", wet, reel=write("r.wav", music(2.0)))
        self.refused("lower the input gain and record again", wet)

    def test_silence(self, write: Write) -> None:
        self.refused("silent", write("w.wav", np.zeros(RATE)))
        self.refused("silent", write("w.wav", np.full(RATE, 1e-5), subtype="FLOAT"))

    def test_one_silent_channel_of_two(self, write: Write) -> None:
        both = np.stack((np.zeros(RATE), music(1.0)), axis=1)
        self.refused("use channel 2", write("w.wav", both))
        assert ingest_take(write("w.wav", both), channel=2).verdict == "ok"

    def test_missing_channel(self, write: Write) -> None:
        self.refused("correct `channel`", write("w.wav", music(1.0)), channel=2)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_samples(self, tmp_path: Path, value: float) -> None:
        import soundfile

        samples = music(1.0).astype(np.float32)
        samples[777] = value
        soundfile.write(str(tmp_path / "w.wav"), samples, RATE, subtype="FLOAT")
        self.refused("sample 777", tmp_path / "w.wav")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x + 0.05, "DC"),
        (lambda x: 0.01 * x, "raise the input gain"),
        (lambda x: x + 0.02 * np.random.default_rng(0).standard_normal(len(x)), "noise"),
        (lambda x: np.stack((1e-3 * x, x), axis=1), "check `channel`"),
    ],
)
def test_suspect_takes(write: Write, change, words: str) -> None:
    take = ingest_take(write("take.wav", change(music(3.0))), reel=write("reel.wav", music(3.0)))
    assert take.verdict == "suspect"
    assert any(words in reason for reason in take.reasons), take.reasons


def test_few_clipped_samples_are_suspect_and_many_refused(write: Write) -> None:
    samples = music(2.0)
    for frames, expected in ((4, "suspect"), (int(0.0099 * 2 * RATE), "suspect"), (int(0.0101 * 2 * RATE), "refused")):
        samples[1000 : 1000 + frames] = 1.0
        take = ingest_take(write("take.wav", samples, subtype="FLOAT"))
        assert (take.verdict, take.clipped_samples) == (expected, frames)
        assert "clipped" in take.reasons[0]


@pytest.mark.parametrize("rate", [22050, 44101, 48000, 96000])
def test_another_sample_rate_is_accepted(write: Write, rate: int) -> None:
    reel = write("reel.wav", with_pauses(music(3.0)))
    longer = np.concatenate((resampled(with_pauses(music(3.0)), rate), np.zeros(rate // 10)))
    take = ingest_take(write("take.wav", longer, rate), reel=reel)
    assert (take.verdict, take.reasons, take.sample_rate) == ("ok", (), rate)
    # Equal lengths to one sample, regardless of rounding.
    exact = int(rate * (3.0 + 2 * PAUSE))
    for frames in (exact, int(np.ceil(rate * (3.0 + 2 * PAUSE)))):
        assert ingest_take(write("take.wav", longer[:frames], rate), reel=reel).verdict == "ok"
    take = ingest_take(write("take.wav", longer[: exact - rate // 2], rate), reel=reel)
    assert take.verdict == "suspect"
    assert "0.50 s (" in take.reasons[0]
    assert "less than the dry file" in take.reasons[0]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dry=st.integers(1, 60 * 800),
    wet=st.integers(1, 60 * 800),
    rate=st.sampled_from([800, 801, 1600]),
    is_pair=st.booleans(),
)
def test_short_takes_are_suspect_or_refused(write: Write, dry: int, wet: int, rate: int, is_pair: bool) -> None:
    sound = 0.5 * np.sin(np.arange(60 * 800) ** 2 * 1e-4)
    take = ingest_take(write("w.wav", sound[:wet], rate), reel=write("r.wav", sound[:dry], 800), is_pair=is_pair)
    needed, seconds = dry / 800, wet / rate
    found = [reason for reason in take.reasons if "less than the dry file" in reason]
    # A difference below one sample of the reel, the slower clock, is rounding.
    if is_pair or needed - seconds < 0.999 / 800:
        assert found == []
    elif seconds < 1 or seconds < needed / 20:
        assert (take.verdict, len(found)) == ("refused", 1)
    else:
        assert (take.verdict, len(found)) == ("suspect", 1)
        assert "The missing part is excluded. Start recording before" in found[0]


def test_the_wet_file_of_a_pair_may_be_shorter(write: Write) -> None:
    """The alignment decides which part of the dry file it holds."""
    reel = write("reel.wav", music(4.0))
    take = ingest_take(write("take.wav", music(4.0)[: 2 * RATE]), reel=reel, is_pair=True)
    assert {finding.code for finding in take.findings} <= {"dc-offset"}
    silent = ingest_take(write("take.wav", np.zeros(RATE)), reel=reel, is_pair=True)
    assert silent.reasons == (PAIR_MESSAGES.sentence(silent.findings[0]),)
    assert "`wet` and `channel` of the pair" in silent.reasons[0]


def test_a_clipped_wet_file_is_used_for_a_reason(write: Write) -> None:
    """A device that clips at full scale, such as a plugin."""
    samples = np.clip(50 * music(2.0), -1, 1)
    wet, reel = write("wet.wav", samples, subtype="PCM_16"), write("reel.wav", music(2.0))
    assert ingest_take(wet, reel=reel, is_pair=True).verdict == "refused"
    take = ingest_take(wet, reel=reel, is_pair=True, accept="a plugin that clips")
    assert take.verdict == "suspect"
    assert take.reasons[0].endswith("accepts it: a plugin that clips")
    silent = ingest_take(write("w.wav", np.zeros(RATE)), reel=reel, is_pair=True, accept="by ear")
    assert silent.verdict == "refused"


def test_sentences_of_pairs_mention_no_recording_of_a_reel() -> None:
    # The wet file of a pair may have any length.
    for code in MESSAGES.codes - {"too-short", "incomplete"}:
        sentence = written_out(PAIR_MESSAGES, code)
        assert not re.search(r"\b(reel|take|interface|cables?|record again)\b", sentence), sentence


def test_one_missing_sample_is_reported(write: Write) -> None:
    take = ingest_take(write("take.wav", music(2.0)[:-1]), reel=write("reel.wav", music(2.0)))
    assert take.verdict == "suspect"
    assert "the take lasts 2.00 s, 0.00 s (1 sample) less" in take.reasons[0]


def test_noise_is_not_checked_without_pauses(write: Write) -> None:
    steady = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).clip(-4, 4)
    assert ingest_take(write("take.wav", steady), reel=write("reel.wav", steady)).verdict == "ok"


# --- hum


@pytest.mark.parametrize(("hz", "dbfs"), [(50.0, -70.0), (49.61, -90.0), (60.0, -80.0), (60.42, -75.5)])
def test_weak_hum_is_measured(write: Write, hz: float, dbfs: float) -> None:
    reel = with_pauses(music(3.0))
    take = ingest_take(write("w.wav", reel + hum(reel, hz, dbfs) + white(reel, -95)), reel=write("r.wav", reel))
    assert (take.verdict, take.reasons) == ("ok", ())
    assert take.hum_hz == pytest.approx(hz, abs=0.011)
    assert take.hum_dbfs == pytest.approx(dbfs, abs=0.2)


@pytest.mark.parametrize(("hz", "dbfs", "words"), [(50.02, -50.0, "50 Hz (-50 dBFS"), (59.9, -35.0, "60 Hz (-35 dBFS")])
def test_loud_hum_is_suspect_and_reported_once(write: Write, hz: float, dbfs: float, words: str) -> None:
    reel = with_pauses(music(3.0))
    for options in ({"reel": write("r.wav", reel)}, {}):
        take = ingest_take(write("w.wav", reel + hum(reel, hz, dbfs) + white(reel, -90)), **options)
        assert take.verdict == "suspect"
        assert len(take.reasons) == 1
        assert words in take.reasons[0]
        assert "ground loop" in take.reasons[0]


def test_hum_and_noise_are_both_reported(write: Write) -> None:
    reel = with_pauses(music(3.0))
    take = ingest_take(write("w.wav", reel + hum(reel, 50, -52) + white(reel, -40)), reel=write("r.wav", reel))
    assert take.verdict == "suspect"
    assert ["hums" in reason for reason in take.reasons] == [True, False]
    assert "noise" in take.reasons[1]


def test_hum_of_the_dry_file_is_not_reported(write: Write) -> None:
    reel = with_pauses(music(3.0))
    played = reel + hum(reel, 60.1, -70)
    take = ingest_take(write("w.wav", np.tanh(30 * played) * 0.5), reel=write("r.wav", played))
    assert take.hum_hz == pytest.approx(60.1, abs=0.011)
    assert not any("hum" in reason for reason in take.reasons)
    take = ingest_take(write("w.wav", played + hum(reel, 50, -40)), reel=write("r.wav", played))
    assert "hums at 50 Hz" in take.reasons[0]


def test_hum_between_digital_silence_is_measured_for_any_block_size(write: Write, monkeypatch) -> None:
    reel = with_pauses(music(3.0))
    recorded = reel + hum(reel, 50, -80)
    gap = np.zeros(int(2.34 * RATE))
    # Edited-out noise makes the first pause shorter than a second, so the second pause must be used.
    recorded[: RATE // 2] = 0.0
    wet = write("w.wav", np.concatenate((gap, recorded, gap)))
    found = []
    for block in (1, 5000, 1 << 16, 1 << 22):
        monkeypatch.setattr(levels, "BLOCK", block)
        take = ingest_take(wet)
        found.append((take.hum_hz, take.hum_dbfs))
    assert len(set(found)) == 1
    assert found[0] == pytest.approx((50.0, -80.0), abs=0.05)


def test_hum_is_measured_on_the_chosen_channel(write: Write) -> None:
    reel = with_pauses(music(3.0))
    wet = write("w.wav", np.stack((reel + white(reel, -90), reel + hum(reel, 50, -60)), axis=1))
    assert ingest_take(wet).hum_hz is None
    assert ingest_take(wet, channel=2).hum_hz == 50.0
    assert ingest_take(wet, channel=3).verdict == "refused"


def test_clean_takes_have_no_hum(write: Write) -> None:
    for seed in range(100):
        reel = with_pauses(music(1.0, seed=seed))
        take = ingest_take(write("w.wav", reel + white(reel, -90 + seed / 4, seed)))
        assert (take.hum_hz, take.hum_dbfs, take.verdict) == (None, None, "ok")


# --- no programme


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("hum_dbfs", "noise_dbfs", "words"),
    [(-52, -90, "only hum (50 Hz, -52 dBFS)"), (-30, -35, "only hum (50 Hz, -30 dBFS)"),
     (-60, -50, "only noise (-50 dBFS)"), (-200, -70, "only noise (-70 dBFS)")],
)  # fmt: skip
def test_hum_or_noise_alone_is_refused(write: Write, hum_dbfs: float, noise_dbfs: float, words: str, seed: int) -> None:
    reel = with_pauses(music(4.0, seed=seed))
    longer = np.zeros(len(reel) + 12345)
    wet = write("w.wav", 0.001 * seed + hum(longer, 50, hum_dbfs) + white(longer, noise_dbfs, seed))
    take = ingest_take(wet, reel=write("r.wav", reel))
    assert take.verdict == "refused"
    assert len(take.reasons) == 1
    assert words in take.reasons[0]
    assert "unplugged" in take.reasons[0]
    # Without a dry file that has pauses, the programme is unknown.
    assert ingest_take(wet).verdict != "refused"
    assert ingest_take(wet, reel=write("r.wav", white(reel, -20, seed))).verdict != "refused"


@pytest.mark.parametrize("drive", [1, 100, 3000])
@pytest.mark.parametrize("seconds", [2.0, 60.0])
def test_distorted_programme_is_not_mistaken_for_noise(write: Write, drive: float, seconds: float) -> None:
    reel = with_pauses(loud(seconds))
    wet = 0.5 * np.tanh(drive * reel) + white(reel, -70)
    take = ingest_take(write("w.wav", wet), reel=write("r.wav", reel))
    assert (take.verdict, take.reasons) == ("ok", ())


def test_a_distorted_take_without_pauses_is_not_mistaken_for_noise(write: Write) -> None:
    reel = with_pauses(loud(4.0))
    wet = 0.5 * np.tanh(100 * reel)[int(PAUSE * RATE) :][: 4 * RATE] + white(np.zeros(4 * RATE), -70)
    take = ingest_take(write("w.wav", wet), reel=write("r.wav", reel))
    assert take.verdict == "suspect"
    assert len(take.reasons) == 1
    assert "less than the dry file" in take.reasons[0]


def test_a_steady_reel_may_have_a_steady_take(write: Write) -> None:
    steady = loud(4.0)
    for wet in (steady, np.tanh(100 * steady) * 0.5, hum(steady, 50, -20)):
        take = ingest_take(write("w.wav", wet + white(steady, -70)), reel=write("r.wav", steady))
        assert take.verdict == "ok" or all("hum" in reason for reason in take.reasons)


def test_bad_input(write: Write, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF nonsense")
    for path in (tmp_path / "bad.wav", tmp_path / "none.wav"):
        with pytest.raises(AudioError):
            ingest_take(path)
    with pytest.raises(CaptureError, match="counted from 1"):
        ingest_take(write("w.wav", music(0.5)), channel=0)


@pytest.mark.parametrize(
    ("peak", "words"), [(1.0, "full scale"), (1e-5, "is silent"), (0.5, None)], ids=["clipped", "silent", "good"]
)
def test_clipped_or_silent_loop_back(write: Write, peak: float, words: str | None) -> None:
    samples = music(1.0)
    loop_back = peak * samples / np.abs(samples).max()
    take = ingest_take(write("w.wav", np.stack((samples, loop_back), axis=1)), reference_channel=2)
    reported = [reason for reason in take.reasons if "loop-back (channel 2)" in reason]
    assert [words in reason for reason in reported] == ([True] if words else [])
    assert ingest_take(write("w.wav", np.stack((samples, loop_back), axis=1))).verdict == "ok"


def test_every_finding_has_its_own_message() -> None:
    codes = used_codes([Path(take_checks.__file__), Path(file_checks.__file__)])
    assert codes == MESSAGES.codes
    sentences = [MESSAGES.sentence(Finding(code, "suspect", Span("wet", 1, 2), VALUES)) for code in sorted(codes)]
    assert len(set(sentences)) == len(sentences)


def test_take_json_holds_findings_and_their_messages(write: Write, tmp_path: Path) -> None:
    samples = music(2.0)
    samples[1000:1004] = 1.0
    take = ingest_take(write("take.wav", samples), reel=write("reel.wav", music(3.0)))
    write_json(tmp_path / "take.json", TAKE, take.to_dict())
    content = read_json(tmp_path / "take.json", TAKE)
    findings = [Finding.from_dict(one) for one in content["findings"]]
    assert [finding.code for finding in findings] == ["clipped", "incomplete"]
    assert findings[0].span == Span("wet", round(1000 / RATE, 6), round(1004 / RATE, 6))
    assert findings[1].values["missing_samples"] == RATE
    assert [MESSAGES.sentence(finding) for finding in findings] == content["reasons"]
    assert verdict(findings) == content["verdict"] == "suspect"
