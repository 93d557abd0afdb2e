from pathlib import Path

import pytest

from tests.corpus.factories import sound
from twinlib.corpus.folder import list_folder, scan_folder


def test_ids_artists_and_titles_come_from_the_path(tmp_path: Path) -> None:
    sound(tmp_path / "Anna/Album/one.wav", 1)
    sound(tmp_path / "Anna/two.flac", 2)
    sound(tmp_path / "three.aiff", 3)
    sound(tmp_path / "Bert/four.OGG", 4, format="OGG", subtype="VORBIS")
    (tmp_path / "Anna/cover.jpg").write_bytes(b"x")
    sound(tmp_path / ".hidden/five.wav", 5)
    made = scan_folder(tmp_path)
    assert not made.problems
    about = [(source.track_id, source.artist, source.title, source.kind) for source in made.sources]
    assert about == [
        ("Anna/Album/one", "Anna", "one", "mix"),
        ("Anna/two", "Anna", "two", "mix"),
        ("Bert/four", "Bert", "four", "mix"),
        ("three", "three", "three", "mix"),
    ]
    assert list_folder(tmp_path) == [source.path for source in made.sources]


def test_links_to_files_and_folders_on_another_disk_are_followed(tmp_path: Path) -> None:
    sound(tmp_path / "disk/Bert/two.wav", 1)
    sound(tmp_path / "disk/three.wav", 3)
    root = tmp_path / "music"
    sound(root / "Anna/one.wav", 2)
    (root / "Anna/three.wav").symlink_to(tmp_path / "disk/three.wav")
    (root / "Bert").symlink_to(tmp_path / "disk/Bert")
    made = scan_folder(root)
    assert not made.problems
    assert [source.track_id for source in made.sources] == ["Anna/one", "Anna/three", "Bert/two"]
    assert [source.path for source in made.sources] == list_folder(root)


def test_links_that_form_a_loop_are_walked_once(tmp_path: Path) -> None:
    root = tmp_path / "music"
    sound(root / "Anna/one.wav", 1)
    sound(tmp_path / "disk/two.wav", 2)
    for number, target in enumerate([root, tmp_path, root / "Anna", tmp_path / "disk", tmp_path / "disk"]):
        (root / f"Anna/link{number}").symlink_to(target)
    (tmp_path / "disk/back").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/home").symlink_to(root)
    assert [source.track_id for source in scan_folder(root).sources] == ["Anna/link3/two", "Anna/one"]


def test_a_link_that_leads_nowhere_is_reported(tmp_path: Path) -> None:
    sound(tmp_path / "Anna/one.wav", 1)
    (tmp_path / "Anna/two.wav").symlink_to("/no/such/disk/two.wav")
    made = scan_folder(tmp_path)
    assert [problem.file for problem in made.problems] == ["Anna/two.wav"]
    assert "disk is mounted" in made.problems[0].reason
    assert list_folder(tmp_path) == [source.path for source in made.sources]


def test_a_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "Anna" / b"\xff.wav".decode("utf-8", "surrogateescape")
    try:
        path.parent.mkdir()
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has only UTF-8 names")
    made = scan_folder(tmp_path)
    assert not made.sources
    assert "not valid UTF-8" in made.problems[0].reason
    made.problems[0].file.encode("utf-8")
