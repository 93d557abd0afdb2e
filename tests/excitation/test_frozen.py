"""A recorded reel is never made again with other bytes."""

from pathlib import Path

import pandas as pd
import pytest

from twinlib.corpus.settings import TRACKS, Corpus
from twinlib.errors import ExcitationError
from twinlib.excitation.frozen import changed_settings, recorded_settings, refuse_other_bytes, withdrawn_tracks
from twinlib.excitation.settings import CUES, Excitation
from twinlib.files import sha256_file, write_json, write_table

SETTINGS = Excitation(seed=1, slices=10)


def test_equal_settings_have_not_changed() -> None:
    assert changed_settings(SETTINGS, SETTINGS) == []


def test_every_changed_key_is_named_with_both_values() -> None:
    now = Excitation.model_validate({"seed": 2, "slices": 10, "split": {"salt": "other"}})
    assert changed_settings(SETTINGS, now) == ["seed: 1 -> 2", "split.salt: twin -> other"]


@pytest.mark.parametrize("kind", ["take", "simulate"])
def test_only_a_real_take_of_other_bytes_forbids_a_reel(tmp_path: Path, kind: str) -> None:
    reel = tmp_path / "main-01.wav"
    reel.write_bytes(b"as recorded")
    take = tmp_path / "devices" / "silk" / "main-01" / "take.json"
    write_json(take, "take/1", {"kind": kind, "path": "takes/main-01.wav", "dry_sha256": sha256_file(reel)})
    refuse_other_bytes("main-01", reel, tmp_path / "devices")
    reel.write_bytes(b"of another seed")
    refuse_other_bytes("main-02", reel, tmp_path / "devices")
    if kind == "take":
        with pytest.raises(ExcitationError, match=r"was recorded \(takes/main-01\.wav\)"):
            refuse_other_bytes("main-01", reel, tmp_path / "devices")
    else:
        refuse_other_bytes("main-01", reel, tmp_path / "devices")


def test_only_tracks_on_the_reels_are_withdrawn_from_them(tmp_path: Path) -> None:
    listed = tmp_path / "excluded.tsv"
    listed.write_text(
        "track_id\treason\tdate\n" + "".join(f"{name}\twithdrawn\t2026-01-31\n" for name in ("a/1", "d/1", "e/1"))
    )
    corpus = Corpus.model_validate(
        {"root": "c", "layout": "folder", "licence": "CC0", "exclude": str(listed), "exclude_artists": ["C"]}
    )
    assert withdrawn_tracks(tmp_path, "main", corpus) == [], "what is not planned holds nothing"
    rows = [("a/1", "a"), ("b/1", "b"), ("c/1", "c"), ("c/1", "c"), ("d/1", "d")]
    cues = pd.DataFrame(rows, columns=["track_id", "artist"])
    write_table(tmp_path / "excitations" / "main" / "cues.parquet", CUES, cues)
    known = pd.DataFrame(
        {"track_id": ["a/1", "b/1", "c/1", "e/1"], "artist": list("abce"), "genre": ["", "Noise", "", ""]}
    ).assign(has_bleed=pd.array([None, False, None, None], dtype="boolean"))
    for index in (False, True):
        if index:
            write_table(tmp_path / "corpus" / "tracks.parquet", TRACKS, known)
        assert withdrawn_tracks(tmp_path, "main", corpus) == ["a/1", "c/1", "d/1"], "e/1 is on no reel"
    assert withdrawn_tracks(tmp_path, "main", corpus.model_copy(update={"exclude_genres": ("noise",)})) == [
        *("a/1", "b/1", "c/1", "d/1")
    ]


def test_a_lost_file_does_not_hide_that_an_excitation_was_recorded(tmp_path: Path) -> None:
    settings = SETTINGS.model_dump_json(exclude={"probe_reel"})
    record = tmp_path / "excitations" / "main" / "cues.parquet.prov.json"
    write_json(record, "record/1", {"params": {"settings": settings}})
    assert recorded_settings(tmp_path, "main", []) is None, "nobody has recorded it"
    take = tmp_path / "devices" / "silk" / "main-01" / "take.json"
    write_json(take, "take/1", {"kind": "take", "path": "takes/main-01.wav"})
    assert recorded_settings(tmp_path, "main", []) == SETTINGS
