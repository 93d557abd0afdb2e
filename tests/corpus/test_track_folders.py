"""MedleyDB as its archives unpack."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.factories import metadata, sound, track, write_metadata
from twinlib.corpus.medleydb import list_medleydb, scan_medleydb
from twinlib.corpus.sources import Problem
from twinlib.corpus.track_folders import find_track_folders, package_metadata
from twinlib.errors import CorpusError

NAMES = ["AnnaOne_Air", "AnnaOne_Song", "BandTwo_Song", "EveThree_Blues"]


def unpack(place: Path, *shelves: str) -> Path:
    """The tracks, divided between the shelves, with their metadata in the folder `Metadata` of `place`."""
    for number, name in enumerate(NAMES):
        shelf = place / shelves[number % len(shelves)]
        sound(shelf / name / f"{name}_MIX.wav", number)
        sound(shelf / name / f"{name}_STEMS" / f"{name}_STEM_01.wav", number + 100)
        write_metadata(place / "Metadata", name, metadata(name))
    return place


def linked(place: Path) -> Path:
    """A folder `Audio` that is a link to a folder of tracks on another disk."""
    unpack(place / "disk", "V1")
    (place / "db").mkdir()
    (place / "db/Audio").symlink_to(place / "disk/V1")
    (place / "db/Metadata").symlink_to(place / "disk/Metadata")
    return place / "db"


def merged(place: Path) -> Path:
    """A folder `Audio` of links to single tracks on two disks."""
    unpack(place / "disk", "V1", "V2")
    (place / "db/Audio").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (place / "db/Audio" / name).symlink_to(place / "disk" / f"V{number % 2 + 1}" / name)
    (place / "db/Metadata").symlink_to(place / "disk/Metadata")
    return place / "db"


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "documented": lambda place: unpack(place, "Audio"),
    "as unpacked": lambda place: unpack(place, "V1", "V2"),
    "one archive": lambda place: unpack(place, "V1"),
    "below Audio": lambda place: unpack(place, "Audio/V1", "Audio/V2"),
    "one of each": lambda place: unpack(place, "Audio", "V2"),
    "tracks in the root": lambda place: unpack(place, "."),
    "a folder around it": lambda place: unpack(place / "MedleyDB", "Audio/V1", "V2").parent,
    "linked": linked,
    "merged": merged,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_way_to_unpack_medleydb_is_indexed(tmp_path: Path, layout: str) -> None:
    root = LAYOUTS[layout](tmp_path)
    made = scan_medleydb(root, ("mix", "stems"), None)
    assert [problem for problem in made.problems if "RAW" not in problem.file] == []
    assert [(source.track_id, source.kind) for source in made.sources] == [
        (name, kind) for name in NAMES for kind in ("mix", "stem")
    ]
    assert {source.artist for source in made.sources} == {f"{name.split('_')[0]} the Artist" for name in NAMES}
    watched = set(list_medleydb(root, ("mix", "stems"), None))
    assert {source.path for source in made.sources} <= watched
    assert sum(path.suffix == ".yaml" for path in watched) == len(NAMES)


def test_a_link_from_audio_to_an_unpacked_folder_counts_its_tracks_once(tmp_path: Path) -> None:
    root = unpack(tmp_path, "V1")
    (root / "Audio").symlink_to("V1")
    problems: list[Problem] = []
    found = find_track_folders(root, None, problems)
    assert [folder.relative_to(root).as_posix() for folder in found] == [f"Audio/{name}" for name in NAMES]
    assert not problems


def test_a_copy_of_a_track_is_reported_and_the_one_in_audio_used(tmp_path: Path) -> None:
    track(tmp_path, "Zoe_Song", 1)
    sound(tmp_path / "A copy/Zoe_Song/Zoe_Song_MIX.wav", 1)
    problems: list[Problem] = []
    assert find_track_folders(tmp_path, None, problems) == [tmp_path / "Audio/Zoe_Song"]
    assert [problem.file for problem in problems] == ["A copy/Zoe_Song"]
    assert "also in Audio/Zoe_Song" in problems[0].reason


def test_a_track_with_files_of_other_names_is_found_by_its_metadata(tmp_path: Path) -> None:
    extra = tmp_path / "elsewhere"
    for place in ("V1/Anna_Song", "Bert_Song", "Annotations/Zoe_Song"):
        sound(tmp_path / "db" / place / "mix.wav", 1)
        name = place.rsplit("/", 1)[-1]
        write_metadata(extra, name, metadata(name, mix_filename="mix.wav"))
    made = scan_medleydb(tmp_path / "db", ("mix",), extra)
    assert [source.track_id for source in made.sources] == ["Anna_Song", "Bert_Song"]


@pytest.mark.parametrize("place", ["Audio", "Audio/V1", "V2"])
def test_a_folder_among_tracks_without_their_files_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / place / "Anna_Song").mkdir(parents=True)
    made = scan_medleydb(tmp_path, ("mix",), None)
    assert not made.sources
    assert [problem.file for problem in made.problems] == [
        f"{place}/Anna_Song",
        f"{place}/Anna_Song/Anna_Song_MIX.wav",
    ]


def test_a_link_to_a_disk_that_is_not_mounted_is_reported(tmp_path: Path) -> None:
    track(tmp_path, "Anna_Song", 1)
    (tmp_path / "V2").symlink_to("/no/such/disk/V2")
    made = scan_medleydb(tmp_path, ("mix",), None)
    assert len(made.sources) == 1
    assert [problem.file for problem in made.problems] == ["V2"]
    assert "disk is mounted" in made.problems[0].reason


def test_loops_of_links_end(tmp_path: Path) -> None:
    track(tmp_path, "Anna_Song", 1)
    (tmp_path / "Audio/loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert [folder.name for folder in find_track_folders(tmp_path, None)] == ["Anna_Song"]


def test_the_metadata_of_the_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages/medleydb"
    write_metadata(package / "data/Metadata", "Anna_Song", metadata("Anna_Song"))
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    sound(tmp_path / "db/V1/Anna_Song/Anna_Song_MIX.wav", 1)
    assert scan_medleydb(tmp_path / "db", ("mix",), None).sources[0].artist == "Anna"
    monkeypatch.syspath_prepend(str(package.parent))
    assert package_metadata() == package / "data/Metadata"
    assert scan_medleydb(tmp_path / "db", ("mix",), None).sources[0].artist == "Anna the Artist"
    assert package / "data/Metadata/Anna_Song_METADATA.yaml" in list_medleydb(tmp_path / "db", ("mix",), None)


def test_another_layout_is_refused_with_the_remedy(tmp_path: Path) -> None:
    sound(tmp_path / "Anna/one.wav", 1)
    with pytest.raises(CorpusError, match=r"no folder Audio, V1 or V2.*layout: folder"):
        find_track_folders(tmp_path, None)
