import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinlib.audio
from tests.excitation.factories import add, noise, small, table
from tests.excitation.test_cue_sheet import three
from twinlib.audio import read, read_info
from twinlib.errors import ExcitationError
from twinlib.excitation.cue_sheet import CueSheet, draw_cue_sheet
from twinlib.excitation.reels import render_reel
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sync_click import make_click


def made(root: Path, settings: Excitation) -> CueSheet:
    return draw_cue_sheet("main", settings, table(root), set(), root)


def rendered(root: Path, drawn: CueSheet, out: Path, reel: str = "main-01") -> np.ndarray:
    render_reel(reel, drawn.cues, drawn.excitation, root, out)
    return read(out)


@pytest.mark.parametrize(("depth", "subtype"), [(16, "PCM_16"), (24, "PCM_24"), (32, "FLOAT")])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_rendered_reel_matches_its_layout(
    corpus: Path, tmp_path: Path, depth: int, subtype: str, channels: int
) -> None:
    drawn = made(corpus, three(table(corpus), bit_depth=depth, channels=channels, level_db=(0.0, 20.0)))
    reel = rendered(corpus, drawn, tmp_path / "reel.wav")
    layout = drawn.excitation["reels"]["main-01"]
    info = read_info(tmp_path / "reel.wav")
    assert (info.frames, info.channels, info.subtype, info.sample_rate) == (layout["frames"], channels, subtype, 44100)
    assert np.abs(reel).max() < 0.981
    step = 2.0 ** (1 - depth) if depth < 32 else 1e-7
    sounding = np.zeros(len(reel), bool)
    for start in layout["clicks"]:
        stop = start + layout["click_frames"]
        sounding[start:stop] = True
        for channel in range(channels):
            np.testing.assert_allclose(reel[start:stop, channel], make_click(44100), atol=step)
    for block in layout["blocks"]:
        sounding[block["start"] : block["stop"]] = True
    assert not reel[~sounding].any()
    for block in layout["blocks"]:
        assert np.sqrt(np.mean(np.square(reel[block["start"] : block["stop"]]))) > 0.01


def test_between_crossfades_the_reel_is_the_source_with_its_gain(corpus: Path, tmp_path: Path) -> None:
    drawn = made(corpus, three(table(corpus), bit_depth=32, mono_from="right"))
    reel = rendered(corpus, drawn, tmp_path / "reel.wav")
    for cue in drawn.cues.itertuples():
        source, _ = soundfile.read(str(corpus / cue.source), start=cue.source_start, stop=cue.source_stop)
        expected = source[500:-500, 1] * 10 ** (cue.gain_db / 20)
        np.testing.assert_allclose(reel[cue.start + 500 : cue.stop - 500, 0], expected, atol=1e-6)


def test_in_a_crossfade_the_reel_is_the_sum_of_both_slices(corpus: Path, tmp_path: Path) -> None:
    drawn = made(corpus, small(bit_depth=32, mono_from="left"))
    reel = rendered(corpus, drawn, tmp_path / "reel.wav")
    expected = np.zeros(len(reel))
    window = np.ones(2000)
    window[:500] = np.sin(np.pi / 2 * (np.arange(500) + 0.5) / 500)
    window[-500:] = np.cos(np.pi / 2 * (np.arange(500) + 0.5) / 500)
    for cue in drawn.cues.itertuples():
        source, _ = soundfile.read(str(corpus / cue.source), start=cue.source_start, stop=cue.source_stop)
        expected[cue.start : cue.stop] += window * source[:, 0] * 10 ** (cue.gain_db / 20)
    start, stop = drawn.excitation["reels"]["main-01"]["programme"]
    np.testing.assert_allclose(reel[start:stop, 0], expected[start:stop], atol=1e-6)


@pytest.mark.parametrize("crossfade", [0, 1, 1000])
def test_any_crossfade_up_to_half_a_slice(corpus: Path, tmp_path: Path, crossfade: int) -> None:
    drawn = made(corpus, small(crossfade_samples=crossfade, slices=10))
    reel = rendered(corpus, drawn, tmp_path / "reel.wav")
    assert len(reel) == drawn.excitation["reels"]["main-01"]["frames"]
    start, stop = drawn.excitation["reels"]["main-01"]["programme"]
    assert stop - start == 10 * 2000 - 9 * crossfade


def test_a_source_at_another_rate_keeps_its_pitch(tmp_path: Path) -> None:
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(96000) / 48000)
    add(tmp_path, "a/sine.wav", sine[:, None], 48000, "FLOAT")
    drawn = made(tmp_path, small(bit_depth=32, slices=5))
    reel = rendered(tmp_path, drawn, tmp_path / "reel.wav")
    for cue in drawn.cues.itertuples():
        seconds = cue.source_start / 48000 + np.arange(500, 1500) / 44100
        expected = 0.5 * np.sin(2 * np.pi * 1000 * seconds) * 10 ** (cue.gain_db / 20)
        np.testing.assert_allclose(reel[cue.start + 500 : cue.stop - 500, 0], expected, atol=3e-6)


def test_the_same_cue_sheet_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    settings = three(table(corpus))
    for name in ("a.wav", "b.wav"):
        rendered(corpus, made(corpus, settings), tmp_path / name)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_reels_are_rendered_independently_and_differ(corpus: Path, tmp_path: Path) -> None:
    drawn = made(corpus, three(table(corpus), slices=200, reel_minutes=0.1))
    reels = [rendered(corpus, drawn, tmp_path / f"{name}.wav", name) for name in list(drawn.excitation["reels"])[:2]]
    size = min(map(len, reels))
    assert np.abs(reels[0][:size] - reels[1][:size]).max() > 0.01
    alone = CueSheet(drawn.cues[drawn.cues.reel == "main-02"], drawn.excitation)
    rendered(corpus, alone, tmp_path / "alone.wav", "main-02")
    assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / "main-02.wav").read_bytes()


def test_a_reel_beyond_the_riff_limit_is_rf64(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = made(corpus, small())
    usual = rendered(corpus, drawn, tmp_path / "usual.wav")
    monkeypatch.setattr(twinlib.audio, "RIFF_LIMIT", 100_000)
    large = rendered(corpus, drawn, tmp_path / "large.wav")
    assert (tmp_path / "usual.wav").read_bytes()[:4] == b"RIFF"
    assert (tmp_path / "large.wav").read_bytes()[:4] == b"RF64"
    np.testing.assert_array_equal(usual, large)


def test_a_source_that_changed_is_refused_by_name(tmp_path: Path) -> None:
    add(tmp_path, "a/song.wav", noise(1))
    drawn = made(tmp_path, small())
    add(tmp_path, "a/song.wav", noise(1, seed=5))
    with pytest.raises(ExcitationError, match=r"song\.wav has changed since the reel was planned"):
        rendered(tmp_path, drawn, tmp_path / "reel.wav")
    (tmp_path / "a/song.wav").unlink()
    with pytest.raises(ExcitationError, match=r"song\.wav does not exist"):
        rendered(tmp_path, drawn, tmp_path / "reel.wav")
    assert not (tmp_path / "reel.wav").exists()


@pytest.mark.parametrize("name", ["../out.wav", "/etc/out.wav", "a/../../out.wav"])
def test_a_cue_outside_the_corpus_is_refused(corpus: Path, tmp_path: Path, name: str) -> None:
    drawn = made(corpus, small())
    with pytest.raises(ExcitationError, match="outside the corpus"):
        render_reel("main-01", drawn.cues.assign(source=name), drawn.excitation, corpus, tmp_path / "reel.wav")


def test_a_cue_sheet_of_another_excitation_is_refused(corpus: Path, tmp_path: Path) -> None:
    drawn = made(corpus, three(table(corpus)))
    for wrong in (drawn.cues[:-1], drawn.cues.assign(start=drawn.cues.start + 1), drawn.cues.assign(split="train")):
        with pytest.raises(ExcitationError, match="does not match the reel"):
            render_reel("main-01", wrong, drawn.excitation, corpus, tmp_path / "reel.wav")
    with pytest.raises(ExcitationError, match="has no reel main-99"):
        render_reel("main-99", drawn.cues, drawn.excitation, corpus, tmp_path / "reel.wav")
    with pytest.raises(ExcitationError, match="does not support"):
        render_reel("main-01", drawn.cues, {**drawn.excitation, "settings": {}}, corpus, tmp_path / "reel.wav")


def test_failed_rendering_leaves_no_file(corpus: Path, tmp_path: Path) -> None:
    drawn = made(corpus, small())
    beyond = drawn.cues.assign(source_start=10**9)
    with pytest.raises(ExcitationError, match="out of range"):
        render_reel("main-01", beyond, drawn.excitation, corpus, tmp_path / "reel.wav")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_reel(corpus: Path, tmp_path: Path) -> None:
    peaks = []
    for slices, minutes in ((100, 0.2), (1500, 2)):
        drawn = made(corpus, small(slices=slices, reel_minutes=minutes))
        tracemalloc.start()
        render_reel("main-01", drawn.cues, drawn.excitation, corpus, tmp_path / "reel.wav")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    audio = 1400 * 1500 * 4
    assert peaks[1] - peaks[0] < audio / 4
