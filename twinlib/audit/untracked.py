"""Files of a results folder without a stage record, and their checks."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinlib.audit.signature import LIST, SIGNATURE
from twinlib.errors import TwinError
from twinlib.findings import Finding, refused
from twinlib.model import tensor_checksum
from twinlib.parsing import parse_json, require_file
from twinlib.provenance import FILE, ROOMS, SUFFIX, Results, checksum_of, read_record

_STATES = ("checkpoints", "study-")
"""Folders with the state of interrupted work, which are not results."""

_ARTIFACTS = "mlflow/artifacts/"

_MODELS = 3
"""The place of `models`, the folder of the models of an experiment, in the name of a file in `_ARTIFACTS`."""

_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
          "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip


@dataclass(frozen=True)
class UntrackedFiles:
    """The files of a results folder that no record lists, by name. Returned by `find_untracked`."""

    states: dict[str, Path]
    """Training states and twins of MLflow models, which contain their own checksum."""
    copies: dict[str, dict[str, Path]]
    """Artifacts of MLflow runs by run folder: copies of outputs, and the records of their stages."""
    unrecorded: list[str]
    """Files among the results without a record, sorted."""
    unchecked: dict[str, int]
    """Number of files that cannot be checked (logs, databases, hidden files), by place."""


def find_untracked(results: Results) -> UntrackedFiles:
    """Classify the files without a record, without reading their content."""
    tracked = {name for stage in results.stages for name in (*stage.outputs, stage.name)} | set(results.unreadable)
    states: dict[str, Path] = {}
    runs: dict[str, dict[str, Path]] = defaultdict(dict)
    unrecorded, unchecked = [], Counter[str]()
    for path in sorted(results.folder.rglob("*")):
        name = path.relative_to(results.folder).as_posix()
        if name in tracked or not path.is_file():
            continue
        parts = name.split("/")
        if name.startswith(_ARTIFACTS) and len(parts) > 4 and parts[_MODELS] == "models":
            if path.suffix == ".safetensors":
                states[name] = path
            else:
                unchecked["mlflow"] += 1
        elif name.startswith(_ARTIFACTS) and len(parts) > 4:
            runs["/".join(parts[:4])][name] = path
        elif name in (LIST, SIGNATURE):
            unchecked["signature"] += 1
        elif name == "README.md" or (len(parts) > 1 and parts[0] not in ROOMS):
            unchecked[parts[0]] += 1
        elif pattern := _state_pattern(parts):
            if path.suffix == ".safetensors":
                states[name] = path
            else:
                unchecked[pattern] += 1
        elif not (path.name == FILE and parts[0] == "devices"):
            unrecorded.append(name)
    copies = {run: files for run, files in runs.items() if any(name.endswith(SUFFIX) for name in files)}
    unchecked["mlflow"] += sum(len(files) for run, files in runs.items() if run not in copies)
    counts = {pattern: count for pattern, count in sorted(unchecked.items()) if count}
    return UntrackedFiles(states, copies, unrecorded, counts)


def _state_pattern(parts: Sequence[str]) -> str:
    """Return a pattern for the place of a hidden file or a training state (`twins/*/*/checkpoints`), else ""."""
    for number, part in enumerate(parts):
        if part.startswith((".", *_STATES)):
            kind = "study-*" if part.startswith("study-") else part
            return "/".join([*parts[:1], *"*" * (number - 1), kind] if number else [kind])
    return ""


def is_intact_state(path: Path) -> bool:
    """Whether a file written by `twinlib.model.tensors.save_tensors` matches its own checksum. Needs no torch."""
    try:
        require_file(path)
        with path.open("rb") as file:
            tensors = parse_json(file.read(int.from_bytes(file.read(8), "little")))
            content = memoryview(file.read())
        header = parse_json(tensors.pop("__metadata__")["twinlib"])
        recorded = header.pop("sha256")
        layout = ((name, _TYPES[one["dtype"]], one["shape"], one["data_offsets"]) for name, one in tensors.items())
        checksum = tensor_checksum(
            header, ((name, dtype, shape, content[start:stop]) for name, dtype, shape, (start, stop) in layout)
        )
        # The checksum does not cover the offsets of empty tensors.
        starts, stops = zip(*sorted(tensor["data_offsets"] for tensor in tensors.values()), strict=True)
        contiguous = (*starts, len(content)) == (0, *stops)
    except (OSError, OverflowError, MemoryError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return bool(recorded == checksum) and contiguous


def check_copies(files: Mapping[str, Path], checksums: Mapping[str, str]) -> tuple[list[Finding], list[str]]:
    """Check the artifacts of one MLflow run; return the findings and the files without a record.

    `checksums` are the sha256 of the files by name. Artifacts are copies of outputs under their file names, with the
    records of their stages. Each record contains its own checksum and lists those of its outputs.
    """
    findings: list[Finding] = []
    known: dict[str, set[str]] = defaultdict(set)
    for name in files:
        if not name.endswith(SUFFIX):
            continue
        try:
            content = read_record(files[name])
            outputs = {Path(output).name: sha256 for output, sha256 in content["outputs"].items()}
        except (TwinError, KeyError, TypeError, AttributeError) as error:
            findings.append(refused("record-unreadable", file=name, error=str(error)))
            continue
        if ("sum" in content or "link" in content) and content.get("sum") != checksum_of(content):
            findings.append(refused("record-edited", file=name))
        for output, sha256 in outputs.items():
            known[output].add(sha256)
    others = [name for name in files if not name.endswith(SUFFIX)]
    for name in others:
        if Path(name).name in known and checksums.get(name) not in known[Path(name).name]:
            findings.append(refused("copy-changed", file=name))
    return findings, [name for name in others if Path(name).name not in known]
