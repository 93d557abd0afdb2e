"""Modification times that follow contents, so that a touched file, a copy or a fresh clone reruns nothing.

A workflow engine compares times; what matters is whether the bytes are those that a stage has read. The records say
that, so outputs whose inputs are newer but the same are given their inputs' time.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from twinlib.errors import TwinError
from twinlib.files import sha256_file, write_text
from twinlib.provenance.record import SUFFIX, prefix_of, read_record


class Sums:
    """The sha256 of files, remembered in a JSON file by size and modification time: hours of audio are read once."""

    def __init__(self, store: Path) -> None:
        self._store = store
        try:
            self._known: dict[str, list[object]] = json.loads(store.read_text())
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    def of(self, path: Path) -> str | None:
        """The sum of a file's content, or None where there is no such file."""
        try:
            stat = path.stat()
        except OSError:
            return None
        key, state = path.as_posix(), [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(key)
        if known is None or known[:2] != state:
            known = self._known[key] = [*state, sha256_file(path)]
            self._changed = True
        return str(known[2])

    def save(self) -> None:
        """Write what was learned, if anything was."""
        if self._changed:
            write_text(self._store, json.dumps(self._known, sort_keys=True))


@dataclass(frozen=True)
class Made:
    """What a record says: the sums of what was read and of what was made, by where the files lie now."""

    inputs: dict[Path, str]
    outputs: dict[Path, str]
    upstream: dict[Path, str]
    """The links of the records that the inputs came from."""
    link: str
    """The record's own, empty in those of earlier versions."""


def _read(path: Path, results: Path) -> Made | None:
    """A record with its files found again if the results have another name now; None if it is not readable."""
    try:
        record = read_record(path)
    except TwinError:
        return None
    before = prefix_of(record, path.relative_to(results).as_posix())

    def now(name: str) -> Path:
        return results / name.removeprefix(before) if before and name.startswith(before) else Path(name)

    kinds = ("inputs", "outputs", "upstream")
    inputs, outputs, upstream = ({now(name): sha for name, sha in record.get(kind, {}).items()} for kind in kinds)
    return Made(inputs, outputs, upstream, str(record.get("link", "")))


def _age(records: list[Made], sums: Sums) -> None:
    """Make outputs older than an input that is not what they were made of, even if it came with an older time."""
    for record in records:
        outputs = [file for file in record.outputs if file.exists()]
        for file, sha in record.inputs.items():
            if file.exists() and sums.of(file) != sha:
                moment = file.stat().st_mtime_ns
                for output in outputs:
                    if output.stat().st_mtime_ns >= moment:
                        os.utime(output, ns=(moment - 1, moment - 1))


def settle(results: Path) -> list[str]:
    """Give outputs that are older than their unchanged inputs the inputs' time; returns the outputs so settled.

    An output is settled only if its record's inputs and outputs all have the recorded sums, and the inputs come from
    the stages that it names: else its chain would tell of one that is gone. What differs keeps its time, and the engine
    makes it again. Files in `benchmarks/` are made as young as the youngest output: Snakemake takes a job to be as old
    as the oldest of its outputs and its benchmark.
    """
    paths = [path for path in sorted(results.rglob(f"*{SUFFIX}")) if "mlflow" not in path.relative_to(results).parts]
    if not paths:
        return []
    records = {path: record for path in paths if (record := _read(path, results))}
    sums = Sums(results / ".sums.json")
    _age(list(records.values()), sums)
    links = {file: record.link for record in records.values() if record.link for file in record.outputs}
    settled: list[str] = []
    moved = True
    while moved:
        moved = False
        for path, record in records.items():
            if not all(file.exists() for file in (*record.inputs, *record.outputs)):
                continue
            if any(links.get(file, link) != link for file, link in record.upstream.items()):
                continue
            newest = max((file.stat().st_mtime_ns for file in record.inputs), default=0)
            late = [file for file in (*record.outputs, path) if file.stat().st_mtime_ns < newest]
            if late and all(sums.of(file) == sha for file, sha in (record.inputs | record.outputs).items()):
                for file in late:
                    os.utime(file, ns=(newest, newest))
                settled.extend(file.as_posix() for file in late)
                moved = True
    sums.save()
    youngest = max(file.stat().st_mtime_ns for file in paths)
    for file in (results / "benchmarks").rglob("*.tsv"):
        if file.stat().st_mtime_ns < youngest:
            os.utime(file, ns=(youngest, youngest))
    return settled


def outdate(output: Path) -> None:
    """Make an output so old that it is made again; `settle` takes that back if it is asked first."""
    os.utime(output, ns=(1, 1))
