from pathlib import Path

import numpy as np
import pytest

from tests.excitation.factories import table
from tests.excitation.test_cue_sheet import planned, three
from twinlib.audio import read, read_info
from twinlib.contracts import PROBE_FILE
from twinlib.errors import ExcitationError
from twinlib.excitation.layout import probe_name, read_reel, reel_names
from twinlib.excitation.probe_reel import (
    EXCERPT_DBFS,
    EXCERPT_SECONDS,
    parse_layout,
    probe_layout,
    render_probe_reel,
    synthesise,
)
from twinlib.excitation.sync_click import make_click
from twinlib.files import write_json


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_sections_follow_each_other_and_keep_their_levels(rate: int) -> None:
    plan = probe_layout(rate)
    assert 150 < plan.frames / rate < 200
    places = [plan.clicks[0] + plan.click_frames, *(at for s in plan.sections for at in (s.start, s.stop))]
    assert places == sorted(places)
    assert plan.sections[-1].stop < plan.clicks[-1] < plan.frames - rate
    for section in plan.sections:
        if section.kind in ("music", "silence", "marker"):
            continue
        samples = synthesise(section, rate)
        assert len(samples) == section.stop - section.start
        assert abs(samples[0]) < 1e-3
        assert abs(samples[-1]) < 1e-3
        peak = 20 * np.log10(np.abs(samples).max())
        assert section.level_dbfs is not None
        assert section.level_dbfs - 0.6 < peak < section.level_dbfs + 1e-3


def test_tones_have_odd_numbers_of_periods_and_no_leakage() -> None:
    rate = 44100
    plan = probe_layout(rate)
    for section in plan.of("sine", "smpte", "ccif", "multitone"):
        assert section.window is not None
        first, last = section.window[0] - section.start, section.window[1] - section.start
        spectrum = np.abs(np.fft.rfft(synthesise(section, rate)[first:last].astype(float))) * 2 / (last - first)
        tones = {tone.cycles: 10 ** (tone.dbfs / 20) for tone in section.tones}
        assert all(cycles % 2 for cycles in tones)
        assert len(tones) == len(section.tones)
        for cycles, size in tones.items():
            assert spectrum[cycles] == pytest.approx(size, rel=1e-4)
        rest = np.delete(spectrum, list(tones))
        assert rest.max() < 1e-6


def test_a_sweep_has_whole_periods_in_its_time_constant() -> None:
    for section in probe_layout(44100).of("sweep"):
        assert section.low_hz is not None
        assert section.constant is not None
        periods = section.low_hz * section.constant
        assert periods == pytest.approx(round(periods), abs=1e-9)


@pytest.mark.parametrize(("channels", "depth"), [(1, 24), (2, 16)])
def test_the_rendered_probe_reel_matches_its_layout(corpus: Path, tmp_path: Path, channels: int, depth: int) -> None:
    settings = three(table(corpus), channels=channels, bit_depth=depth, probe_reel=True)
    drawn = planned(corpus, settings)
    out = tmp_path / "main-probe.wav"
    content = render_probe_reel("main", drawn.cues, settings, corpus, out)
    again = render_probe_reel("main", drawn.cues, settings, corpus, tmp_path / "again.wav")
    assert again == content
    assert (tmp_path / "again.wav").read_bytes() == out.read_bytes()
    plan = parse_layout(content)
    assert plan == probe_layout(44100)
    samples = read(out)
    assert samples.shape == (plan.frames, channels)
    assert read_info(out).bit_depth == depth
    step = 2.0 ** (1 - depth)
    audible = np.zeros(plan.frames, bool)
    for section in plan.sections:
        audible[section.start : section.stop] = section.kind != "silence"
        if section.kind != "music":
            expected = synthesise(section, plan.sample_rate)
            np.testing.assert_allclose(samples[section.start : section.stop, -1], expected, atol=step)
    for place in plan.clicks:
        np.testing.assert_allclose(samples[place : place + plan.click_frames, 0], make_click(44100), atol=step)
        audible[place : place + plan.click_frames] = True
    assert not samples[~audible].any()
    first, second = (samples[section.start : section.stop] for section in plan.of("music"))
    np.testing.assert_array_equal(first, second)
    assert 20 * np.log10(np.abs(first).max()) == pytest.approx(EXCERPT_DBFS, abs=0.01)


def test_the_excerpt_is_from_the_test_split_with_its_sources(corpus: Path, tmp_path: Path) -> None:
    settings = three(table(corpus), bit_depth=32)
    drawn = planned(corpus, settings)
    content = render_probe_reel("main", drawn.cues, settings, corpus, tmp_path / "probe.wav")
    test_tracks = set(drawn.cues.track_id[drawn.cues.split == "test"])
    assert {piece["track_id"] for piece in content["excerpt"]} <= test_tracks
    assert sum(piece["frames"] for piece in content["excerpt"]) == round(EXCERPT_SECONDS * 44100)
    piece = content["excerpt"][0]
    source = read(corpus / piece["source"], piece["source_start"], piece["source_stop"]).mean(axis=1)
    music = parse_layout(content).of("music")[0]
    played = read(tmp_path / "probe.wav", music.start + 500, music.start + piece["frames"] - 500)[:, 0]
    gain = float(played @ source[500:-500] / (source[500:-500] @ source[500:-500]))
    np.testing.assert_allclose(played, gain * source[500:-500], atol=1e-5)


def test_a_changed_source_is_refused(corpus: Path, tmp_path: Path) -> None:
    settings = three(table(corpus))
    cues = planned(corpus, settings).cues.assign(source_sha256="0" * 64)
    with pytest.raises(ExcitationError, match="has changed since the reel was planned"):
        render_probe_reel("main", cues, settings, corpus, tmp_path / "probe.wav")


def test_clicks_of_the_probe_reel_are_read_from_its_own_file(tmp_path: Path) -> None:
    plan = probe_layout(44100)
    reel = {"frames": plan.frames, "clicks": list(plan.clicks)}
    content = {"sample_rate": 44100, "sections": [], "excerpt": [], "reels": {probe_name("main"): reel}}
    write_json(tmp_path / PROBE_FILE, "probe/1", content)
    assert read_reel(tmp_path / PROBE_FILE, "main-probe")["clicks"] == list(plan.clicks)
    with pytest.raises(ExcitationError, match="no reel main-01; its reels: main-probe"):
        read_reel(tmp_path / PROBE_FILE, "main-01")


def test_adding_a_probe_reel_changes_no_other_reel(corpus: Path) -> None:
    plain, asked = three(table(corpus)), three(table(corpus), probe_reel=True)
    assert plain.planned == asked.planned
    assert planned(corpus, plain).excitation == planned(corpus, asked).excitation
    assert probe_name("main") not in reel_names("main", asked)
