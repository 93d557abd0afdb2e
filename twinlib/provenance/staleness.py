"""Outputs that no longer match their inputs, by file content instead of modification time."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from twinlib.errors import TwinError
from twinlib.files import sha256_file, write_text
from twinlib.parsing import parse_json, read_text
from twinlib.provenance.record import SUFFIX, prefix_of, read_record
from twinlib.provenance.results import files_of

CACHE_FILE = ".sums.json"
"""Name of the checksum cache in a results folder. Safe to delete at any time."""

RACY_NS = 2_000_000_000
"""A file that changed within this time of its hashing may change again without a new timestamp."""


class ChecksumCache:
    """sha256 of files, cached by size, modification time, change time and inode.

    As in git's index, a checksum is not cached if the file has a timestamp within `RACY_NS` of the time of hashing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: dict[Path, str | None] = {}
        self._changed = False
        try:
            content = parse_json(read_text(path))
            self._known: dict[str, list[object]] = content if isinstance(content, dict) else {}
        except (OSError, ValueError):
            self._known = {}

    def sha256(self, path: Path) -> str | None:
        """Return the checksum of a file, or None if it does not exist. Each file is read at most once."""
        if path not in self._session:
            self._session[path] = self._lookup(path)
        return self._session[path]

    def _lookup(self, path: Path) -> str | None:
        try:
            stat = path.stat()
        except OSError:
            return None
        key, state = path.as_posix(), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(key)
        if isinstance(known, list) and known[:-1] == state:
            return str(known[-1])
        now, sha256 = time.time_ns(), sha256_file(path)
        if all(abs(now - moment) > RACY_NS for moment in (stat.st_mtime_ns, stat.st_ctime_ns)):
            self._known[key] = [*state, sha256]
            self._changed = True
        return sha256

    def save(self) -> None:
        """Write new checksums to the cache file. Ignores a read-only folder: the cache is optional."""
        if not self._changed:
            return
        try:
            write_text(self._path, json.dumps(self._known, sort_keys=True))
        except OSError:
            return
        self._changed = False


@dataclass(frozen=True)
class _Record:
    """A stage record with the current paths of its files."""

    inputs: dict[Path, str]
    outputs: dict[Path, str]
    upstream: dict[Path, str]
    chain_hash: str
    """Empty in records of earlier versions."""


def find_stale_outputs(results: Path, checksums: ChecksumCache) -> dict[str, str]:
    """Return the reason for each output that must be made again, by path.

    An output is stale if it is missing or its content differs from its stage record, if an input has changed since, or
    if an input now comes from another run of its stage (its chain hash differs). A stage with an unreadable record is
    stale. Missing inputs and records are left to the workflow engine. Writes nothing.
    """
    records: dict[Path, _Record] = {}
    stale: dict[str, str] = {}
    for path in _find_records(results):
        try:
            records[path] = _read(path, results)
        except (TwinError, AttributeError, KeyError, StopIteration, TypeError):
            stale[path.as_posix()] = f"{path} is not a readable stage record"
    chain_hashes = {
        file: record.chain_hash for record in records.values() if record.chain_hash for file in record.outputs
    }
    for path, record in records.items():
        if reason := _find_change(record, chain_hashes, checksums):
            stale |= {file.as_posix(): reason for file in (*record.outputs, path)}
    return stale


def _find_records(results: Path) -> list[Path]:
    if not results.is_dir():
        return []
    return sorted(path for _, path in files_of(results) if path.name.endswith(SUFFIX))


def _read(path: Path, results: Path) -> _Record:
    """Read a record; map the names of files in the results folder to their current paths."""
    content = read_record(path)
    before = prefix_of(content, path.relative_to(results).as_posix())

    def locate(name: str) -> Path:
        return results / name.removeprefix(before) if before and name.startswith(before) else Path(name)

    inputs, outputs, upstream = (
        {locate(name): str(value) for name, value in content.get(kind, {}).items()}
        for kind in ("inputs", "outputs", "upstream")
    )
    return _Record(inputs, outputs, upstream, str(content.get("link", "")))


def _find_change(record: _Record, chain_hashes: dict[Path, str], checksums: ChecksumCache) -> str | None:
    for file, sha256 in record.outputs.items():
        found = checksums.sha256(file)
        if found != sha256:
            return f"{file} is damaged or was edited" if found else f"{file} is missing"
    for file, sha256 in record.inputs.items():
        if checksums.sha256(file) not in (None, sha256):
            return f"{file} has changed"
    for file, chain_hash in record.upstream.items():
        if chain_hashes.get(file, chain_hash) != chain_hash:
            return f"{file} was made again"
    return None
