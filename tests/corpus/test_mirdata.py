import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.factories import sound
from twinlib.corpus import Corpus
from twinlib.corpus.index import index_corpus, source_files
from twinlib.corpus.mirdata import list_mirdata, scan_mirdata
from twinlib.errors import CorpusError

SONGS = {"MusicDelta_Beethoven": "MIX", "AClassicEducation_NightOwl": "STEM_08", "AimeeNorwich_Flying": "STEM_15"}


def unpack(root: Path, subset: str, names: list[str], **changes: Any) -> Path:
    """A subset of MedleyDB in the layout of mirdata, with the real metadata keys."""
    content = {}
    for number, name in enumerate(names):
        artist, title = name.split("_")[:2]
        sound(root / "audio" / f"{name}.wav", number, channels=1)
        content[name.removesuffix("_MIX")] = {
            "audio_path": f"medleydb_{subset}/audio/{name}.wav",
            "artist": artist,
            "title": title,
            "genre": "Rock",
            **({"instrument": "male singer"} if subset == "pitch" else {"n_sources": 18}),
            **changes,
        }
    (root / f"medleydb_{subset}_metadata.json").write_text(json.dumps(content))
    return root


def test_the_mixes_of_the_melody_subset_are_indexed(tmp_path: Path) -> None:
    unpack(tmp_path, "melody", ["MusicDelta_Beethoven_MIX", "AClassicEducation_NightOwl_MIX"])
    settings = Corpus(root=tmp_path)
    made = index_corpus(settings)
    assert not made.problems
    assert made.tracks.track_id.tolist() == ["AClassicEducation_NightOwl", "MusicDelta_Beethoven"]
    assert made.tracks.artist.tolist() == ["AClassicEducation", "MusicDelta"]
    assert set(made.tracks.kind) == {"mix"}
    assert {tmp_path / path for path in made.tracks.path} < set(source_files(settings))
    assert tmp_path / "medleydb_melody_metadata.json" in source_files(settings)


def test_stems_of_one_song_in_the_pitch_subset_are_one_track(tmp_path: Path) -> None:
    names = ["AimeeNorwich_Flying_STEM_03", "AimeeNorwich_Flying_STEM_15", "AClassicEducation_NightOwl_STEM_08"]
    unpack(tmp_path, "pitch", names)
    made = scan_mirdata(tmp_path, ("stems",))
    assert sorted(source.track_id for source in made.sources) == [
        "AClassicEducation_NightOwl",
        *["AimeeNorwich_Flying"] * 2,
    ]
    assert {(source.kind, source.instrument) for source in made.sources} == {("stem", "male singer")}


def test_a_subset_without_the_wanted_kind_names_the_key_to_set(tmp_path: Path) -> None:
    unpack(tmp_path, "pitch", ["AimeeNorwich_Flying_STEM_03"])
    with pytest.raises(CorpusError, match=r"has stems, not mix: set `corpus.audio: \[stems\]`"):
        source_files(Corpus(root=tmp_path))


def test_metadata_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"medleydb_pitch_metadata\.json lists no files: download it again"):
        scan_mirdata(unpack(tmp_path, "pitch", []), ["stems"])


def test_missing_files_are_reported_and_other_formats_found(tmp_path: Path) -> None:
    unpack(tmp_path, "melody", ["A_One_MIX", "B_Two_MIX", "C_Three_MIX"])
    (tmp_path / "audio/A_One_MIX.wav").unlink()
    (tmp_path / "audio/B_Two_MIX.wav").unlink()
    flac = sound(tmp_path / "audio/B_Two_MIX.flac", 2)
    made = scan_mirdata(tmp_path, ("mix",))
    assert [problem.file for problem in made.problems] == ["audio/A_One_MIX.wav"]
    assert flac in list_mirdata(tmp_path, ("mix",))


@pytest.mark.parametrize("place", ["x/../../secret.wav", "x/../db/../../secret.wav", "/../secret.wav"])
def test_paths_out_of_the_root_are_skipped(tmp_path: Path, place: str) -> None:
    sound(tmp_path / "secret.wav", 7)
    unpack(tmp_path / "db", "melody", ["A_One_MIX"], audio_path=place)
    made = scan_mirdata(tmp_path / "db", ("mix",))
    assert not made.sources
    assert "leaves the corpus root" in made.problems[0].reason


@pytest.mark.parametrize(
    "text", ["", "[1]", "[" * 9999, '{"a": 1}', '{"a": {}}', '{"a": {"audio_path": ["b"]}}', "\xff"]
)
def test_unusable_metadata_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "medleydb_melody_metadata.json").write_text(text, encoding="latin-1")
    with pytest.raises(CorpusError, match=r"medleydb_melody_metadata.json.*download"):
        scan_mirdata(tmp_path, ("mix",))


@pytest.mark.parametrize("song", SONGS)
def test_a_title_is_that_of_the_file_name_where_metadata_have_none(tmp_path: Path, song: str) -> None:
    unpack(tmp_path, "melody", [f"{song}_{SONGS[song]}"], title=None, artist="")
    source = scan_mirdata(tmp_path, ("mix", "stems")).sources[0]
    assert (source.track_id, source.artist, source.title) == (song, *song.split("_"))
