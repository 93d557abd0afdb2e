import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.capture import ingest as room
from twinlib.capture.ingest import ingest
from twinlib.errors import AudioError, CaptureError
from twinlib.files import read_json, sha256_file, write_json

from .conftest import RATE, Write, music


def test_a_good_take_is_ok_and_measured(write: Write, tmp_path: Path) -> None:
    samples = music(4.0, peak=0.5) + 1e-4 * np.random.default_rng(1).standard_normal(4 * RATE)
    wet, reel = write("take.wav", samples), write("reel.wav", music(3.0))
    take = ingest(wet, reel=reel, simulated=True, settings={"drive": 6})
    assert (take.verdict, take.reasons) == ("ok", ())
    assert take.peak_dbfs == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.01)
    assert take.rms_dbfs == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.01)
    assert take.noise_floor_dbfs == pytest.approx(-80, abs=0.5)
    assert take.snr_db == pytest.approx(take.rms_dbfs - take.noise_floor_dbfs)
    assert (take.bit_depth, take.channels, take.frames, take.clips) == (24, 1, 4 * RATE, 0)
    assert take.sha256 == sha256_file(wet)
    write_json(tmp_path / "take.json", room.CONTRACT, take.to_dict())
    content = read_json(tmp_path / "take.json", "take/1")
    assert content["simulated"] is True
    assert content["settings"] == {"drive": 6}
    assert json.dumps(content)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    block=st.integers(7, 300),
)
def test_every_clip_is_found_whatever_the_blocks(write: Write, monkeypatch, runs: list, block: int) -> None:
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
        take = ingest(wet)
    assert [(clip.start, clip.samples) for clip in take.clipped] == expected
    assert (take.clips, take.clipped_samples) == (len(expected), sum(length for _, length in expected))
    assert (take.verdict == "suspect") or not expected


def test_only_the_first_hundred_clips_are_listed(write: Write) -> None:
    samples = np.clip(3 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE), -1, 1)
    take = ingest(write("take.wav", samples, subtype="PCM_16"))
    assert take.clips > 500
    assert len(take.clipped) == 100
    assert take.clipped[0].seconds == round(take.clipped[0].start / RATE, 6)
    assert [clip.start for clip in take.clipped] == sorted(clip.start for clip in take.clipped)
    assert take.clipped[-1].seconds < 0.3
    assert "lower the input gain" in take.reasons[0]


@pytest.mark.parametrize("sound", [music(2.0, 0.05), np.zeros(2 * RATE) + 0.05 * np.sin(np.arange(2 * RATE) * 0.2)])
def test_a_device_that_clips_is_no_clipped_recording(write: Write, sound: np.ndarray) -> None:
    assert ingest(write("take.wav", np.clip(30 * sound, -0.7, 0.7))).clips == 0


class TestRefused:
    def refused(self, words: str, wet: Path, **options: object) -> None:
        take = ingest(wet, **options)
        assert take.verdict == "refused"
        assert any(words in reason for reason in take.reasons), take.reasons
        json.dumps(take.to_dict(), allow_nan=False)

    def test_another_rate(self, write: Write) -> None:
        self.refused("set the interface to 44100 Hz", write("w.wav", music(2), 48000), reel=write("r.wav", music(1)))

    def test_too_short(self, write: Write) -> None:
        self.refused("1.00 s less", write("w.wav", music(1)), reel=write("r.wav", music(2)))
        self.refused("less", write("w.wav", music(1)), frames=RATE + 1)
        assert ingest(write("w.wav", music(1)), reel=write("r.wav", music(2)), frames=RATE).verdict == "ok"

    def test_silence(self, write: Write) -> None:
        self.refused("silent", write("w.wav", np.zeros(RATE)))
        self.refused("silent", write("w.wav", np.full(RATE, 1e-5), subtype="FLOAT"))

    def test_the_silent_one_of_two_channels(self, write: Write) -> None:
        both = np.stack((np.zeros(RATE), music(1.0)), axis=1)
        self.refused("use channel 2", write("w.wav", both))
        assert ingest(write("w.wav", both), channel=2).verdict == "ok"

    def test_a_channel_that_is_not_there(self, write: Write) -> None:
        self.refused("no channel 2", write("w.wav", music(1.0)), channel=2)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_a_number(self, tmp_path: Path, value: float) -> None:
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
def test_what_is_odd_is_suspect(write: Write, change, words: str) -> None:
    take = ingest(write("take.wav", change(music(3.0))), reel=write("reel.wav", music(3.0)))
    assert take.verdict == "suspect"
    assert any(words in reason for reason in take.reasons), take.reasons


def test_without_pauses_nothing_is_said_of_noise(write: Write) -> None:
    steady = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).clip(-4, 4)
    assert ingest(write("take.wav", steady), reel=write("reel.wav", steady)).verdict == "ok"


def test_bad_input(write: Write, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF nonsense")
    for path in (tmp_path / "bad.wav", tmp_path / "none.wav"):
        with pytest.raises(AudioError):
            ingest(path)
    with pytest.raises(CaptureError, match="counted from 1"):
        ingest(write("w.wav", music(0.5)), channel=0)
