"""Tracks excluded after the recording stay excluded, even if the index or the cue sheet is missing."""

from pathlib import Path

import pandas as pd
import pytest

from tests.corpus.factories import track
from twinlib.contracts import CUES, TRACKS
from twinlib.corpus.index import index_corpus, write_index
from twinlib.corpus.settings import Corpus
from twinlib.excitation.recorded import find_excluded_tracks
from twinlib.excitation.sweeps import TRACK
from twinlib.files import write_table

GENRES = {"Anna_One": "Noise", "Bert_Two": "Rock", "Carl_Three": "Jazz", "Dora_Four": "Rock"}
ON_REEL = ("Anna_One", "Bert_Two", "Dora_Four", "Emil_Gone")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with bleed in one track; `Emil_Gone` was removed after the reels were made."""
    folder = tmp_path_factory.mktemp("corpus")
    for seed, (name, genre) in enumerate(GENRES.items()):
        track(folder, name, seed, genre=genre, has_bleed="yes" if name == "Dora_Four" else "no")
    return folder


@pytest.fixture
def results(root: Path, tmp_path: Path) -> Path:
    """A planned excitation and the index of the corpus."""
    write_index(tmp_path / "corpus", index_corpus(Corpus(root=root)))
    rows = [(name, f"{name.partition('_')[0]} the Artist") for name in (*ON_REEL, *ON_REEL)]
    cues = pd.DataFrame([*rows, (TRACK, TRACK)], columns=["track_id", "artist"])
    write_table(tmp_path / "excitations/main/cues.parquet", CUES, cues)
    return tmp_path


def without_index(results: Path) -> None:
    (results / "corpus/tracks.parquet").unlink()


def damaged(results: Path) -> None:
    path = results / "corpus/tracks.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_row(results: Path) -> None:
    """As if the sound file of a track were unreadable."""
    path = results / "corpus/tracks.parquet"
    table = pd.read_parquet(path)
    write_table(path, TRACKS, table[table["track_id"] != "Anna_One"])


@pytest.mark.parametrize("harm", [None, without_index, damaged, without_a_row])
def test_tracks_excluded_by_kind_stay_excluded_without_the_index(results: Path, root: Path, harm) -> None:
    if harm:
        harm(results)
    for excluded, expected in (
        ({}, []),
        ({"exclude_genres": ["noise"]}, ["Anna_One", "Emil_Gone"]),
        ({"exclude_bleed": True}, ["Dora_Four", "Emil_Gone"]),
        ({"exclude_artists": ["Bert the artist", "Emil the Artist"]}, ["Bert_Two", "Emil_Gone"]),
        ({"exclude_genres": ["Jazz"]}, ["Emil_Gone"]),
    ):
        corpus = Corpus.model_validate({"root": root, **excluded})
        assert find_excluded_tracks(results, "main", corpus) == expected, "sweeps: no genre; Carl_Three: on no reel"


def test_only_tracks_on_the_reels_are_withdrawn(results: Path, root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "excluded.tsv"
    names = ("Anna_One", "Carl_Three", "Emil_Gone", "Nobody_Knows")
    listed.write_text("track_id\treason\tdate\n" + "".join(f"{name}\twithdrawn\t2026-01-31\n" for name in names))
    corpus = Corpus(root=root, exclude=listed)
    assert find_excluded_tracks(results, "main", corpus) == ["Anna_One", "Emil_Gone"]


@pytest.mark.parametrize("harm", [None, without_index])
def test_without_a_cue_sheet_any_excluded_track_may_be_on_the_reels(
    results: Path, root: Path, tmp_path: Path, harm
) -> None:
    (results / "excitations/main/cues.parquet").unlink()
    if harm:
        harm(results)
    listed = tmp_path / "excluded.tsv"
    listed.write_text("track_id\treason\tdate\nEmil_Gone\twithdrawn\t2026-01-31\n")
    corpus = Corpus(root=root, exclude=listed, exclude_genres=("noise",), exclude_artists=("Carl the Artist",))
    assert find_excluded_tracks(results, "main", corpus) == ["Anna_One", "Carl_Three", "Emil_Gone"]
