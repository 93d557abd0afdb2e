"""Folders that workflow/fetch.smk copies from S3: which object becomes which file, and `python -m twinlib.fetch`.

A file beside the marker of a copy holds its sha256 and its path, as `sha256sum` writes them: Snakemake deletes the
marker itself before it runs the rule. A file with another sha256 is the user's, and is never replaced.
"""

import argparse
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from twinlib.cli_runtime import run
from twinlib.errors import TwinError
from twinlib.files import atomic_path, sha256_bytes, sha256_file, write_text
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


def forget_lost(markers: Path, files: Mapping[str, tuple[str, Path]]) -> None:
    """Delete the markers of missing files, so that these are fetched again; `files` is of `files_to_fetch`."""
    for digest, (_, path) in files.items():
        if not path.exists():
            (markers / digest).unlink(missing_ok=True)


def copy_object(source: Path, path: Path, sums: Path) -> None:
    """Copy a downloaded object to its file, and write its sha256.

    Raises `TwinError` if there is another file that is not the copy that `sums` holds, such as a take.
    """
    sha256 = sha256_file(source)
    found = sha256_file(path) if path.exists() else None
    if found != sha256:
        if found is not None and found != _copied(sums):
            raise TwinError(
                f"{path} differs from its object and is not an earlier copy of it: to replace it by the object, move "
                "it away, or delete it, and repeat the command"
            )
        with atomic_path(path) as aside:
            shutil.copyfile(source, aside)
    write_text(sums, f"{sha256}  {path}\n")


def _copied(sums: Path) -> str | None:
    """Return the sha256 in the file of a copy; None without one."""
    return sums.read_text(encoding="utf-8").partition("  ")[0] if sums.exists() else None


def main() -> None:
    """Copy one object."""
    parser = argparse.ArgumentParser(description="Copy a downloaded object to its file, and write its sha256.")
    for name in ("source", "path", "sums"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    copy_object(args.source, args.path, args.sums)


if __name__ == "__main__":
    run(main)
