"""Sources, problems and path checks shared by both layouts."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from twinlib.errors import CorpusError
from twinlib.formatting import CONTROL, escape_control
from twinlib.parsing import describe_error, require_file

Kind = Literal["mix", "stem", "raw"]

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg")
"""Supported formats, in order of preference if one name exists in several formats."""


BROKEN_LINK = "the target of the link does not exist: check that its disk is mounted"


@dataclass(frozen=True)
class Source:
    """One audio file of a track with its metadata; `path` is below the corpus root."""

    track_id: str
    artist: str
    title: str
    genre: str
    has_bleed: bool | None
    kind: Kind
    instrument: str
    path: Path


@dataclass(frozen=True)
class Problem:
    """A file that is skipped or only partly usable, with the reason; `file` is relative to the root if below it."""

    file: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """Result of scanning a layout: sources to index and problems to report."""

    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def normalise_name(text: str) -> str:
    """Return a name in Unicode NFC, lower case and single spaces, for comparisons."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden (macOS creates `._song.wav`)."""
    return path.name.startswith(".")


def is_audio(path: Path) -> bool:
    """Whether the path has the suffix of a sound file and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


def is_broken_link(path: Path) -> bool:
    """Whether a path is a link to a file or folder that does not exist."""
    return path.is_symlink() and not path.exists()


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted, except hidden ones.

    Follows a link to a folder elsewhere, but none to a folder that is already part of the walk.
    """
    walked = [folder.resolve()]
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and _is_new(Path(place, name), walked)
        ]
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _is_new(folder: Path, walked: list[Path]) -> bool:
    """Whether a folder is not a link into or above the walk; adds the target of a link to the places `walked`."""
    if not folder.is_symlink():
        return True
    target = folder.resolve()
    if walked[0].is_relative_to(target) or any(target.is_relative_to(place) for place in walked):
        return False
    walked.append(target)
    return True


def display_path(path: Path, root: Path) -> str:
    """Return a path for tables and messages: relative to the root if below it, with forward slashes, printable."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return escape_control(text.encode("utf-8", "backslashreplace").decode())


def path_problem(path: Path, root: Path) -> str | None:
    """Return the reason to skip a path: its name leaves the corpus root, or is not printable UTF-8; else None.

    Links may lead out of the root: the user made them, whereas names can come from metadata.
    """
    if ".." in path.parts or not path.is_relative_to(root):
        return "the path leaves the corpus root: skipped"
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8: rename the file"
    if CONTROL.search(str(path.relative_to(root))):
        return "the name holds control characters: rename the file"
    return None


def file_problem(path: Path, root: Path) -> str | None:
    """Return the reason to skip a file, that of `path_problem` or `read_problem`; else None."""
    return path_problem(path, root) or read_problem(path)


def read_problem(path: Path) -> str | None:
    """Return the reason why a file cannot be read: a broken link, no regular file, or no permission; else None."""
    if is_broken_link(path):
        return BROKEN_LINK
    try:
        require_file(path)
    except OSError as error:
        return f"{describe_error(error)}: skipped"
    return None if os.access(path, os.R_OK) else "it cannot be read: change its permissions"


def file_on_disk(path: Path, root: Path) -> tuple[Path | None, str | None]:
    """Return the file, or the same name in another format (such as a corpus converted to FLAC), and its problem."""
    if problem := path_problem(path, root):
        return None, problem
    formats = [path, *(path.with_suffix(suffix) for suffix in SUFFIXES)] if path.name else []
    there = next((each for each in formats if each.is_file() and is_audio(each)), None)
    if there is None:
        return None, read_problem(path) if is_broken_link(path) or path.exists() else None
    return there, file_problem(there, root)


def check_root(root: Path) -> None:
    """Raise `CorpusError` if the root is not a folder."""
    if not root.is_dir():
        raise CorpusError(
            f"the corpus root {root} is not a folder: set corpus.root to the folder of MedleyDB or your audio, and "
            "check that its disk is mounted"
        )
