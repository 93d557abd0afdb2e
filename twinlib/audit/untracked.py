"""What lies in a results folder besides the files that records vouch for, and what can be said of it all the same."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinlib.errors import TwinError
from twinlib.model.checksum import tensor_checksum
from twinlib.provenance.record import SUFFIX, read_record, sum_of
from twinlib.provenance.results import ROOMS, Results
from twinlib.provenance.take_history import FILE

_STATES = ("checkpoints", "study-")
"""Folders from which stopped work goes on: they are no results."""

_ARTIFACTS = "mlflow/artifacts/"

_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
          "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip


@dataclass(frozen=True)
class Remainder:
    """All files of a results folder that are in no record, by their names in it. Made by `remainder_of`."""

    states: dict[str, Path]
    """States of trainings, which hold a sum of their own."""
    copies: dict[str, dict[str, Path]]
    """What runs hold in MLflow's store, by the run's folder: copies, and the records of what they are copies of."""
    unrecorded: list[str]
    """Files among the results that are in no record, sorted."""
    unchecked: dict[str, int]
    """How many files there are that nobody can check, or that change by themselves, by where they lie."""


def remainder_of(results: Results) -> Remainder:
    """Sort out the files that no record names. Nothing is read."""
    known = {name for stage in results.stages for name in (*stage.outputs, stage.name)} | set(results.unreadable)
    states: dict[str, Path] = {}
    runs: dict[str, dict[str, Path]] = defaultdict(dict)
    unrecorded, unchecked = [], Counter[str]()
    for path in sorted(results.folder.rglob("*")):
        name = path.relative_to(results.folder).as_posix()
        if name in known or not path.is_file():
            continue
        parts = name.split("/")
        if name.startswith(_ARTIFACTS) and len(parts) > 4:
            runs["/".join(parts[:4])][name] = path
        elif name == "README.md" or (len(parts) > 1 and parts[0] not in ROOMS):
            unchecked[parts[0]] += 1
        elif place := _aside(parts):
            if path.suffix == ".safetensors":
                states[name] = path
            else:
                unchecked[place] += 1
        elif not (path.name == FILE and parts[0] == "devices"):
            unrecorded.append(name)
    copies = {run: files for run, files in runs.items() if any(name.endswith(SUFFIX) for name in files)}
    unchecked["mlflow"] += sum(len(files) for run, files in runs.items() if run not in copies)
    return Remainder(states, copies, unrecorded, {place: count for place, count in sorted(unchecked.items()) if count})


def _aside(parts: Sequence[str]) -> str:
    """Where a file lies that is hidden or from which stopped work goes on, without names of twins; empty for others."""
    for number, part in enumerate(parts):
        if part.startswith((".", *_STATES)):
            kind = "study-*" if part.startswith("study-") else part
            return "/".join([*parts[:1], *"*" * (number - 1), kind] if number else [kind])
    return ""


def has_its_sum(path: Path) -> bool:
    """Whether a file of tensors is as `twinlib.model.tensors.save_tensors` wrote it, by its own sum; without torch."""
    try:
        with path.open("rb") as file:
            tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            content = memoryview(file.read())
        header = json.loads(tensors.pop("__metadata__")["twinlib"])
        recorded = header.pop("sha256")
        parts = ((name, _TYPES[one["dtype"]], one["shape"], one["data_offsets"]) for name, one in tensors.items())
        found = tensor_checksum(
            header, ((name, kind, shape, content[begin:end]) for name, kind, shape, (begin, end) in parts)
        )
        # What holds no bytes may stand anywhere, as far as the sum can tell.
        begins, ends = zip(*sorted(tensor["data_offsets"] for tensor in tensors.values()), strict=True)
        tiled = (*begins, len(content)) == (0, *ends)
    except (OSError, OverflowError, MemoryError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return bool(recorded == found) and tiled


def changed_copies(files: Mapping[str, Path], sums: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Of the files of one run those that are not what was logged, with the reason; and those that it has no record of.

    `sums` are the sha256 of the files. What a run logs are copies of outputs under their last names, and the records of
    the stages that made them: these hold a sum of their own, and vouch for the others.
    """
    changed, known = {}, defaultdict(set)
    for name in files:
        if not name.endswith(SUFFIX):
            continue
        try:
            content = read_record(files[name])
            outputs = {Path(output).name: sha256 for output, sha256 in content["outputs"].items()}
        except (TwinError, KeyError, TypeError, AttributeError) as error:
            changed[name] = f"is no readable record ({error})"
            continue
        if ("sum" in content or "link" in content) and content.get("sum") != sum_of(content):
            changed[name] = "was edited: the copy of a record is not what its stage wrote"
        for output, sha256 in outputs.items():
            known[output].add(sha256)
    others = [name for name in files if not name.endswith(SUFFIX)]
    for name in others:
        if Path(name).name in known and sums.get(name) not in known[Path(name).name]:
            changed[name] = "was changed after it was logged: no record of its run has made it"
    return changed, [name for name in others if Path(name).name not in known]
