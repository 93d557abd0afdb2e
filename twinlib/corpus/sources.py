"""Sources, problems and path checks shared by both layouts."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from twinlib.errors import CorpusError

Kind = Literal["mix", "stem", "raw"]

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg")
"""Supported formats, in order of preference if one name exists in several formats."""


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


def is_audio(path: Path) -> bool:
    """Whether the path has the suffix of a sound file and is not hidden (macOS creates `._song.wav`)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted, except hidden ones; does not follow links to folders."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def display_path(path: Path, root: Path) -> str:
    """Return a path for tables and messages: relative to the root if below it, with forward slashes."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return text.encode("utf-8", "backslashreplace").decode()


def path_problem(path: Path, root: Path) -> str | None:
    """Return the reason to skip a path: it is outside the corpus root by name or link, or not UTF-8; else None."""
    if ".." in path.parts or not path.is_relative_to(root):
        return "the path leaves the corpus root: skipped"
    if not path.resolve().is_relative_to(root.resolve()):
        return "the file is a link out of the corpus root: skipped; copy it into the corpus, or set root to its folder"
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8: rename the file"
    return None


def check_root(root: Path) -> None:
    """Raise `CorpusError` if the root is not a folder."""
    if not root.is_dir():
        raise CorpusError(
            f"the corpus root {root} is not a folder: set corpus.root to the folder of MedleyDB or your audio, and "
            "check that its disk is mounted"
        )
