"""A device's dataset in the words of Croissant 1.0, which hubs of datasets read, with its part on responsible AI.

Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html; Akhtar et al., "Croissant: A Metadata Format
for ML-Ready Datasets", 2024. Its fields on collection, biases and limits: croissant-rai-spec.html there.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from twinlib.audit.dataset_facts import Device, device_facts, limits
from twinlib.audit.formatting import duration
from twinlib.audit.licence_terms import terms
from twinlib.audit.licences import licences
from twinlib.errors import AuditError
from twinlib.files import sha256_file, write_text
from twinlib.provenance.results import Results

NAME = "croissant.json"
RECORDS = "segments"
"""The id of the record set: a record a segment."""

_TABLE = "segments.parquet"
_PARQUET, _ARROW = "application/x-parquet", "application/vnd.apache.arrow.file"

_TEXTS = {
    "segment_id": "device/capture/first sample of the dry file",
    "device": "the device",
    "capture": "the reel or pair that was recorded",
    "split": "train, valid or test; empty where the segment is left out",
    "settings": "the device's knobs, as JSON",
    "take_sha256": "sha256 of the recording",
    "shard": "the shard that holds the samples",
    "dry_sha256": "sha256 of the dry samples, little-endian float32",
    "wet_sha256": "sha256 of the wet samples, little-endian float32",
}
_LISTS = {
    "track_ids": "the tracks that sound in it",
    "artists": "their artists",
    "licences": "their licences, as the corpus names them",
    "sources": "their files and sample ranges, as path[start:stop]",
    "flags": "why it is left out",
}
_WHOLE = {
    "start": "its first sample on the clock of the dry file",
    "stop": "the sample after its last",
    "context": "samples before it that may serve as left context",
    "row": "its row in the shard; -1 where its samples were not kept",
}
_REAL = {
    "lag": "samples by which the recording was late, taken out",
    "residual": "samples by which it lies off the alignment",
}


def croissant(results: Results, device: str, folder: Path | None = None) -> dict[str, Any]:
    """The dataset of a device as JSON-LD of Croissant 1.0, to stand in `folder`; by default that of the dataset.

    Names the table of segments and the shards by their sums, as `dataset.json` has them, and every column of the
    table; nothing but the table's size depends on the audio, which is not read. Equal results give equal content.
    Needs the extra `audit`. Raises `AuditError` if the package, the device or a file is missing.
    """
    if device not in results.devices:
        raise AuditError(f"{results.folder} has no device {device}; it has {', '.join(results.devices) or 'none'}")
    mlc = _mlcroissant()
    facts = device_facts(results, device, licences(results)["devices"][device])
    home = results.folder / "devices" / device
    base = home if folder is None else folder
    sums = facts.dataset["sums"]
    table = _file(mlc, home / _TABLE, base, sums["segments"], _PARQUET, "a row a segment, and where it came from")
    shards = [
        _file(mlc, home / "shards" / f"{name}.arrow", base, sha256, _ARROW, _samples(facts, name))
        for name, sha256 in sums["shards"].items()
    ]
    made = results.maker(f"devices/{device}/{_TABLE}")
    metadata = mlc.Metadata(
        name=f"dry and wet: {device}",
        description=_description(facts),
        license=[terms(name).url or name or "unknown" for name in facts.music["by_licence"]],
        # The first number is that of the contract; what follows the plus sign is the identity of the data.
        version=f"1.0.0+{facts.dataset['digest'][:16]}",
        date_created=made.content.get("started") if made else None,
        keywords=["audio effect", "virtual analog", "digital twin", "paired dry and wet audio", device],
        distribution=[table, *shards],
        record_sets=[_records(mlc)],
        **_responsible(facts),
    )
    told: dict[str, Any] = metadata.to_json()
    return told


def write_croissant(results: Results, device: str, path: Path) -> None:
    """Write the dataset of a device as Croissant; the files that it names are found from there. As `croissant`."""
    told = croissant(results, device, path.parent)
    write_text(path, json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_croissant(path: Path) -> Iterator[dict[str, Any]]:
    """Validate a Croissant file and yield its records, texts as str: reads it as another program would, offline.

    The sum of the table is checked first. Raises `AuditError` if the file is not valid, or the table is not that one.
    """
    mlc = _mlcroissant()
    try:
        for record in mlc.Dataset(jsonld=os.fspath(path)).records(RECORDS):
            yield {name.split("/", 1)[1]: _plain(value) for name, value in record.items()}
    except (mlc.ValidationError, mlc.GenerationError, ValueError, KeyError, OSError) as error:
        reason = error.__cause__ or error
        raise AuditError(f"{path} cannot be read back ({reason}): write it again from these results") from None


def check_croissant(path: Path, most: int = 1000) -> int:
    """Read a Croissant file back as `read_croissant` does, its first `most` records; returns how many there were.

    The sum covers the whole table; a record costs a millisecond there, so all of a large one would take minutes.
    """
    return sum(1 for _ in islice(read_croissant(path), most))


def check_files(path: Path) -> dict[str, str]:
    """The files that a Croissant file names and that are not what it says, with what is wrong; reads every file."""
    found = {}
    for one in json.loads(path.read_text(encoding="utf-8"))["distribution"]:
        file = path.parent / one["contentUrl"]
        if not file.is_file():
            found[one["name"]] = "is missing"
        elif sha256_file(file) != one["sha256"]:
            found[one["name"]] = "has another content"
    return found


def croissant_text(told: Mapping[str, Any]) -> str:
    """What a Croissant file says, for people."""
    lines = [told["name"], told["description"], f"files: {len(told['distribution'])}"]
    lines += [f"  {one['contentUrl']}  {one['contentSize']}  {one['sha256']}" for one in told["distribution"]]
    lines.append(f"columns of {_TABLE}: {', '.join(one['name'] for one in told['recordSet'][0]['field'])}")
    return "\n".join(lines) + "\n"


def _mlcroissant() -> ModuleType:
    try:
        import mlcroissant
    except ModuleNotFoundError as error:
        raise AuditError(
            f"Croissant is written with mlcroissant, and {error.name} is not installed: install the extra `audit` "
            "(`pip install -e '.[audit]'`)"
        ) from None
    # It warns of fields that are recommended, and for which there is nothing to say.
    logging.getLogger("absl").setLevel(logging.ERROR)
    module: ModuleType = mlcroissant
    return module


def _file(mlc: ModuleType, path: Path, base: Path, sha256: str, encoding: str, description: str) -> Any:
    if not path.is_file():
        raise AuditError(f"{path} does not exist: these results are not complete")
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
        f"dry and wet samples of {capture}, float32 at {rate} Hz, {size} a segment; an Arrow IPC file of one record "
        "batch, its rows as the column row of the table has them"
    )


def _records(mlc: ModuleType) -> Any:
    """Every column of the table of segments."""
    kinds = [
        *((name, text, mlc.DataType.TEXT, False) for name, text in _TEXTS.items()),
        *((name, text, mlc.DataType.TEXT, True) for name, text in _LISTS.items()),
        *((name, text, mlc.DataType.INTEGER, False) for name, text in _WHOLE.items()),
        *((name, text, mlc.DataType.FLOAT, False) for name, text in _REAL.items()),
    ]
    fields = [
        mlc.Field(
            id=f"{RECORDS}/{name}",
            name=name,
            description=text,
            data_types=[kind],
            repeated=repeated or None,
            source=mlc.Source(file_object=_TABLE, extract=mlc.Extract(column=name)),
        )
        for name, text, kind, repeated in kinds
    ]
    return mlc.RecordSet(
        id=RECORDS,
        name=RECORDS,
        description="the segments of all captures, those that are left out too",
        key=f"{RECORDS}/segment_id",
        fields=fields,
    )


def _description(facts: Device) -> str:
    splits = ", ".join(
        f"{name} {duration(amount['seconds'] / 3600)}" for name, amount in facts.dataset["splits"].items()
    )
    return (
        f"Music and what the device {facts.name} made of it, aligned to a fraction of a sample and cut into segments "
        f"of {facts.dataset['segment_samples']} samples at {facts.dataset['sample_rate']} Hz: {splits}."
    )


def _responsible(facts: Device) -> dict[str, Any]:
    """The fields of Croissant RAI, from what the files say and no more."""
    dataset, music = facts.dataset, facts.music
    kinds = sorted({capture.kind for capture in facts.captures})
    ways = {
        "take": ("Direct measurement", "reels of music were played through the device and recorded"),
        "simulated": ("Software Collection", "reels of music went through a simulated circuit"),
        "pair": ("Others", "dry and wet files came from elsewhere as pairs"),
    }
    how = "; ".join(ways[kind][1] for kind in kinds)
    settings = json.dumps(facts.settings, ensure_ascii=False)
    reasons = "; ".join(
        f"{name} {duration(amount['seconds'] / 3600)}" for name, amount in dataset["excluded"]["reasons"].items()
    )
    missing = ", ".join(dataset["missing_captures"]) or "none"
    hours = {genre: sum(splits.values()) for genre, splits in facts.genres.items()}
    biases = [
        f"Music of the genre {genre or 'not named'}: {amount / sum(hours.values()):.0%} of the time."
        for genre, amount in sorted(hours.items(), key=lambda item: (-item[1], item[0]))
        if sum(hours.values())
    ]
    return {
        "data_collection": f"{how[0].upper()}{how[1:]}, at the settings {settings}.",
        "data_collection_type": [ways[kind][0] for kind in kinds],
        "data_collection_raw_data": (
            f"{music['tracks']} tracks by {music['artists']} artists, with licences and sums in corpus/tracks.parquet; "
            f"recordings by their sums: {json.dumps(dataset['sums']['takes'])}."
        ),
        "data_collection_missing_data": f"Captures missing: {missing}. Left out, by reason: {reasons or 'nothing'}.",
        "data_preprocessing_protocol": [
            "Lag, drift and losses of the recording were measured against the dry file and taken out by windowed sinc "
            f"interpolation; the wet signal is late by a guard of {dataset['guard_samples']} samples on purpose.",
            "What is silent, clipped, disturbed, lost or of two splits is left out and flagged with the reason.",
        ],
        "data_biases": biases,
        "data_use_cases": [f"Training, validating and testing digital twins of {facts.name}."],
        "data_limitations": limits(facts),
        "personal_sensitive_information": ["Names of artists, as credits."] if music["artists"] else [],
        "data_release_maintenance_plan": (
            "A track is withdrawn by excluding it in the configuration and running the workflow again: its segments "
            "are dropped and all that was made of them is made anew. Every file is known by its sha256."
        ),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_plain(one) for one in value] if isinstance(value, list) else value
