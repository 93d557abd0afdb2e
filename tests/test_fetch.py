"""Which file an S3 object becomes."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from twinlib.errors import TwinError
from twinlib.fetch import Fetch, copy_object, files_to_fetch, forget_lost
from twinlib.files import sha256_bytes

TAKES = Fetch(url="s3://studio/silk/takes", folder="my recordings")


def test_objects_become_files_of_the_folder() -> None:
    names = ["silk/takes/", "silk/takes/a.wav", "silk/takes/day 2/b & c 100% 'x' $HOME.wav"]
    found = files_to_fetch(TAKES, names)
    assert dict(found.values()) == {
        "s3://studio/silk/takes/a.wav": Path("my recordings/a.wav"),
        f"s3://studio/{names[2]}": Path("my recordings/day 2/b & c 100% 'x' $HOME.wav"),
    }
    assert TAKES.bucket == "studio"
    assert TAKES.prefix == "silk/takes/"


@pytest.mark.parametrize("name", ["../a.wav", "x/../../a.wav", "/etc/a.wav", "x//a.wav", "./a.wav"])
def test_no_object_leaves_the_folder(name: str) -> None:
    with pytest.raises(TwinError, match=r"does not name a file in my recordings: rename the object"):
        files_to_fetch(TAKES, [f"silk/takes/{name}"])


@pytest.mark.parametrize("name", ["Song #2.wav", "{x}.wav", "why?.wav"])
def test_names_that_the_plugin_cannot_read_are_refused(name: str) -> None:
    with pytest.raises(TwinError, match=r"cannot be fetched: rename the object"):
        files_to_fetch(TAKES, [f"silk/takes/{name}"])


@pytest.mark.parametrize(
    "url", ["http://studio/takes", "s3://studio", "s3://studio/", "s3://studio/a/", "s3://studio/{a}"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Fetch(url=url, folder="takes")


def test_a_lost_file_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"a take")
    kept, lost = tmp_path / "takes" / "kept.wav", tmp_path / "takes" / "lost.wav"
    for path in (kept, lost):
        copy_object(tmp_path / "object", path, tmp_path / "markers" / f"{path.stem}.sha256")
        (tmp_path / "markers" / path.stem).touch()
        assert path.read_bytes() == b"a take"
    lost.unlink()
    forget_lost(
        tmp_path / "markers", {"kept": ("s3://a/b", kept), "lost": ("s3://a/c", lost), "new": ("s3://a/d", lost)}
    )
    assert sorted(path.name for path in (tmp_path / "markers").iterdir()) == ["kept", "kept.sha256", "lost.sha256"]


def test_only_an_unchanged_copy_is_replaced(tmp_path: Path) -> None:
    source, path, sums = (tmp_path / name for name in ("object", "take.wav", "sums"))
    # The copy of a killed run, without its sum.
    source.write_bytes(b"first")
    path.write_bytes(b"first")
    copy_object(source, path, sums)
    assert sums.read_text() == f"{sha256_bytes(b'first')}  {path}\n"
    source.write_bytes(b"second")
    copy_object(source, path, sums)
    assert path.read_bytes() == b"second"
    source.write_bytes(b"third")
    path.write_bytes(b"a take of mine")
    for content in (sums.read_text(), "", None):
        sums.unlink()
        if content is not None:
            sums.write_text(content)
        with pytest.raises(TwinError, match=r"take\.wav differs .* move it away, or delete it, and repeat"):
            copy_object(source, path, sums)
        assert path.read_bytes() == b"a take of mine"
        sums.write_text("")
    path.unlink()
    copy_object(source, path, sums)
    assert path.read_bytes() == b"third"
