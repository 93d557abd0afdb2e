"""The layouts `medleydb_melody` and `medleydb_pitch` of mirdata: all files in one folder, metadata in one JSON file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from twinlib.corpus.sources import Kind, Problem, Scan, Source, display_path, file_on_disk
from twinlib.errors import CorpusError
from twinlib.formatting import escape_control
from twinlib.parsing import describe_error, parse_json, read_text

METADATA_FILES = ("medleydb_melody_metadata.json", "medleydb_pitch_metadata.json")

_METADATA_LIMIT = 1 << 24
"""Largest accepted metadata file in bytes."""

_KINDS: dict[str, Kind] = {"MIX": "mix", "STEM": "stem", "RAW": "raw"}
_NAME = re.compile(r"(?P<track>.+)_(?P<kind>MIX|STEM|RAW)(_\d+)*")


def mirdata_metadata(root: Path) -> list[Path]:
    """Return the metadata files of mirdata in the corpus root; empty for other layouts."""
    return [root / name for name in METADATA_FILES if (root / name).is_file()]


def list_mirdata(root: Path, words: Iterable[str]) -> list[Path]:
    """Return all sound and metadata files that this layout can depend on, sorted; raises as `scan_mirdata` does."""
    return sorted({*mirdata_metadata(root), *(source.path for source in scan_mirdata(root, words).sources)})


def scan_mirdata(root: Path, words: Iterable[str]) -> Scan:
    """Return the sources of the kinds in `words` (mix, stems, raw). Reports files that are missing on disk.

    All stems of a song belong to one track. Raises `CorpusError` for unusable metadata, or if there is no file of the
    kinds in `words`.
    """
    found, wanted = Scan(), {word.removesuffix("s") for word in words}
    kinds: set[str] = set()
    for metadata in mirdata_metadata(root):
        for source in _entries(metadata, root):
            kinds.add(source.kind)
            if source.kind not in wanted:
                continue
            path, problem = file_on_disk(source.path, root)
            if path is None or problem:
                name = display_path(source.path, root)
                found.problems.append(Problem(name, problem or "the file does not exist"))
            else:
                found.sources.append(replace(source, path=path))
    if not kinds:
        raise CorpusError(f"{mirdata_metadata(root)[0]} lists no files: download it again")
    if not kinds & wanted:
        held = ", ".join("stems" if kind == "stem" else kind for kind in sorted(kinds))
        raise CorpusError(f"{root} has {held}, not {', '.join(words)}: set `corpus.audio: [{held}]`")
    return found


def _entries(metadata: Path, root: Path) -> Iterator[Source]:
    for name, entry in sorted(_load(metadata).items()):
        place = entry.get("audio_path") if isinstance(entry, dict) else None
        if not isinstance(place, str):
            raise CorpusError(f"{metadata}: the entry {name} has no audio_path: download the metadata again")
        # The first part is the name of the data set, whatever the root is called.
        path = root.joinpath(*PurePosixPath(place.replace("\\", "/")).parts[1:])
        parts = _NAME.fullmatch(path.stem)
        track_id = parts["track"] if parts else path.stem
        artist, _, title = track_id.partition("_")
        about = [
            escape_control(str(entry.get(key) or "").strip()) for key in ("artist", "title", "genre", "instrument")
        ]
        kind = _KINDS[parts["kind"]] if parts else "mix"
        yield Source(track_id, about[0] or artist, about[1] or title, about[2], None, kind, about[3], path)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path, _METADATA_LIMIT))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} is not readable JSON ({describe_error(error)}): download it again") from None
    if not isinstance(content, dict):
        raise CorpusError(f"{path} has no entries by track: download it again")
    return content
