"""Artists in several splits of a recorded excitation."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.real_artists import REAL_TRACKS
from twinlib.contracts import CUES, SPLITS
from twinlib.corpus import Corpus
from twinlib.excitation import RecordedExcitations
from twinlib.excitation.divided import find_cue_families, find_divided_families
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.splits import assign_splits, find_salt, with_salt
from twinlib.excitation.sweeps import TRACK
from twinlib.files import write_json, write_table


def sheet(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame([*rows, *rows, (TRACK, TRACK, "train")], columns=["track_id", "artist", "split"])


def old_sheet(salt: str) -> pd.DataFrame:
    """The cue sheet of an older version, which took every credit of real metadata for another artist."""
    split = Split(salt=salt)
    split = split.model_copy(update={"salt": find_salt({credit for _, credit in REAL_TRACKS}, split)})
    splits = assign_splits(dict(REAL_TRACKS), split)
    return sheet(*((track_id, credit, splits[track_id]) for track_id, credit in REAL_TRACKS))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_without_the_tracks_left_out_no_family_is_in_two_splits_and_no_split_is_empty(number: int) -> None:
    cues = old_sheet(str(number))
    divided = find_divided_families(cues, {})
    families = find_cue_families(cues, {})
    left = cues[~cues.track_id.isin([track for one in divided for track in one.left_out]) & (cues.track_id != TRACK)]
    assert left.groupby(left.artist.map(families.by_credit)).split.nunique().max() == 1
    assert set(left.split) == set(cues.split)
    for one in divided:
        assert set(left[left.artist.map(families.by_credit) == one.family].split) == {one.kept}
        assert one.family in one.sentence


def test_a_new_split_of_real_artists_divides_no_family() -> None:
    families = find_cue_families(old_sheet("twin"), {})
    artists = {track_id: families.by_credit[credit] for track_id, credit in REAL_TRACKS}
    splits = assign_splits(artists, with_salt(artists, Split()))
    assert find_divided_families(sheet(*((track, credit, splits[track]) for track, credit in REAL_TRACKS)), {}) == []


def test_a_family_stays_in_train() -> None:
    cues = sheet(
        *(("MusicDelta_A", "Music Delta", "train"), ("MusicDelta_B", "Music Delta Multitracks", "test")),
        *(("Zoe_C", "Zoe", "valid"), ("Yves_D", "Yves", "test"), ("Music_E", "Anna", "train")),
    )
    (one,) = find_divided_families(cues, {})
    assert (one.family, one.kept, one.left_out) == ("Music Delta", "train", ["MusicDelta_B"])
    assert one.credits == {"train": ["Music Delta"], "test": ["Music Delta Multitracks"]}
    assert "the segments of train stay, 1 track is left out" in one.sentence


def test_a_family_that_is_a_whole_split_stays_there() -> None:
    rows = [("a/1", "Anna", "train"), ("b/1", "Bert", "train"), ("c/1", "Carl", "valid"), ("d/1", "Dora", "test")]
    assert find_divided_families(sheet(*rows), {}) == []
    (one,) = find_divided_families(sheet(*rows), {"Anna": ["Carl"]})
    assert (one.kept, one.left_out) == ("valid", ["a/1"])
    (one,) = find_divided_families(sheet(*rows), {"Anna": ["Bert", "Carl"]})
    assert (one.kept, one.left_out) == ("train", ["c/1"]), "no order leaves all splits filled"


@pytest.mark.parametrize("by", ["artist", "track"])
def test_only_recorded_excitations_with_splits_by_artist_are_searched(tmp_path: Path, by: str) -> None:
    excitation = Excitation.model_validate({"seed": 1, "slices": 10, "split": {"by": by}, "witness": False})
    folder = tmp_path / "excitations/main"
    rows = [("a/1", "Anna", "train"), ("b/1", "Bert", "train"), ("c/1", "Carl", "valid"), ("d/1", "Anna", "test")]
    write_table(folder / "cues.parquet", CUES, sheet(*rows, ("e/1", "Eve", "test")))
    write_json(folder / "excitation.json", "excitation/1", {"settings": excitation.planned})
    corpus = Corpus(root=tmp_path, artists={"Anna": ("Bert",)})

    def found() -> list[list[str]]:
        recorded = RecordedExcitations(tmp_path, {"main": excitation}, {})
        return [one.left_out for one in recorded.divided_families("main", corpus)]

    assert found() == []
    write_json(tmp_path / "devices/silk/main-01/take.json", "take/1", {"kind": "take"})
    assert found() == ([["d/1"]] if by == "artist" else [])
    (folder / "cues.parquet").unlink()
    assert found() == []


def test_the_splits_are_named_in_their_order() -> None:
    cues = sheet(("a/1", "Anna", "test"), ("a/2", "Anna", "valid"), ("a/3", "Anna", "train"), ("b/1", "Bert", "test"))
    (one,) = find_divided_families(cues, {})
    assert list(one.credits) == list(SPLITS)
