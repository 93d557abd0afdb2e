"""Stage records: the inputs, parameters, code and outputs of a stage, in a file next to its first output.

The records form a hash chain. The chain hash of a record (key `link`) covers the chain hashes of the records of its
inputs. The chain hash of a twin's record therefore identifies the whole history of the twin, back to the corpus.
"""

import json
import os
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

from twinlib.contracts import RECORD, TAKE
from twinlib.errors import TwinError
from twinlib.files import read_json, sha256_bytes, sha256_file, write_json
from twinlib.provenance.digest_cache import stage_code

SUFFIX = ".prov.json"


CPU_FEATURES = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
"""CPU features that change the last bits of floating-point results, by their Linux names."""


@dataclass
class Record:
    """The record of a running stage."""

    program: str
    params: dict[str, str]
    code: str
    inputs: dict[str, str]
    """sha256 by path."""
    upstream: dict[str, str]
    """Chain hash of the record of each input, by path. External inputs are not listed."""
    environment: dict[str, str] = field(default_factory=dict)
    """Further facts about the environment, such as `kernels`. They do not enter the chain hash."""

    def add_input(self, path: str, sha256: str) -> None:
        """Add an input that the stage has hashed or verified itself."""
        self.inputs[path] = sha256

    def sha256(self, path: Path) -> str:
        """Return the checksum of an input, computed before the stage runs."""
        return self.inputs[_name(path)]

    @property
    def chain_hash(self) -> str:
        """The chain hash of this stage (`chain_hash_of`), for outputs that embed it."""
        return chain_hash_of(vars(self))


def require_take_files(record: Record, take: Path, wet: Path, dry: Path) -> None:
    """Raise `TwinError` if an input of a stage is not the recording or the dry file that `take.json` describes."""
    content = read_json(take, TAKE)
    for path, sha256 in ((wet, content["sha256"]), (dry, content["dry_sha256"])):
        if record.sha256(path) != sha256:
            raise TwinError(
                f"{path} has changed since {take} was made: its sha256 is {record.sha256(path)}, not {sha256}. Run "
                "snakemake again to ingest and align it again"
            )


def record_path(output: Path) -> Path:
    """Return the path of the record of the stage whose first output is `output`."""
    return output.with_name(output.name + SUFFIX)


@contextmanager
def stage_record(
    program: Path, inputs: Iterable[Path], outputs: Iterable[Path], params: Mapping[str, str]
) -> Iterator[Record]:
    """Run a stage and write its record next to its first output (contract `record/1`).

    Hashes the inputs before the stage runs. Raises `TwinError` if an input differs from the record of the stage that
    made it, or changes while the stage runs. The record is written last: its presence means success.
    """
    inputs, outputs = list(inputs), list(outputs)
    root = Path(__file__).parents[2]
    code = stage_code(program.resolve(), root)
    started, clock = datetime.now(UTC), time.monotonic()
    before = {path: _stat(path) for path in inputs}
    checksums = {_name(path): sha256_file(path) for path in inputs}
    record = Record(
        program=program.resolve().relative_to(root).as_posix(),
        params=dict(sorted(params.items())),
        code=code.digest,
        inputs=checksums,
        upstream=_upstream(inputs, checksums),
    )
    yield record
    for path in inputs:
        if _stat(path) != before[path] and sha256_file(path) != record.inputs[_name(path)]:
            raise TwinError(f"{path} changed while this stage read it: run again when no other program writes to it")
    content = {
        "program": record.program,
        "params": record.params,
        "inputs": dict(sorted(record.inputs.items())),
        "upstream": dict(sorted(record.upstream.items())),
        "outputs": {_name(path): sha256_file(path) for path in outputs},
        "code": record.code,
        "link": record.chain_hash,
        "environment": {**environment(root), **record.environment, "packages": code.packages},
        "git": _git(root),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 3),
    }
    write_json(record_path(outputs[0]), RECORD, {**content, "sum": checksum_of(content)})


def prefix_of(content: Mapping[str, Any], name: str) -> str:
    """Return the prefix of file names in the results folder when a stage ran, such as `results/demo/`, or "".

    `name` is the current path of the record, relative to the results folder. The prefix follows from the name of the
    first output in the record: this output is next to the record.
    """
    first, made = next(iter(content["outputs"]), ""), name.removesuffix(SUFFIX)
    before = first.removesuffix(made)
    return before if first.endswith(made) and (not before or before.endswith("/")) else ""


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a record, such as the mappings `params`, `inputs` and `outputs` and the digest `code`."""
    return read_json(path, RECORD)


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a record without its key `sum`, which stores it. An edited record does not match."""
    rest = {key: value for key, value in content.items() if key != "sum"}
    return sha256_bytes(json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def chain_hash_of(content: Mapping[str, Any]) -> str:
    """Return the chain hash of a record, 64 hexadecimal digits.

    It is the sha256 of the program, the parameters, the code digest, and the checksums and chain hashes of the inputs.
    It does not depend on file names, times, machine or commit, so the same stage has the same chain hash everywhere. A
    record among the inputs enters by its chain hash only, because its checksum depends on times. Records of earlier
    versions have no `upstream`.
    """
    upstream = content.get("upstream", {})
    inputs = sorted(
        ["" if name in upstream and name.endswith(SUFFIX) else sha256, upstream.get(name, "")]
        for name, sha256 in content["inputs"].items()
    )
    hashed = [content["program"], dict(sorted(content["params"].items())), content["code"], inputs]
    return sha256_bytes(json.dumps(hashed, separators=(",", ":"), ensure_ascii=False).encode())


def started(output: Path) -> datetime | None:
    """Return the start time (UTC) of the stage whose first output is `output`, None without a record."""
    record = record_path(output)
    if not record.is_file():
        return None
    try:
        return datetime.fromisoformat(read_record(record)["started"])
    except (KeyError, TypeError, ValueError):
        raise TwinError(f"{record} has no start time: delete it and run again") from None


@cache
def environment(root: Path) -> dict[str, str]:
    """Return the environment of a stage: Python version, system, machine, CPU features, checksum of the lock file."""
    lock = root / "requirements.lock"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": " ".join(_cpu_features()),
        "lock": sha256_bytes(lock.read_bytes()) if lock.is_file() else "",
    }


def _cpu_features() -> list[str]:
    """Return the `CPU_FEATURES` of this machine; empty if the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = (line.partition(":") for line in text.splitlines())
    found = next((value.split() for key, _, value in lines if key.strip() in ("flags", "Features")), [])
    return [name for name in CPU_FEATURES if name in found]


@dataclass(frozen=True)
class _Maker:
    """A stage record near an input."""

    record: Path
    chain_hash: str
    names: frozenset[tuple[str, str]]
    """File name without folder, and sha256, of each output."""
    paths: Mapping[Path, str]
    """sha256 of each output by its current path."""


def _upstream(inputs: Iterable[Path], checksums: Mapping[str, str]) -> dict[str, str]:
    """Return the chain hashes of the stages that made the inputs, by name of the input.

    Raises `TwinError` if an input differs from the record of the stage that made it.
    """
    makers = cache(_read_makers)
    found = {}
    for path in inputs:
        name = _name(path)
        if path.name.endswith(SUFFIX):
            found[name] = chain_hash_of(read_record(path))
            continue
        # A record is next to the first output of its stage; other outputs may be in a folder above or below.
        nearby = [path.parent, path.parent.parent, *sorted(path.parent.glob("*/"))]
        near = [maker for folder in nearby for maker in makers(folder)]
        for maker in near:
            made = maker.paths.get(Path(os.path.abspath(path)))
            if made not in (None, checksums[name]):
                raise TwinError(
                    f"{path} is damaged or was edited: its sha256 is {checksums[name]}, but {maker.record} "
                    f"lists {made}. Run snakemake again to rebuild it, or restore it from a copy"
                )
        output = path.name, checksums[name]
        if chain_hash := next((maker.chain_hash for maker in near if output in maker.names), None):
            found[name] = chain_hash
    return found


def _read_makers(folder: Path) -> list[_Maker]:
    """Return the stage records in a folder, except damaged and unfinished records."""
    found = []
    for record in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            content = read_record(record)
            outputs, chain_hash = dict(content["outputs"]), chain_hash_of(content)
        except (TwinError, KeyError, TypeError, ValueError, AttributeError):
            continue
        first = next(iter(outputs), "")
        paths = {}
        if Path(first).name + SUFFIX == record.name:
            # The first output is next to the record, wherever the results folder is now.
            here, before = os.path.abspath(record.parent), os.path.dirname(first) or "."
            paths = {
                Path(os.path.normpath(os.path.join(here, os.path.relpath(name, before)))): sha256
                for name, sha256 in outputs.items()
            }
        names = frozenset((Path(name).name, sha256) for name, sha256 in outputs.items())
        found.append(_Maker(record, chain_hash, names, paths))
    return found


def _git(root: Path) -> dict[str, str | bool]:
    try:
        commit = _run_git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _run_git(root: Path, *words: str) -> str:
    result = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def _stat(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run its stage, or copy it there") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _name(path: Path) -> str:
    """Return a path relative to the working directory if it is inside, so that a project can be copied."""
    resolved, here = path.absolute(), Path.cwd()
    return resolved.relative_to(here).as_posix() if resolved.is_relative_to(here) else resolved.as_posix()
