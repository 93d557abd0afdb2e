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


def test_a_link_out_of_the_root_is_skipped(tmp_path: Path) -> None:
    secret = sound(tmp_path / "secret.wav", 1)
    root = tmp_path / "music"
    sound(root / "Anna/one.wav", 2)
    (root / "Anna/two.wav").symlink_to(secret)
    made = scan_folder(root)
    assert [source.track_id for source in made.sources] == ["Anna/one"]
    assert "link out of the corpus root" in made.problems[0].reason


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
