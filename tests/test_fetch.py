"""Which file an S3 object becomes."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from twinlib.errors import TwinError
from twinlib.fetch import Fetch, files_to_fetch

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
