import numpy as np
import pytest
import soundfile

from tests.evaluation.factories import RATE, late, music
from twinlib import audio
from twinlib.evaluation.excerpts import ExcerptAudio
from twinlib.files import read_json
from twinlib.listening.clips import CLIP_NAMES, PEAK, common_gain, write_clips

GUARD = 12


def excerpt(dry, wet, twin, start, stop, shard=""):
    return ExcerptAudio(dry[start - GUARD : stop - GUARD], wet[start:stop], twin, twin, shard, start)


def test_clips_are_aligned_at_true_levels(tmp_path):
    dry = music(3000, 1, 0.5)
    wet = late(0.5 * dry, GUARD)
    twin = late(0.4 * dry, GUARD)[1000:2000]
    content = write_clips(tmp_path, [excerpt(dry, wet, twin, 1000, 2000)], RATE)
    clips = {name: audio.read(tmp_path / f"{name}.flac")[:, 0] for name in CLIP_NAMES}
    assert content == read_json(tmp_path / "clips.json", "clips/1")
    assert content["gain"] == 1.0
    assert content["gain_db"] == 0.0
    assert content["seconds"] == 1000 / RATE
    assert clips["dry"] == pytest.approx(dry[1000 - GUARD : 2000 - GUARD], abs=2e-7)
    assert clips["wet"] == pytest.approx(0.5 * clips["dry"], abs=3e-7)
    assert clips["twin"] == pytest.approx(0.4 * clips["dry"], abs=3e-7)
    assert clips["difference"] == pytest.approx(-0.1 * clips["dry"], abs=4e-7)
    info = soundfile.info(str(tmp_path / "wet.flac"))
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_24", RATE, 1)


def test_clipping_lowers_all_clips_equally(tmp_path):
    dry = music(3000, 1, 0.9)
    wet = late(2 * dry, GUARD)
    content = write_clips(tmp_path, [excerpt(dry, wet, wet[200:2900] * np.float32(0.5), 200, 2900)], RATE)
    clips = {name: audio.read(tmp_path / f"{name}.flac")[:, 0] for name in CLIP_NAMES}
    assert max(np.max(np.abs(clip)) for clip in clips.values()) == pytest.approx(PEAK, abs=1e-6)
    assert clips["dry"] == pytest.approx(content["gain"] * dry[200 - GUARD : 2900 - GUARD], abs=3e-7)
    assert clips["wet"] == pytest.approx(2 * clips["dry"], abs=4e-7)
    assert content["gain_db"] == pytest.approx(20 * np.log10(content["gain"]))


def test_excerpts_are_joined_by_silence(tmp_path):
    dry = music(3000)
    wet = late(dry, GUARD)
    places = [(200, 300), (500, 700)]
    write_clips(tmp_path, [excerpt(dry, wet, wet[start:stop], start, stop) for start, stop in places], RATE)
    clip = audio.read(tmp_path / "wet.flac")[:, 0]
    gap = RATE // 10
    assert len(clip) == 100 + gap + 200
    assert not clip[100 : 100 + gap].any()
    first, second = read_json(tmp_path / "clips.json", "clips/1")["pieces"]
    assert (first["start"], first["stop"], first["shard_start"]) == (0, 100, 200)
    assert (second["start"], second["stop"], second["shard_start"]) == (100 + gap, 300 + gap, 500)
    assert not audio.read(tmp_path / "difference.flac").any()


def test_equal_input_gives_equal_bytes(tmp_path):
    dry = music(3000)
    for folder in ("a", "b"):
        write_clips(tmp_path / folder, [excerpt(dry, late(dry, GUARD), dry[200:900], 200, 900)], RATE)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_common_gain():
    assert common_gain([np.zeros(4, np.float32), np.array([0.5], np.float32)]) == 1.0
    assert common_gain([np.array([0.1, -4.0], np.float32)]) == pytest.approx(PEAK / 4)
    assert common_gain([np.zeros(0, np.float32)]) == 1.0
