"""What both layouts share: the words for a source and a problem, and which files may be used at all."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from twinlib.errors import CorpusError

Kind = Literal["mix", "stem", "raw"]

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg")
"""The sound files that are used, in the order of preference when one name exists in several formats."""


@dataclass(frozen=True)
class Source:
    """One audio file of a track, and what is known about it; `path` lies under the corpus root."""

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
    """A file that is not used, or not as it should be, and why; `file` is relative to the root where it can be."""

    file: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a layout found: sources to index and problems to report."""

    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def normalise_name(text: str) -> str:
    """A name as it is compared: Unicode NFC, lower case, single spaces. File systems and people differ in all three."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def is_audio(path: Path) -> bool:
    """Whether the name is one of a sound file; hidden files (macOS leaves `._song.wav`) are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def walk_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, hidden ones left out, sorted; linked folders are not entered."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def display_path(path: Path, root: Path) -> str:
    """A path for tables and messages: relative to the root with forward slashes where it lies under it."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return text.encode("utf-8", "backslashreplace").decode()


def path_problem(path: Path, root: Path) -> str | None:
    """Why a path must not be read: it leaves the corpus root, by its name or through a link; else None."""
    if ".." in path.parts or not path.is_relative_to(root):
        return "the name leaves the corpus root: refused"
    if not path.resolve().is_relative_to(root.resolve()):
        return (
            "the file is a link that leaves the corpus root: refused; copy it into the corpus, or set root to its place"
        )
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8: rename the file"
    return None


def check_root(root: Path) -> None:
    """Raise `CorpusError` unless the root is a folder."""
    if not root.is_dir():
        raise CorpusError(
            f"the corpus root {root} is not a folder: set corpus.root to where MedleyDB or your audio is "
            "(for a disk that is not mounted: mount it)"
        )
