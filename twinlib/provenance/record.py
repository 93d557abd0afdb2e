"""Stage records: beside its first output every stage says what it read, its settings and code, and what it made."""

import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from twinlib.errors import TwinError
from twinlib.files import read_json, sha256_bytes, sha256_file, write_json
from twinlib.provenance.code import digest

CONTRACT = "record/1"
SUFFIX = ".prov.json"


@dataclass
class Record:
    """What a running stage has read so far: sha256 by path. A stage adds files whose sums it takes itself."""

    inputs: dict[str, str] = field(default_factory=dict)

    def read(self, path: str, sha256: str) -> None:
        """Note an input whose sum the stage has taken or verified itself."""
        self.inputs[path] = sha256


def record_path(output: Path) -> Path:
    """Where the record of the stage that made `output` first stands."""
    return output.with_name(output.name + SUFFIX)


@contextmanager
def recorded(
    program: Path, inputs: Iterable[Path], outputs: Iterable[Path], params: Mapping[str, str]
) -> Iterator[Record]:
    """Run a stage and record it beside the first of its outputs (contract `record/1`).

    The inputs' sums are taken before the stage runs; a file that changes meanwhile fails the stage with `TwinError`,
    for nobody could say what it was made of. The record is written last, so that its presence means success.
    """
    inputs, outputs = list(inputs), list(outputs)
    root = Path(__file__).parents[2]
    started, clock = datetime.now(UTC), time.monotonic()
    before = {path: _stat(path) for path in inputs}
    record = Record({_name(path): sha256_file(path) for path in inputs})
    yield record
    for path in inputs:
        if _stat(path) != before[path] and sha256_file(path) != record.inputs[_name(path)]:
            raise TwinError(f"{path} changed while this stage read it: run again when nothing writes to it")
    write_json(
        record_path(outputs[0]),
        CONTRACT,
        {
            "program": program.resolve().relative_to(root).as_posix(),
            "params": dict(sorted(params.items())),
            "inputs": dict(sorted(record.inputs.items())),
            "outputs": {_name(path): sha256_file(path) for path in outputs},
            "code": digest(program.resolve(), root),
            "environment": environment(root),
            "git": _git(root),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
        },
    )


def read_record(path: Path) -> dict[str, Any]:
    """The content of a record: among others the mappings `params`, `inputs` and `outputs`, and the digest `code`."""
    return read_json(path, CONTRACT)


def started(output: Path) -> datetime | None:
    """When the stage began that made `output` as its first file, in UTC; None if there is no record beside it."""
    record = record_path(output)
    if not record.is_file():
        return None
    try:
        return datetime.fromisoformat(read_record(record)["started"])
    except (KeyError, TypeError, ValueError):
        raise TwinError(f"{record} does not say when its stage started: delete it and run again") from None


@cache
def environment(root: Path) -> dict[str, str]:
    """What the outputs may depend on besides code: Python, the machine's kind and the sum of the lock file."""
    lock = root / "requirements.lock"
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "lock": sha256_bytes(lock.read_bytes()) if lock.is_file() else "",
    }


def _git(root: Path) -> dict[str, str | bool]:
    try:
        commit = _run_git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _run_git(root: Path, *words: str) -> str:
    result = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run the stage that makes it, or put it there") from None
    return stat.st_size, stat.st_mtime_ns


def _name(path: Path) -> str:
    """Relative to the working directory where it lies below it, so that a copied project finds its files again."""
    resolved, here = path.absolute(), Path.cwd()
    return resolved.relative_to(here).as_posix() if resolved.is_relative_to(here) else resolved.as_posix()
