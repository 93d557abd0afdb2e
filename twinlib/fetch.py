"""Folders that workflow/fetch.smk copies from S3: which object becomes which file."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from twinlib.errors import TwinError
from twinlib.files import sha256_bytes
from twinlib.section import Section, require_plain

UNREADABLE = "{}#?"
"""Characters in the name of an object that the S3 plugin of Snakemake cannot read: wildcards and parts of a URL."""


class Fetch(Section):
    """A folder of an S3 bucket to copy, with `snakemake --snakefile workflow/fetch.smk`, before a run reads it."""

    url: Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]+/[^/{}#?]([^{}#?]*[^/{}#?])?$")]
    """The bucket and the folder in it, such as `s3://studio/MedleyDB`."""
    folder: Annotated[str, AfterValidator(require_plain)]
    """The folder to copy to, such as `corpus.root` or the folder of the takes."""

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self.url.removeprefix("s3://").split("/", 1)[0]

    @property
    def prefix(self) -> str:
        """The prefix of the names of the objects, with a slash at its end."""
        return self.url.removeprefix("s3://").split("/", 1)[1] + "/"


def files_to_fetch(entry: Fetch, names: Iterable[str]) -> dict[str, tuple[str, Path]]:
    """Return the URL and the file of each object of a folder, by the first 20 digits of the sha256 of both.

    `names` are names of objects in the bucket that start with `entry.prefix`; names of folders, with a slash at their
    end, are left out. Raises `TwinError` for a name that leaves the folder or has a character in `UNREADABLE`.
    """
    found = {}
    for name in names:
        if name.endswith("/"):
            continue
        url, place = f"s3://{entry.bucket}/{name}", PurePosixPath(name.removeprefix(entry.prefix))
        if ".." in place.parts or place.is_absolute() or str(place) != name.removeprefix(entry.prefix):
            raise TwinError(f"{url} does not name a file in {entry.folder}: rename the object")
        if unreadable := [character for character in UNREADABLE if character in name]:
            raise TwinError(f"{url}: names with {' '.join(unreadable)} cannot be fetched: rename the object")
        path = Path(entry.folder) / place
        found[sha256_bytes(f"{url}\0{path}".encode())[:20]] = url, path
    return found
