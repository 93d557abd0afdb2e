"""Track folders and metadata files of MedleyDB, wherever its archives were unpacked below the corpus root."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from twinlib.corpus.sources import BROKEN_LINK, Problem, display_path, is_broken_link, is_hidden
from twinlib.errors import CorpusError

METADATA_SUFFIX = "_METADATA.yaml"

_DEPTH = 3
"""Levels of folders between the root and a track folder, as in `MedleyDB/Audio/V1`."""

_OTHER_FOLDERS = {"metadata", "annotations", "__macosx"}
"""Folders next to the tracks that hold no audio."""


def find_track_folders(root: Path, extra: Path | None, problems: list[Problem] | None = None) -> list[Path]:
    """Return all track folders `<Artist_Title>` below the root, sorted by name, each name once.

    The tracks are in the root, or in up to three levels of folders such as `Audio`, `V1` or `Audio/V2`; any of them
    may be a link. Adds copies of a track and broken links to `problems`. Raises `CorpusError` if there is no track and
    no folder `Audio`.
    """
    problems = [] if problems is None else problems
    folders: dict[str, Path] = {}
    # Audio is the documented place: a copy of a track elsewhere never replaces it.
    for folder in sorted(_search(root, root, extra, _DEPTH, problems), key=lambda one: (not _in_audio(one, root), one)):
        first = folders.setdefault(folder.name, folder)
        if first.resolve() != folder.resolve():
            reason = f"the track is also in {display_path(first, root)}: skipped"
            problems.append(Problem(display_path(folder, root), reason))
    if not folders and not (root / "Audio").is_dir():
        raise CorpusError(
            f"{root} has no folder Audio, V1 or V2 and no track folder such as Artist_Title/Artist_Title_MIX.wav, so "
            "it does not have the MedleyDB layout: set corpus.root to the folder where MedleyDB was unpacked, or set "
            "`layout: folder` and a licence for any other tree of sound files"
        )
    return sorted(folders.values(), key=lambda one: one.name)


def metadata_path(folder: Path, root: Path, extra: Path | None) -> Path | None:
    """Return the metadata file of a track, or None.

    Searches the track folder, the folders `Metadata` next to and above it up to the root, the folder `extra`, and the
    Python package `medleydb` if it is installed.
    """
    name = folder.name + METADATA_SUFFIX
    above = [place / "Metadata" for place in folder.parents if place.is_relative_to(root)]
    places = [folder, *above, *(place for place in (extra, package_metadata()) if place)]
    return next((place / name for place in places if (place / name).is_file()), None)


def package_metadata() -> Path | None:
    """Return the folder with the metadata in the installed package `medleydb`, or None. Does not import it."""
    try:
        found = importlib.util.find_spec("medleydb")
    except (ImportError, ValueError):
        return None
    places = [Path(place) / "data" / "Metadata" for place in (found and found.submodule_search_locations) or ()]
    return next((place for place in places if place.is_dir()), None)


def _search(folder: Path, root: Path, extra: Path | None, depth: int, problems: list[Problem]) -> Iterator[Path]:
    shelf = folder != root and (folder == root / "Audio" or re.fullmatch(r"[Vv]\d+", folder.name) is not None)
    for child in _children(folder):
        if is_hidden(child) or child.name.lower() in _OTHER_FOLDERS:
            continue
        if not child.is_dir():
            if is_broken_link(child):
                problems.append(Problem(display_path(child, root), BROKEN_LINK))
            continue
        if _is_track(child, root, extra):
            yield child
            continue
        inner = list(_search(child, root, extra, depth - 1, problems)) if depth else []
        # A folder among tracks is a track too, even if its files have other names.
        yield from inner or ([child] if shelf else [])


def _is_track(folder: Path, root: Path, extra: Path | None) -> bool:
    """Whether a folder holds files or folders that start with its own name, or has metadata."""
    prefix = f"{folder.name}_"
    return any(path.name.startswith(prefix) for path in _children(folder)) or bool(metadata_path(folder, root, extra))


def _children(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, sorted; none if it is not readable, such as `lost+found` of a disk."""
    try:
        return sorted(folder.iterdir())
    except PermissionError:
        return []


def _in_audio(folder: Path, root: Path) -> bool:
    return folder.relative_to(root).parts[0] == "Audio"
