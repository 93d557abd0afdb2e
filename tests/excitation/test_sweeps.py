"""Sine sweeps in place of music slices."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.excitation.factories import RATE, add, noise, small, table
from twinlib import audio
from twinlib.errors import ExcitationError
from twinlib.excitation.cue_sheet import CueSheet, draw_cue_sheet
from twinlib.excitation.reels import list_source_files, render_reel
from twinlib.excitation.settings import Split
from twinlib.excitation.sweeps import TRACK, draw_sweep, is_sweep, make_sweep


@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from([8000, 44100, 96000]))
def test_a_sweep_spans_its_frequencies_below_the_limit(seed: int, rate: int) -> None:
    name = draw_sweep(np.random.default_rng(seed), rate)
    assert is_sweep(name)
    samples = make_sweep(name, rate, rate)
    first, last = (float(word) for word in name.removeprefix("sweep:").removesuffix("Hz").split("-"))
    assert max(first, last) <= 0.4 * rate + 0.01
    assert np.abs(samples).max() <= 1.0
    # The phase increment at the start is that of the first frequency.
    assert samples[:2].astype(float) == pytest.approx([0.0, np.sin(2 * np.pi * first / rate)], abs=0.03)
    periods = np.count_nonzero(np.diff(np.signbit(samples))) / 2
    mean = (last - first) / np.log(last / first) if abs(last / first - 1) > 1e-6 else first
    assert periods == pytest.approx(mean, abs=1.5)


@pytest.mark.parametrize("name", ["sweep:1-2Hz", "sweep:0.00-5.00Hz", "music.wav", "sweep:../x"])
def test_invalid_sweep_names_are_refused(name: str) -> None:
    with pytest.raises(ExcitationError, match="invalid sweep"):
        make_sweep(name, 10, RATE)


def planned(root: Path, share: float, slices: int = 400) -> CueSheet:
    for number in range(6):
        add(root, f"artist{number}/song.wav", noise(1.0, seed=number))
    split = Split(train=0.6, valid=0.2, test=0.2, salt="sweeps-3-2")
    settings = small(slices=slices, slice_samples=600, crossfade_samples=100, sweeps=share, split=split)
    return draw_cue_sheet("main", settings, table(root), set(), root)


def test_sweeps_replace_training_slices_only(tmp_path: Path) -> None:
    cues = planned(tmp_path, 0.25).cues
    swept = cues[cues.track_id == TRACK]
    assert set(swept.split) == {"train"}
    assert len(swept) / (cues.split == "train").sum() == pytest.approx(0.25, abs=0.07)
    assert all(map(is_sweep, swept.source))
    assert not any(map(is_sweep, cues[cues.track_id != TRACK].source))
    assert swept.source.nunique() == len(swept)
    assert (swept.gain_db.min() < -25, swept.gain_db.max() < 0) == (True, True)
    assert {name for name, _ in list_source_files(cues)} == set(cues[cues.track_id != TRACK].source)


def test_without_sweeps_no_random_number_is_drawn_for_them(tmp_path: Path) -> None:
    cues = planned(tmp_path, 0.0, slices=40).cues
    assert TRACK not in set(cues.track_id)
    before = [(-19.126, "artist5"), (-0.899, "artist3")]
    assert [(row.gain_db, row.artist) for row in cues.head(2).itertuples()] == before


def test_a_sweep_is_rendered_as_on_the_cue_sheet(tmp_path: Path) -> None:
    made = planned(tmp_path, 0.25)
    render_reel("main-01", made.cues, made.excitation, tmp_path, tmp_path / "main-01.wav")
    reel = audio.read(tmp_path / "main-01.wav")[:, 0]
    swept = made.cues[(made.cues.track_id == TRACK) & (made.cues.reel == "main-01")]
    for row in swept.head(20).itertuples():
        wanted = make_sweep(row.source, 600, RATE) * 10 ** (row.gain_db / 20)
        inside = slice(100, 500)
        assert reel[row.start : row.stop][inside] == pytest.approx(wanted[inside], abs=2e-6)
    assert np.abs(reel).max() <= 0.98 + 1e-6
