"""Modification times that follow contents, so that a touched file, a copy or a fresh clone reruns nothing.

A workflow engine compares times; what matters is whether the bytes are those that a stage has read. The records say
that, so outputs whose inputs are newer but the same are given their inputs' time.
"""

import json
import os
from pathlib import Path

from twinlib.errors import TwinError
from twinlib.files import sha256_file, write_text
from twinlib.provenance.record import SUFFIX, read_record


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


def _age(records: list[Path], sums: Sums) -> None:
    """Make outputs older than an input that is not what they were made of, even if it came with an older time."""
    for path in records:
        try:
            record = read_record(path)
        except TwinError:
            continue
        outputs = [file for name in record["outputs"] if (file := Path(name)).exists()]
        for name, sha in record["inputs"].items():
            file = Path(name)
            if file.exists() and sums.of(file) != sha:
                moment = file.stat().st_mtime_ns
                for output in outputs:
                    if output.stat().st_mtime_ns >= moment:
                        os.utime(output, ns=(moment - 1, moment - 1))


def settle(results: Path) -> list[str]:
    """Give outputs that are older than their unchanged inputs the inputs' time; returns the outputs so settled.

    An output is settled only if its record's inputs and outputs all have the recorded sums. What differs keeps its
    time, and the engine makes it again. Files in `benchmarks/` are made as young as the youngest output: Snakemake
    takes a job to be as old as the oldest of its outputs and its benchmark.
    """
    records = [path for path in sorted(results.rglob(f"*{SUFFIX}")) if "mlflow" not in path.relative_to(results).parts]
    if not records:
        return []
    sums = Sums(results / ".sums.json")
    _age(records, sums)
    settled: list[str] = []
    moved = True
    while moved:
        moved = False
        for path in records:
            try:
                record = read_record(path)
            except TwinError:
                continue
            inputs = {Path(name): sha for name, sha in record["inputs"].items()}
            outputs = {Path(name): sha for name, sha in record["outputs"].items()}
            if not all(file.exists() for file in (*inputs, *outputs)):
                continue
            newest = max((file.stat().st_mtime_ns for file in inputs), default=0)
            late = [file for file in (*outputs, path) if file.stat().st_mtime_ns < newest]
            if late and all(sums.of(file) == sha for file, sha in (inputs | outputs).items()):
                for file in late:
                    os.utime(file, ns=(newest, newest))
                settled.extend(file.as_posix() for file in late)
                moved = True
    sums.save()
    youngest = max(file.stat().st_mtime_ns for file in records)
    for file in (results / "benchmarks").rglob("*.tsv"):
        if file.stat().st_mtime_ns < youngest:
            os.utime(file, ns=(youngest, youngest))
    return settled
