"""The dataset of a device as Croissant 1.0 metadata for dataset hubs, with the Responsible AI vocabulary.

Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html; Akhtar et al., "Croissant: A Metadata Format
for ML-Ready Datasets", 2024. Responsible AI: https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html.
"""

import json
import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from twinlib.audit.dataset_facts import Device, device_facts, find_limitations
from twinlib.audit.formatting import duration
from twinlib.audit.licence_terms import parse_licence
from twinlib.audit.licences import licences
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import SEGMENTS
from twinlib.errors import AuditError
from twinlib.files import sha256_file, write_text
from twinlib.table_schemas import TABLES

CROISSANT_FILE = "croissant.json"
RECORDS = "segments"
"""The id of the record set, which has one record per segment."""

_TABLE = "segments.parquet"
_PARQUET, _ARROW = "application/x-parquet", "application/vnd.apache.arrow.file"


def croissant(results: ResultsFolder, device: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the dataset of a device as Croissant JSON-LD, with paths relative to `folder` (default: of the dataset).

    Lists the segment table and the shards with their sha256 from `dataset.json`, and every column of the table. The
    audio is not read. Equal results give equal content. Needs the extra `audit`. Raises `AuditError` if the package,
    the device or a file is missing.
    """
    results.require_device(device)
    mlc = _mlcroissant()
    facts = device_facts(results, device, licences(results)["devices"][device])
    home = results.folder / "devices" / device
    base = home if folder is None else folder
    checksums = facts.dataset["sums"]
    table = _file(mlc, home / _TABLE, base, checksums["segments"], _PARQUET, "one row per segment, with its provenance")
    shards = [
        _file(mlc, home / "shards" / f"{name}.arrow", base, sha256, _ARROW, _samples(facts, name))
        for name, sha256 in checksums["shards"].items()
    ]
    manifest = results.maker(f"devices/{device}/{_TABLE}")
    metadata = mlc.Metadata(
        name=f"dry and wet: {device}",
        description=_description(facts),
        license=[parse_licence(name).url or name or "unknown" for name in facts.music["by_licence"]],
        # The version of the contract, then the digest of the data as build metadata.
        version=f"1.0.0+{facts.dataset['digest'][:16]}",
        date_created=manifest.content.get("started") if manifest else None,
        keywords=["audio effect", "virtual analog", "digital twin", "paired dry and wet audio", device],
        distribution=[table, *shards],
        record_sets=[_records(mlc)],
        **_responsible(facts),
    )
    content: dict[str, Any] = metadata.to_json()
    return content


def write_croissant(results: ResultsFolder, device: str, path: Path) -> None:
    """Write the Croissant metadata of a device, with paths relative to the file; otherwise as `croissant`."""
    content = croissant(results, device, path.parent)
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_croissant(path: Path) -> Iterator[dict[str, Any]]:
    """Validate a Croissant file with mlcroissant, offline, and yield its records, texts as str.

    Raises `AuditError` if the file is invalid or the sha256 of the segment table differs.
    """
    mlc = _mlcroissant()
    try:
        for record in mlc.Dataset(jsonld=os.fspath(path)).records(RECORDS):
            yield {name.split("/", 1)[1]: _plain(value) for name, value in record.items()}
    except (mlc.ValidationError, mlc.GenerationError, ValueError, KeyError, OSError) as error:
        reason = error.__cause__ or error
        raise AuditError(f"{path} cannot be read ({reason}): export it again") from None


def check_croissant(path: Path, most: int = 1000) -> int:
    """Read the first `most` records of a Croissant file with `read_croissant`; return their number.

    The sha256 covers the complete table. mlcroissant needs a millisecond per record, minutes for a large table.
    """
    return sum(1 for _ in islice(read_croissant(path), most))


def check_files(path: Path) -> dict[str, str]:
    """Check all files that a Croissant file lists; return the missing and changed files with the problem."""
    problems = {}
    for entry in json.loads(path.read_text(encoding="utf-8"))["distribution"]:
        file = path.parent / entry["contentUrl"]
        if not file.is_file():
            problems[entry["name"]] = "is missing"
        elif sha256_file(file) != entry["sha256"]:
            problems[entry["name"]] = "has another content"
    return problems


def _mlcroissant() -> ModuleType:
    try:
        import mlcroissant
    except ModuleNotFoundError as error:
        raise AuditError(
            f"Croissant export needs {error.name}, which is not installed: pip install -e '.[audit]'"
        ) from None
    # Silence warnings about recommended fields that have no value here.
    logging.getLogger("absl").setLevel(logging.ERROR)
    module: ModuleType = mlcroissant
    return module


def _file(mlc: ModuleType, path: Path, base: Path, sha256: str, encoding: str, description: str) -> Any:
    if not path.is_file():
        raise AuditError(f"{path} does not exist: run the workflow again")
    return mlc.FileObject(
        id=path.name,
        name=path.name,
        description=description,
        content_url=Path(os.path.relpath(path, base)).as_posix(),
        content_size=f"{path.stat().st_size} B",
        encoding_formats=[encoding],
        sha256=sha256,
    )


def _samples(facts: Device, capture: str) -> str:
    size, rate = facts.dataset["segment_samples"], facts.dataset["sample_rate"]
    return (
        f"dry and wet samples of {capture}, float32 at {rate} Hz, {size} per segment; an Arrow IPC file with one "
        "record batch, indexed by the column `row` of the segment table"
    )


def _records(mlc: ModuleType) -> Any:
    """Return the record set: all columns of the segment table."""
    kinds = {
        "text": mlc.DataType.TEXT,
        "count": mlc.DataType.INTEGER,
        "integer": mlc.DataType.INTEGER,
        "number": mlc.DataType.FLOAT,
    }
    fields = [
        mlc.Field(
            id=f"{RECORDS}/{name}",
            name=name,
            description=column.meaning,
            data_types=[kinds[column.kind.removesuffix("s")]],
            repeated=column.kind.endswith("s") or None,
            source=mlc.Source(file_object=_TABLE, extract=mlc.Extract(column=name)),
        )
        for name, column in TABLES[SEGMENTS].items()
    ]
    return mlc.RecordSet(
        id=RECORDS,
        name=RECORDS,
        description="the segments of all captures, including excluded ones",
        key=f"{RECORDS}/segment_id",
        fields=fields,
    )


def _description(facts: Device) -> str:
    splits = ", ".join(
        f"{name} {duration(amount['seconds'] / 3600)}" for name, amount in facts.dataset["splits"].items()
    )
    return (
        f"Music and the output of the device {facts.name}, aligned to a fraction of a sample and cut into segments of "
        f"{facts.dataset['segment_samples']} samples at {facts.dataset['sample_rate']} Hz: {splits}."
    )


def _responsible(facts: Device) -> dict[str, Any]:
    """Return the Responsible AI fields, derived from the files alone."""
    dataset, music = facts.dataset, facts.music
    kinds = sorted({capture.kind for capture in facts.captures})
    ways = {
        "take": ("Direct measurement", "reels of music were played through the device and recorded"),
        "simulated": ("Software Collection", "reels of music were processed by a simulated circuit"),
        "pair": ("Others", "existing pairs of dry and wet files were used"),
    }
    how = "; ".join(ways[kind][1] for kind in kinds)
    settings = json.dumps(facts.settings, ensure_ascii=False)
    reasons = "; ".join(
        f"{name} {duration(amount['seconds'] / 3600)}" for name, amount in dataset["excluded"]["reasons"].items()
    )
    missing = ", ".join(dataset["missing_captures"]) or "none"
    hours = {genre: sum(splits.values()) for genre, splits in facts.genres.items()}
    biases = [
        f"Genre {genre or 'not specified'}: {amount / sum(hours.values()):.0%} of the time."
        for genre, amount in sorted(hours.items(), key=lambda item: (-item[1], item[0]))
        if sum(hours.values())
    ]
    return {
        "data_collection": f"{how[0].upper()}{how[1:]}, at the settings {settings}.",
        "data_collection_type": [ways[kind][0] for kind in kinds],
        "data_collection_raw_data": (
            f"{music['tracks']} tracks by {music['artists']} artists (licences and sha256: corpus/tracks.parquet); "
            f"sha256 of the recordings: {json.dumps(dataset['sums']['takes'])}."
        ),
        "data_collection_missing_data": f"Missing captures: {missing}. Excluded, by reason: {reasons or 'nothing'}.",
        "data_preprocessing_protocol": [
            "Lag, drift and dropouts of the recording were measured against the dry file and corrected by windowed "
            f"sinc interpolation; the wet signal is delayed by a guard of {dataset['guard_samples']} samples.",
            "Segments that are silent, clipped, disturbed, incomplete or in two splits are excluded, with a flag for "
            "the reason.",
        ],
        "data_biases": biases,
        "data_use_cases": [f"Training, validating and testing digital twins of {facts.name}."],
        "data_limitations": find_limitations(facts),
        "personal_sensitive_information": ["Names of artists, as credits."] if music["artists"] else [],
        "data_release_maintenance_plan": (
            "To withdraw a track, exclude it in the configuration and run the workflow again: its segments are "
            "excluded and all dependent files are rebuilt. Every file has a recorded sha256."
        ),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_plain(one) for one in value] if isinstance(value, list) else value
