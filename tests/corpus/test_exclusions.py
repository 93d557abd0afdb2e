from pathlib import Path

import pandas as pd
import pytest

from tests.corpus.real_artists import REAL_TRACKS
from twinlib.corpus import Corpus
from twinlib.corpus.exclusions import (
    excluded_tracks,
    partial_exclusions,
    read_exclusions,
    read_tsv,
    unmatched_exclusions,
)
from twinlib.errors import CorpusError

HEADER = "track_id\treason\tdate\n"
TRACKS = pd.DataFrame(
    {
        "track_id": ["a", "b", "b", "c", "d"],
        "artist": ["Anna", "Bert", "Bert", "Cléo", "Dora"],
        "genre": ["Rock", "Jazz", "Jazz", "World/Folk", ""],
        "has_bleed": pd.array([True, False, False, None, True], dtype="boolean"),
    }
)


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "excluded.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_reasons_carry_their_date(tmp_path: Path) -> None:
    path = listed(tmp_path, HEADER + "a\twithdrawn\t2026-01-31\n\n b \tno licence\t2025-12-01\n")
    assert read_exclusions(path) == {"a": "withdrawn (2026-01-31)", "b": "no licence (2025-12-01)"}


def test_an_empty_list_excludes_nothing(tmp_path: Path) -> None:
    assert read_exclusions(listed(tmp_path, HEADER)) == {}


def test_a_list_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "excluded.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + 'a\tsaid "no"\t2026-01-31\n').replace("\n", "\r\n").encode())
    assert read_exclusions(path) == {"a": 'said "no" (2026-01-31)'}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must start with the header track_id, reason, date"),
        ("a,b,c\n", "must start with the header"),
        ("track_id\treason\n", "must start with the header"),
        (HEADER + "a\twhy\n", "line 2 must contain track_id, reason, date"),
        (HEADER + "a\twhy\t2026-01-31\tmore\n", "line 2 must contain"),
        (HEADER + "\twhy\t2026-01-31\n", "line 2 must contain"),
        (HEADER + "a\twhy\t2026-01-31\na\twhy\t2026-01-31\n", "line 3 lists the track a again"),
        (HEADER + "a\t\t2026-01-31\n", "no reason for a"),
        (HEADER + "a\twhy\t31.1.2026\n", "write it as 2026-01-31"),
    ],
)
def test_a_bad_list_is_refused_by_name_and_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason) as refused:
        read_exclusions(listed(tmp_path, text))
    assert "excluded.tsv" in str(refused.value)


def test_a_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        read_exclusions(tmp_path / "none.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="not readable as UTF-8"):
        read_tsv(tmp_path / "binary.tsv", ("track_id",))


def test_tracks_artists_genres_and_bleed(tmp_path: Path) -> None:
    def out(**settings: object) -> dict[str, str]:
        return excluded_tracks(TRACKS, Corpus.model_validate({"root": "x", **settings}))

    assert out() == {}
    path = listed(tmp_path, HEADER + "b\twithdrawn\t2026-01-31\nz\tunknown\t2026-01-31\n")
    assert out(exclude=path) == {"b": "withdrawn (2026-01-31)"}
    assert out(exclude_artists=["CLE\u0301O", " anna"]) == {
        "a": "the artist Anna is excluded",
        "c": "the artist Cléo is excluded",
    }
    assert out(exclude_genres=["jazz"]) == {"b": "the genre Jazz is excluded"}
    assert list(out(exclude_bleed=True)) == ["a", "d"]
    assert out(exclude=path, exclude_genres=["Jazz"])["b"].startswith("withdrawn")


def test_exclusions_without_a_match_are_reported(tmp_path: Path) -> None:
    path = listed(tmp_path, HEADER + "b\twithdrawn\t2026-01-31\nz\tunknown\t2026-01-31\n")
    settings = Corpus(root=Path("x"), exclude=path, exclude_artists=("Anna", "Zoe"), exclude_genres=("Polka",))
    assert unmatched_exclusions(TRACKS, settings) == ["track z", "artist Zoe", "genre Polka"]


REAL = pd.DataFrame(REAL_TRACKS, columns=["track_id", "artist"]).assign(genre="", has_bleed=None)


@pytest.mark.parametrize(
    ("name", "excluded", "left"),
    [
        ("Music Delta", 35, 0),
        ("music delta multitracks", 35, 0),
        ("MusicDelta", 35, 0),
        ("Hops ‘n’ Vinyl", 4, 0),
        ("Liz Nelson", 3, 0),
        ("Jennifer Davies", 2, 1),
        ("Beyonce", 1, 2),
        ("NYU", 5, 0),
        ("Wooldog", 5, 0),
    ],
)
def test_an_artist_is_excluded_under_every_name(name: str, excluded: int, left: int) -> None:
    settings = Corpus(root=Path("x"), exclude_artists=(name,))
    made = excluded_tracks(REAL, settings)
    assert len(made) == excluded
    assert all(reason.startswith("the artist ") for reason in made.values())
    assert unmatched_exclusions(REAL, settings) == []
    said = partial_exclusions(REAL, settings)
    assert len(said) == (left > 0)
    if left:
        assert f"{name} matches {excluded} tracks; {left} more" in said[0]


def test_an_exclusion_that_leaves_a_similar_name_says_so() -> None:
    tracks = pd.DataFrame(
        {"track_id": ["a/1", "b/1", "b/2"], "artist": ["Music Delta", *["Music Delta Multitracks"] * 2]}
    )
    tracks = tracks.assign(genre="", has_bleed=None)
    settings = Corpus(root=Path("x"), exclude_artists=("Music Delta",))
    assert list(excluded_tracks(tracks, settings)) == ["a/1"]
    (said,) = partial_exclusions(tracks, settings)
    assert "2 more (Music Delta Multitracks) with similar names are not excluded" in said
    aliased = settings.model_copy(update={"artists": {"Music Delta": ("Music Delta Multitracks",)}})
    assert list(excluded_tracks(tracks, aliased)) == ["a/1", "b/1", "b/2"]
    assert partial_exclusions(tracks, aliased) == []
    assert partial_exclusions(tracks, Corpus(root=Path("x"))) == []
