from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.excitation.factories import add, noise, small, table
from twinlib.contracts import CUES, EXCITATION
from twinlib.errors import ExcitationError
from twinlib.excitation import cue_sheet as plan_module
from twinlib.excitation.cue_sheet import PEAK, SLICE_PEAK, CueSheet, draw_cue_sheet, max_gain_db, write_cue_sheet
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.sources import apply_fades, apply_gain, crossfade_ramp, rate_ratio, source_frames
from twinlib.excitation.splits import find_salt
from twinlib.files import read_json, read_table


def three(tracks: pd.DataFrame, **changes: object) -> Excitation:
    """Settings whose salt gives every split an artist."""
    shares = Split(train=0.6, valid=0.2, test=0.2)
    salt = find_salt(set(tracks.artist), shares)
    return small(split=shares.model_copy(update={"salt": salt}).model_dump(), **changes)


def planned(root: Path, settings: Excitation, **options: object) -> CueSheet:
    return draw_cue_sheet("main", settings, table(root), options.pop("excluded", set()), root, **options)


@pytest.fixture(scope="module")
def made(corpus: Path) -> CueSheet:
    return planned(corpus, three(table(corpus), slices=200, reel_minutes=0.1))


def test_cues_tile_the_blocks(made: CueSheet) -> None:
    settings = Excitation.from_record(made.excitation["settings"])
    step = settings.slice_samples - settings.crossfade_samples
    for reel, layout in made.excitation["reels"].items():
        mine = made.cues[made.cues.reel == reel]
        assert mine.position.tolist() == list(range(len(mine)))
        for block in layout["blocks"]:
            inside = mine[mine.split == block["split"]]
            assert inside.start.tolist() == [block["start"] + k * step for k in range(block["slices"])]
            assert inside.stop.iloc[-1] == block["stop"]
    assert len(made.cues) == settings.slices
    assert len(made.excitation["reels"]) > 1


def test_slices_lie_inside_their_sources(made: CueSheet, corpus: Path) -> None:
    tracks = table(corpus).set_index("path")
    frames = made.cues.source.map(tracks.frames)
    assert (made.cues.source_start >= 0).all()
    assert (made.cues.source_stop <= frames).all()
    assert (made.cues.source_stop - made.cues.source_start == 2000).all()
    assert (made.cues.source_sha256 == made.cues.source.map(tracks.sha256)).all()
    assert made.cues.source_start.nunique() > 190


def test_no_artist_is_in_two_splits(made: CueSheet) -> None:
    assert made.cues.groupby("artist").split.nunique().max() == 1
    assert set(made.cues.split) == {"train", "valid", "test"}
    by_cue = {split: set(mine.track_id) for split, mine in made.cues.groupby("split")}
    assert all(by_cue[split] <= set(made.excitation["tracks"][split]) for split in by_cue)


def test_levels_are_spread_evenly_in_decibels(made: CueSheet) -> None:
    assert made.cues.gain_db.between(-24, 0).all()
    counts, _ = np.histogram(made.cues.gain_db, bins=4, range=(-24, 0))
    assert counts.min() > 25


def test_seconds_add_up(made: CueSheet) -> None:
    blocks = [block for layout in made.excitation["reels"].values() for block in layout["blocks"]]
    total = sum(block["stop"] - block["start"] for block in blocks) / 44100
    assert sum(made.excitation["seconds"].values()) == pytest.approx(total, abs=1e-5)


def test_the_same_seed_gives_the_same_cues_and_another_seed_others(made: CueSheet, corpus: Path) -> None:
    settings = Excitation.from_record(made.excitation["settings"])
    again = planned(corpus, settings)
    pd.testing.assert_frame_equal(again.cues, made.cues)
    assert again.excitation == made.excitation
    shuffled = draw_cue_sheet("main", settings, table(corpus).sample(frac=1, random_state=1), set(), corpus)
    pd.testing.assert_frame_equal(shuffled.cues, made.cues)
    other = planned(corpus, settings.model_copy(update={"seed": 2}))
    assert (other.cues.source_start != made.cues.source_start).any()


def test_written_cue_sheets_are_reproducible_and_readable(made: CueSheet, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_cue_sheet(tmp_path / name, made)
    for name in ("cues.parquet", "excitation.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    pd.testing.assert_frame_equal(read_table(tmp_path / "a/cues.parquet", CUES), made.cues)
    assert read_json(tmp_path / "a/excitation.json", EXCITATION) == made.excitation


def test_excluded_tracks_are_not_drawn(corpus: Path) -> None:
    tracks = table(corpus)
    gone = set(tracks.track_id[:11])
    assert set(planned(corpus, small(), excluded=gone).cues.track_id) == set(tracks.track_id[11:])
    with pytest.raises(ExcitationError, match="every track of the corpus is excluded"):
        planned(corpus, small(), excluded=set(tracks.track_id))


def test_sources_are_drawn_in_proportion_to_their_duration(tmp_path: Path) -> None:
    add(tmp_path, "a/long.wav", noise(3))
    add(tmp_path, "b/short.wav", noise(1, rate=48000), 48000)
    counts = planned(tmp_path, small(slices=2000, reel_minutes=2)).cues.track_id.value_counts()
    assert counts["a/long"] / 2000 == pytest.approx(0.75, abs=0.04)


def test_slices_of_a_source_at_another_rate_start_on_its_grid(tmp_path: Path) -> None:
    add(tmp_path, "b/other.wav", noise(1, rate=48000), 48000)
    cues = planned(tmp_path, small()).cues
    assert (cues.source_start % rate_ratio(48000, 44100)[1] == 0).all()
    assert (cues.source_stop - cues.source_start == source_frames(2000, 48000, 44100)).all()
    assert (cues.source_stop <= 48000).all()


def test_a_short_source_is_skipped_and_reported(tmp_path: Path) -> None:
    add(tmp_path, "a/exact.wav", noise(1)[:2000])
    add(tmp_path, "b/short.wav", noise(1)[:1999])
    made = planned(tmp_path, small())
    assert set(made.cues.track_id) == {"a/exact"}
    assert set(made.cues.source_start) == {0}
    assert made.excitation["left_out"] == [{"source": "b/short.wav", "reason": "shorter than one slice (0.05 s)"}]
    assert made.excitation["tracks"]["train"] == ["a/exact"]


def test_a_corpus_of_short_sources_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "b/short.wav", noise(1)[:1999])
    with pytest.raises(ExcitationError, match="every source is shorter than one slice"):
        planned(tmp_path, small())


def test_silent_slices_are_redrawn(tmp_path: Path) -> None:
    samples = noise(2)
    samples[22050:] *= 1e-4
    add(tmp_path, "a/half.wav", samples, subtype="PCM_24")
    made = planned(tmp_path, small())
    assert made.cues.source_start.max() < 22050
    assert made.excitation["redrawn_silent"]["a/half.wav"] > 10


def test_a_silent_corpus_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "REDRAWS", 50)
    add(tmp_path, "a/zero.wav", np.zeros((44100, 1)))
    add(tmp_path, "b/zero.wav", np.zeros((4410, 1)))
    with pytest.raises(ExcitationError, match=r"50 consecutive slices were silent, .* from a/zero\.wav"):
        planned(tmp_path, small())


def test_opposite_channels_cancel_to_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "REDRAWS", 50)
    one = noise(1)
    add(tmp_path, "a/wide.wav", np.hstack([one, -one]), subtype="FLOAT")
    with pytest.raises(ExcitationError, match="were silent"):
        planned(tmp_path, small())
    assert len(planned(tmp_path, small(mono_from="left")).cues) == 40


def test_progress_counts_every_slice(corpus: Path) -> None:
    done: list[float] = []
    planned(corpus, small(), progress=lambda n, note="": done.append(n))
    assert sum(done) == 40


FADE = crossfade_ramp(20)
wave = arrays.arrays(np.float32, (64, 1), elements=st.floats(-4, 4, width=32))


@given(wave, wave)
@settings(deadline=None)
def test_gains_keep_every_sample_below_full_scale(first: np.ndarray, second: np.ndarray) -> None:
    none = np.zeros((0, 1), np.float32)
    before = apply_fades(first, FADE)
    before = apply_gain(before, min(0.0, max_gain_db(before, none)))
    assert np.abs(before).max() <= SLICE_PEAK + 1e-6
    after = apply_fades(second, FADE)
    after = apply_gain(after, min(0.0, max_gain_db(after, before[-20:])))
    assert np.abs(after).max(initial=0) <= SLICE_PEAK + 1e-6
    assert np.abs(before[-20:] + after[:20]).max() <= PEAK + 1e-6


@given(wave)
@settings(deadline=None)
def test_the_gain_is_lowered_only_if_needed(samples: np.ndarray) -> None:
    bound = max_gain_db(samples, np.zeros((20, 1), np.float32))
    peak = float(np.abs(samples).max())
    if peak > 1e-6:
        assert 20 * np.log10(SLICE_PEAK / peak) - 0.002 < bound <= 20 * np.log10(SLICE_PEAK / peak)


def test_a_slice_fits_next_to_a_neighbour_at_the_limit() -> None:
    # The worst case: both slices at full scale throughout, with the same sign.
    loud = apply_fades(np.full((64, 1), SLICE_PEAK, np.float32), FADE)
    assert max_gain_db(loud, loud[-20:]) > -9
