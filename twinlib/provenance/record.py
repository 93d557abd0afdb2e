"""Stage records: beside its first output every stage says what it read, its settings and code, and what it made.

The records form a chain: each holds the `link` of every record that one of its inputs came from, and its own link is a
sum over those. So the link of a twin's record stands for all that is behind the twin, down to the corpus.
"""

import json
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from twinlib.contracts import RECORD
from twinlib.errors import TwinError
from twinlib.files import read_json, sha256_bytes, sha256_file, write_json
from twinlib.provenance.code_digest import digest, packages

SUFFIX = ".prov.json"


CPU_FEATURES = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
"""What a CPU may have that changes the last bits of floating-point results, by the names of Linux."""


@dataclass
class Record:
    """What is known of a running stage before it ends."""

    program: str
    params: dict[str, str]
    code: str
    inputs: dict[str, str]
    """sha256 by path. A stage adds files whose sums it takes itself."""
    upstream: dict[str, str]
    """The link of the record that an input came from, by path; what comes from no stage is not in it."""

    def read(self, path: str, sha256: str) -> None:
        """Note an input whose sum the stage has taken or verified itself."""
        self.inputs[path] = sha256

    def sha256(self, path: Path) -> str:
        """Return the checksum of an input, taken before the stage runs."""
        return self.inputs[_name(path)]

    @property
    def link(self) -> str:
        """The link of this stage, 64 hexadecimal digits, for outputs that carry it; as `link_of`."""
        return link_of(vars(self))


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
    sums = {_name(path): sha256_file(path) for path in inputs}
    record = Record(
        program=program.resolve().relative_to(root).as_posix(),
        params=dict(sorted(params.items())),
        code=digest(program.resolve(), root),
        inputs=sums,
        upstream=_upstream(inputs, sums),
    )
    yield record
    for path in inputs:
        if _stat(path) != before[path] and sha256_file(path) != record.inputs[_name(path)]:
            raise TwinError(f"{path} changed while this stage read it: run again when nothing writes to it")
    content = {
        "program": record.program,
        "params": record.params,
        "inputs": dict(sorted(record.inputs.items())),
        "upstream": dict(sorted(record.upstream.items())),
        "outputs": {_name(path): sha256_file(path) for path in outputs},
        "code": record.code,
        "link": record.link,
        "environment": {**environment(root), "packages": packages(program.resolve(), root)},
        "git": _git(root),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 3),
    }
    write_json(record_path(outputs[0]), RECORD, {**content, "sum": sum_of(content)})


def prefix_of(content: Mapping[str, Any], name: str) -> str:
    """What the names of files in the results began with when a stage ran, such as `results/demo/`; empty if that is
    not known.

    `name` is where its record lies now, relative to the results: a record stands beside the first of its outputs, so
    that output's recorded name tells it, whatever the folder is called since.
    """
    first, made = next(iter(content["outputs"]), ""), name.removesuffix(SUFFIX)
    before = first.removesuffix(made)
    return before if first.endswith(made) and (not before or before.endswith("/")) else ""


def read_record(path: Path) -> dict[str, Any]:
    """The content of a record: among others the mappings `params`, `inputs` and `outputs`, and the digest `code`."""
    return read_json(path, RECORD)


def sum_of(content: Mapping[str, Any]) -> str:
    """The sha256 over all that a record says but its own `sum`: a record that was edited has another."""
    told = {key: value for key, value in content.items() if key != "sum"}
    return sha256_bytes(json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def link_of(content: Mapping[str, Any]) -> str:
    """The link of a record: the sha256 of what decides about its outputs, and of the links behind its inputs.

    That is program, parameters, digest of the code, the inputs' sums and links; not names, times, machine or commit, so
    that the same stage has the same link wherever and whenever it runs. A record among the inputs, which holds
    times, counts by its link. Records of earlier versions have no `upstream`; their links stand on the sums alone.
    """
    upstream = content.get("upstream", {})
    inputs = sorted(
        ["" if name in upstream and name.endswith(SUFFIX) else sha256, upstream.get(name, "")]
        for name, sha256 in content["inputs"].items()
    )
    told = [content["program"], dict(sorted(content["params"].items())), content["code"], inputs]
    return sha256_bytes(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode())


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
    """What the outputs may depend on besides code: Python, the machine, its CPU, and the sum of the lock file."""
    lock = root / "requirements.lock"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": " ".join(_cpu_features()),
        "lock": sha256_bytes(lock.read_bytes()) if lock.is_file() else "",
    }


def _cpu_features() -> list[str]:
    """Which of `CPU_FEATURES` this machine has; none where it does not say."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = (line.partition(":") for line in told.splitlines())
    found = next((value.split() for key, _, value in lines if key.strip() in ("flags", "Features")), [])
    return [name for name in CPU_FEATURES if name in found]


def _upstream(inputs: Iterable[Path], sums: Mapping[str, str]) -> dict[str, str]:
    """The links of the records that inputs came from, by the inputs' names."""
    made_in = cache(_made_in)
    found = {}
    for path in inputs:
        if path.name.endswith(SUFFIX):
            found[_name(path)] = link_of(read_record(path))
            continue
        # A record lies beside the first output of its stage; others may lie in a folder below that, or above.
        nearby = [path.parent, path.parent.parent, *sorted(path.parent.glob("*/"))]
        links = (made_in(folder).get((path.name, sums[_name(path)])) for folder in nearby)
        if link := next(filter(None, links), None):
            found[_name(path)] = link
    return found


def _made_in(folder: Path) -> dict[tuple[str, str], str]:
    """The links of the records in a folder, by file name and sha256 of what they say to have made."""
    made: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            content = read_record(path)
            link, outputs = link_of(content), content["outputs"]
        except (TwinError, KeyError):
            # Another stage makes it anew at this moment, or it is damaged: an input of this one did not come from it.
            continue
        made |= {(Path(name).name, sha256): link for name, sha256 in outputs.items()}
    return made


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
