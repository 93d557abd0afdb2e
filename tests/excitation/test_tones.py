"""Steady sines in place of music slices."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.excitation.factories import RATE, add, noise, small, table
from twinlib import audio
from twinlib.errors import ExcitationError
from twinlib.excitation.cue_sheet import CueSheet, draw_cue_sheet
from twinlib.excitation.layout import slice_hop
from twinlib.excitation.probe_reel import probe_layout
from twinlib.excitation.recorded import changed_settings
from twinlib.excitation.reels import list_source_files, planned_settings, render_reel
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.tones import TONES, draw_tone, is_tone, make_tone, tone_hertz, tone_slices


@cache
def probe_hertz(rate: int) -> set[float]:
    return {tone.hz for section in probe_layout(rate).of("sine") for tone in section.tones}


@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from([8000, 44100, 96000]))
def test_a_tone_is_a_sine_of_its_frequency_away_from_the_probe_reel(seed: int, rate: int) -> None:
    name = draw_tone(np.random.default_rng(seed), rate)
    hertz = tone_hertz(name)
    assert is_tone(name)
    assert 40 <= hertz <= min(8000, 0.4 * rate)
    assert min(abs(hertz / probe - 1) for probe in probe_hertz(rate)) > 0.005
    place = np.arange(700, 1000)
    assert make_tone(name, 700, 300, rate) == pytest.approx(np.sin(2 * np.pi * hertz / rate * place), abs=1e-5)


@pytest.mark.parametrize("name", ["tone:1Hz", "tone:0.000Hz", "music.wav", "tone:../x"])
def test_invalid_tone_names_are_refused(name: str) -> None:
    with pytest.raises(ExcitationError, match="invalid tone"):
        make_tone(name, 0, 10, RATE)


def planned(root: Path, share: float, slices: int = 400) -> CueSheet:
    for number in range(6):
        add(root, f"artist{number}/song.wav", noise(1.0, seed=number))
    split = Split(train=0.6, valid=0.2, test=0.2, salt="sweeps-3-2")
    settings = small(slices=slices, slice_samples=1800, crossfade_samples=400, tones=share, split=split)
    return draw_cue_sheet("main", settings, table(root), set(), root)


def test_tones_replace_runs_of_training_slices(tmp_path: Path) -> None:
    made = planned(tmp_path, 0.25)
    cues, settings = made.cues, planned_settings(made.excitation)
    tones = cues[cues.track_id == TONES]
    assert set(tones.split) == {"train"}
    assert len(tones) / (cues.split == "train").sum() == pytest.approx(0.25, abs=0.1)
    assert {name for name, _ in list_source_files(cues)} == set(cues[cues.track_id != TONES].source)
    run = tone_slices(settings.slice_samples, settings.crossfade_samples, settings.sample_rate)
    assert run > 1
    for _, slices in tones.groupby("source"):
        assert len(slices) == run
        assert slices.position.diff().dropna().eq(1).all()
        assert slices.source_start.tolist() == [k * slice_hop(settings) for k in range(run)]
        assert slices.gain_db.nunique() == 1
    assert (tones.gain_db.min() < -30, tones.gain_db.max() <= -1) == (True, True)


def test_a_tone_is_steady_between_its_crossfades(tmp_path: Path) -> None:
    made = planned(tmp_path, 0.25)
    render_reel("main-01", made.cues, made.excitation, tmp_path, tmp_path / "main-01.wav")
    reel = audio.read(tmp_path / "main-01.wav")[:, 0]
    tones = made.cues[(made.cues.track_id == TONES) & (made.cues.reel == "main-01")]
    assert len(tones)
    for name, slices in tones.groupby("source"):
        start, stop = slices.start.min() + 400, slices.stop.max() - 400
        wanted = 10 ** (slices.gain_db.iloc[0] / 20) * make_tone(str(name), 400, stop - start, RATE)
        assert reel[start:stop] == pytest.approx(wanted, abs=2e-6)
    assert np.abs(reel).max() <= 0.98 + 1e-6


def test_excitations_of_older_versions_have_no_tones() -> None:
    now = Excitation(seed=1, slices=10)
    assert "tones" not in now.planned
    assert Excitation.from_record(now.planned) == now
    assert changed_settings(now, Excitation(seed=1, slices=10, tones=0.1)) == ["tones: None -> 0.1"]


def test_without_tones_no_random_number_is_drawn_for_them(tmp_path: Path) -> None:
    cues = planned(tmp_path, 0.0, slices=40).cues
    assert TONES not in set(cues.track_id)
    assert [(row.gain_db, row.artist) for row in cues.head(1).itertuples()] == [(-19.126, "artist5")]
