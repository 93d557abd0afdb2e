"""The chain of stage records behind some files of the results: which stage made what, from which files."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from twinlib.errors import TwinError
from twinlib.provenance.record import SUFFIX, read_record

_WITHOUT_RECORDS = {"mlflow", "logs", "benchmarks", "checkpoints"}


def names(results: Path, record: Path, content: Mapping[str, Any], key: Literal["inputs", "outputs"]) -> dict[str, str]:
    """The sums of a record by name relative to the results, of the files that lay in them.

    A record names files as they were called when its stage ran. Where the results stood then is told by its own place:
    it lies beside the first of its outputs.
    """
    place = record.relative_to(results).as_posix().removesuffix(SUFFIX)
    for name in content["outputs"]:
        before = name.removesuffix(place)
        if name.endswith(place) and (not before or before.endswith("/")):
            return {other.removeprefix(before): sha for other, sha in content[key].items() if other.startswith(before)}
    return {}


def makers(results: Path) -> dict[str, Path]:
    """The record of the stage that made a file, by the file's name relative to the results; broken records are not."""
    found: dict[str, Path] = {}
    for folder, folders, files in os.walk(results):
        folders[:] = sorted(name for name in folders if name not in _WITHOUT_RECORDS and not name.startswith("."))
        for file in sorted(files):
            path = Path(folder, file)
            if file.endswith(SUFFIX) and not file.startswith("."):
                try:
                    found.update(dict.fromkeys(names(results, path, read_record(path), "outputs"), path))
                except TwinError:
                    continue
    return found


def records_behind(results: Path, records: Iterable[Path], known: Mapping[str, Path]) -> list[Path]:
    """These records and those of all stages that made what they read, and so on; sorted. `known` is from `makers`."""
    todo, seen = list(records), set[Path]()
    while todo:
        record = todo.pop()
        if record not in seen:
            seen.add(record)
            inputs = names(results, record, read_record(record), "inputs")
            todo.extend(known[name] for name in inputs if name in known)
    return sorted(seen)
