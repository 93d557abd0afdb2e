"""Cache of code digests by the content of the whole library: each checkout is analysed once, not in every process."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from twinlib.files import write_text
from twinlib.parsing import parse_json, read_text
from twinlib.provenance import code_digest
from twinlib.provenance.code_digest import COMPILED

MAX_FILES = 16
"""Number of checkouts in the cache; the oldest are removed."""


@dataclass(frozen=True)
class StageCode:
    """The digest of the code of a stage, and the versions of the packages that it uses."""

    digest: str
    packages: dict[str, str]


def stage_code(program: Path, root: Path, cache_folder: Path | None = None) -> StageCode:
    """Return the digest and the packages of a program of the checkout `root`, see `code_digest`.

    The cache is the folder for caches of this user; an unwritable or damaged one is ignored. Its entries depend on the
    content of all files that the analysis may read, so an edit of any of them makes a new entry.
    """
    folder = cache_folder or user_cache_path("twinlib") / "code"
    name = (program if program.is_absolute() else root / program).relative_to(root).as_posix()
    path = folder / f"{content_key(root)}.json"
    known = _entries(path)
    if name not in known:
        known[name] = StageCode(code_digest.digest(program, root), code_digest.packages(program, root))
        _save(path, known)
    return known[name]


@cache
def content_key(root: Path) -> str:
    """Return a digest of the names and contents of the library, the programs and the lock file."""
    total = hashlib.sha256()
    for path in _files(root):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            # Deleted since it was listed, such as the temporary file of an editor.
            continue
        total.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()[:32]


def clear_caches() -> None:
    """Forget what this process has read, for callers that edit files."""
    code_digest.clear_caches()
    content_key.cache_clear()
    _entries.cache_clear()


def _files(root: Path) -> Iterator[Path]:
    for folder in ("scripts", code_digest.LIBRARY):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in COMPILED and "__pycache__" not in path.parts and path.is_file():
                yield path
    if (lock := root / "requirements.lock").is_file():
        yield lock


@cache
def _entries(path: Path) -> dict[str, StageCode]:
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError):
        return {}
    return {name: entry for name, value in content.items() if (entry := _entry(value))} if _is_dict(content) else {}


def _entry(value: Any) -> StageCode | None:
    if not _is_dict(value) or not isinstance(value.get("digest"), str) or not _is_dict(value.get("packages")):
        return None
    return StageCode(value["digest"], {str(name): str(version) for name, version in value["packages"].items()})


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _save(path: Path, entries: dict[str, StageCode]) -> None:
    content = {name: {"digest": one.digest, "packages": one.packages} for name, one in sorted(entries.items())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))
        for old in sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)[:-MAX_FILES]:
            old.unlink(missing_ok=True)
    except OSError:
        return
