"""The layout of MedleyDB v1 and v2 (Bittner et al., ISMIR 2014 and 2016): folders, file names and metadata."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinlib.corpus.sources import (
    SUFFIXES,
    Kind,
    Problem,
    Scan,
    Source,
    display_path,
    file_on_disk,
    file_problem,
    is_audio,
    path_problem,
    read_problem,
    walk_files,
)
from twinlib.corpus.track_folders import find_track_folders, metadata_path
from twinlib.errors import CorpusError
from twinlib.formatting import CONTROL, escape_control
from twinlib.parsing import describe_error, parse_yaml, read_text

_METADATA_LIMIT = 1 << 20
"""Bytes; the largest metadata file of MedleyDB has 16 kB."""


@dataclass(frozen=True)
class ListedFile:
    """A file listed in the metadata, with its expected path."""

    kind: Kind
    path: Path
    instrument: str


@dataclass(frozen=True)
class Metadata:
    """The metadata fields of a track that the pipeline uses."""

    artist: str
    title: str
    genre: str
    has_bleed: bool | None
    files: list[ListedFile] = field(default_factory=list)


def list_medleydb(root: Path, words: Iterable[str], extra: Path | None) -> list[Path]:
    """Return all readable sound and metadata files that this layout can depend on, sorted, without parsing."""
    files = []
    left_out = tuple("_" + word.upper() for word in ("stems", "raw") if word not in words)
    for folder in find_track_folders(root, extra):
        found = metadata_path(folder, root, extra)
        files += [found] if found and not read_problem(found) else []
        files += [
            path
            for path in walk_files(folder)
            if is_audio(path) and not path.parent.name.endswith(left_out) and not file_problem(path, root)
        ]
    return sorted(files)


def scan_medleydb(root: Path, words: Iterable[str], extra: Path | None) -> Scan:
    """Return the sources of all tracks of the kinds in `words` (mix, stems, raw).

    Reports tracks without usable metadata, and indexes them by their file names. Reports and skips files that are in
    the metadata but not on disk, or the reverse.
    """
    found, wanted = Scan(), {word.removesuffix("s") for word in words}
    for folder in find_track_folders(root, extra, found.problems):
        problem = path_problem(folder, root)
        if problem:
            found.problems.append(Problem(display_path(folder, root), problem))
            continue
        meta = _metadata_or_names(folder, root, extra, found.problems)
        used: set[Path] = set()
        reported: set[Path] = set()
        for listed in meta.files:
            if listed.kind not in wanted:
                continue
            path, problem = file_on_disk(listed.path, root)
            if path is None or problem:
                reported.add(listed.path)
                found.problems.append(Problem(display_path(listed.path, root), problem or "the file does not exist"))
                continue
            if path in used:
                found.problems.append(
                    Problem(display_path(path, root), "the metadata lists this file twice: used once")
                )
                continue
            used.add(path)
            about = (meta.artist, meta.title, meta.genre, meta.has_bleed)
            found.sources.append(Source(folder.name, *about, listed.kind, listed.instrument, path))
        for path in _unlisted(folder, wanted - {"mix"}, used | reported):
            found.problems.append(Problem(display_path(path, root), "the metadata does not list this file: skipped"))
    return found


def parse_metadata(content: Any, folder: Path) -> Metadata:
    """Parse the metadata of the track in `folder` from YAML content; raises `CorpusError` with the invalid key."""
    if not isinstance(content, dict):
        raise CorpusError("it is not a mapping of keys to values")
    artist, title = _text(content, "artist"), _text(content, "title")
    if not artist or not title:
        raise CorpusError(f"it has no {'title' if artist else 'artist'}")
    files = [ListedFile("mix", folder / (_text(content, "mix_filename") or f"{folder.name}_MIX.wav"), "")]
    stems = folder / (_text(content, "stem_dir") or f"{folder.name}_STEMS")
    raws = folder / (_text(content, "raw_dir") or f"{folder.name}_RAW")
    for stem_key, stem in _mapping(content, "stems"):
        files.append(ListedFile("stem", stems / _file_name(stem, stem_key), _instrument(stem)))
        for raw_key, raw in _mapping(stem, "raw"):
            files.append(ListedFile("raw", raws / _file_name(raw, raw_key), _instrument(raw)))
    return Metadata(artist, title, _text(content, "genre"), _yes_no(content.get("has_bleed")), files)


def _metadata_or_names(folder: Path, root: Path, extra: Path | None, problems: list[Problem]) -> Metadata:
    path = metadata_path(folder, root, extra)
    if path is None:
        reason = "the track has no metadata: artist and title are taken from the folder name"
        problems.append(Problem(display_path(folder, root), reason))
        return _metadata_from_names(folder)
    try:
        return parse_metadata(_load(path), folder)
    except CorpusError as error:
        reason = f"the metadata is unusable ({error}): artist and title are taken from the folder name"
        problems.append(Problem(display_path(path, root), reason))
        return _metadata_from_names(folder)


def _metadata_from_names(folder: Path) -> Metadata:
    artist, _, title = folder.name.partition("_")
    files = []
    mixes = [folder / f"{folder.name}_MIX{suffix}" for suffix in SUFFIXES]
    files.append(ListedFile("mix", next((path for path in mixes if path.is_file()), mixes[0]), ""))
    for kind, place in (("stem", "STEMS"), ("raw", "RAW")):
        for path in walk_files(folder / f"{folder.name}_{place}"):
            if is_audio(path):
                files.append(ListedFile("stem" if kind == "stem" else "raw", path, ""))
    return Metadata(artist or folder.name, title or folder.name, "", None, files)


def _load(path: Path) -> Any:
    try:
        return parse_yaml(read_text(path, _METADATA_LIMIT))
    except (OSError, ValueError) as error:
        raise CorpusError(" ".join(describe_error(error).split())) from None


def _unlisted(folder: Path, kinds: set[str], used: set[Path]) -> list[Path]:
    places = {"stem": f"{folder.name}_STEMS", "raw": f"{folder.name}_RAW"}
    below = [path for kind in sorted(kinds) for path in walk_files(folder / places[kind])]
    return [path for path in below if is_audio(path) and path not in used]


def _text(content: dict[Any, Any], key: str) -> str:
    value = content.get(key)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise CorpusError(f"its {key} is not text")
    text = str(value).strip()
    if CONTROL.search(text):
        raise CorpusError(f"its {key} holds control characters")
    return text


def _mapping(content: dict[Any, Any], key: str) -> list[tuple[str, dict[Any, Any]]]:
    """Return the entries of a key such as `stems`, sorted; empty if the key is missing or empty."""
    value = content.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise CorpusError(f"its {key} are not named entries")
    return sorted((str(name), entry) for name, entry in value.items())


def _file_name(content: dict[Any, Any], name: str) -> str:
    found = _text(content, "filename")
    if not found:
        raise CorpusError(f"its entry {name} has no filename")
    return found


def _instrument(content: dict[Any, Any]) -> str:
    value = content.get("instrument")
    names = value if isinstance(value, list) else [value]
    return escape_control("; ".join(str(name).strip() for name in names if name is not None and str(name).strip()))


def _yes_no(value: Any) -> bool | None:
    # YAML 1.1 parses unquoted yes and no as booleans.
    if isinstance(value, bool):
        return value
    return {"yes": True, "no": False}.get(str(value).strip().lower())
