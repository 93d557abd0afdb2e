"""The manifest of a device: all its segments in one table, and a statement of what the dataset is and leaves out."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from twinlib.contracts import ALIGNMENT, DATASET, SEGMENTS, SPLITS, TAKE
from twinlib.dataset.segments import COLUMNS
from twinlib.dataset.shards import Shard, ShardMetadata
from twinlib.errors import DatasetError
from twinlib.files import read_json, read_table, sha256_bytes, sha256_file, write_json, write_table
from twinlib.progress import Progress, no_progress

_REMEDIES = {
    "silence": "reels are short against dataset.segment_samples: lower it",
    "two-splits": "dataset.segment_samples is longer than the silence between two splits: lower it",
    "excluded": "too many tracks of it are excluded: make an excitation with another seed or salt",
    "clipped": "lower the level at the interface's input and record the take again",
    "outside-take": "the take holds only a part of its reel: start to record before the reel plays, stop after its end",
    "lost-samples": "the interface drops samples: use a larger buffer and record the take again",
    "repeated-samples": "the interface repeats samples: use a larger buffer and record the take again",
    "not-recognised": "the programme cannot be heard there: check cables and levels, and that the take is of this reel",
    "misaligned": "the recording jumps there: listen to it, and record the take again without stopping or editing it",
    "disturbed": "the recording is muted, repeated or disturbed there: listen to it and record the take again",
    "non-finite": "the wet file is damaged there: export it again without plugins",
    "unknown-lag": "too little of the programme is heard there to tell when it was played: record the take again",
    "unsteady": "the clocks of player and recorder drift apart: use one interface, or a common word clock",
    "refused-take": "record the take again, its reasons follow",
}


@dataclass(frozen=True)
class CaptureFiles:
    """The files of one capture that a manifest joins: its segments and shard, its take and its alignment."""

    segments: Path
    shard: Path
    take: Path
    alignment: Path


def build_manifest(
    device: str,
    parts: Sequence[CaptureFiles],
    missing: Iterable[str] = (),
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Join the captures of a device to its segments (`segments/1`) and what `dataset/1` says about them.

    `missing` names the captures that the configuration asks for but allows to be absent. The segments are sorted by
    capture and start. Nothing in the result depends on time, place or the order of `parts`; the sum of the table and
    the digest are added by `write_manifest`. Raises `DatasetError` if there is no capture, if captures disagree about
    rate, segment or guard, if a shard is not that of its table, or if a split has no usable segment. Progress counts
    captures.
    """
    if not parts:
        raise DatasetError(
            f"device {device} has no capture at all: record a take of it, or name pairs for it in the configuration"
        )
    tables: dict[str, pd.DataFrame] = {}
    captures: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[str, str]] = {"alignments": {}, "shards": {}, "takes": {}}
    metadata: dict[str, ShardMetadata] = {}
    for part in parts:
        table, shard = read_table(part.segments, SEGMENTS), Shard.open(part.shard)
        name = shard.metadata.capture
        if name in tables:
            raise DatasetError(f"capture {name} of {device} is given twice: {part.shard} and another shard")
        _belong(device, part, table, shard)
        take, alignment = read_json(part.take, TAKE), read_json(part.alignment, ALIGNMENT)
        tables[name], metadata[name] = table, shard.metadata
        captures[name] = _capture(shard.metadata, take, alignment, table)
        sums["alignments"][name] = sha256_file(part.alignment)
        sums["shards"][name] = sha256_file(part.shard)
        sums["takes"][name] = shard.metadata.take_sha256
        progress(1, name)
    names = sorted(tables)
    segments = pd.concat([tables[name] for name in names], ignore_index=True)
    segments = segments.sort_values(["capture", "start"], kind="stable").reset_index(drop=True)
    rate, size, guard = _agreed(device, [metadata[name] for name in names])
    _require_splits(device, segments, captures)
    dataset = {
        "device": device,
        "sample_rate": rate,
        "segment_samples": size,
        "guard_samples": guard,
        "simulated": any(metadata[name].simulated for name in names),
        "splits": {split: _amount(int((segments["split"] == split).sum()), size, rate) for split in SPLITS},
        "captures": {name: captures[name] for name in names},
        "missing_captures": sorted(missing),
        "excluded": _excluded(segments, size, rate),
        "licences": _by_value(segments["licences"][segments["split"] != ""], size, rate),
        "sums": {kind: dict(sorted(found.items())) for kind, found in sums.items()},
    }
    return segments, dataset


def write_manifest(folder: Path, segments: pd.DataFrame, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Write `segments.parquet` and, last, `dataset.json` into a folder; returns what the latter holds.

    Adds the sum of the table to `sums` and `digest`, the identity of the dataset: the sha256 of the canonical JSON
    of `sums`. It changes when a shard, take, alignment or segment does, and with nothing else.
    """
    table = folder / "segments.parquet"
    write_table(table, SEGMENTS, segments)
    sums = {**dataset["sums"], "segments": sha256_file(table)}
    content = {**dataset, "sums": sums, "digest": dataset_digest(sums)}
    write_json(folder / "dataset.json", DATASET, content)
    return content


def dataset_digest(sums: Mapping[str, Any]) -> str:
    """The sha256 of the canonical JSON (sorted keys, no spaces, UTF-8) of a dataset's sums."""
    text = json.dumps(sums, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_bytes(text.encode())


def _belong(device: str, part: CaptureFiles, table: pd.DataFrame, shard: Shard) -> None:
    """Refuse a table and a shard that were not written together, or are another device's."""
    if shard.metadata.device != device:
        raise DatasetError(f"{part.shard} belongs to the device {shard.metadata.device}, not {device}")
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise DatasetError(f"{part.segments} lacks the column {absent[0]}: delete it and run again")
    written = table[table["row"] >= 0]
    same = written["segment_id"].tolist() == shard.table["segment_id"].tolist() and set(written["shard"]) <= {
        part.shard.name
    }
    if not same:
        raise DatasetError(f"{part.segments} and {part.shard} were not written together: delete both and run again")


def _capture(
    metadata: ShardMetadata, take: Mapping[str, Any], alignment: Mapping[str, Any], table: pd.DataFrame
) -> dict[str, Any]:
    if take["sha256"] != metadata.take_sha256:
        raise DatasetError(
            f"the shard of {metadata.capture} was cut from another recording than its take.json describes: "
            "delete the shard and run again"
        )
    size, rate = metadata.segment_samples, metadata.sample_rate
    return {
        "take_verdict": take["verdict"],
        "take_reasons": list(take["reasons"]),
        "alignment_verdict": alignment["verdict"],
        "alignment_reasons": list(alignment["reasons"]),
        "simulated": metadata.simulated,
        "usable": _amount(int((table["split"] != "").sum()), size, rate),
        "all": _amount(len(table), size, rate),
    }


def _agreed(device: str, metadata: Sequence[ShardMetadata]) -> tuple[int, int, int]:
    """The sample rate, segment length and guard that all captures share."""
    first = metadata[0]
    for other in metadata[1:]:
        for key, unit in (
            ("sample_rate", "Hz"),
            ("segment_samples", "samples a segment"),
            ("guard_samples", "samples of guard"),
        ):
            if getattr(other, key) != getattr(first, key):
                raise DatasetError(
                    f"device {device} mixes captures: {first.capture} has {getattr(first, key)} {unit}, "
                    f"{other.capture} has {getattr(other, key)}. Resample or cut them alike, or make them two devices"
                )
    return first.sample_rate, first.segment_samples, first.guard_samples


def _amount(segments: int, size: int, rate: int) -> dict[str, Any]:
    seconds = segments * size / rate
    return {"segments": segments, "seconds": round(seconds, 3), "hours": round(seconds / 3600, 4)}


def _by_value(lists: "pd.Series[Any]", size: int, rate: int) -> dict[str, Any]:
    """How many segments name each value; `lists` holds a list a segment, which counts for each of its values."""
    counts = Counter(str(value) for values in lists for value in values)
    return {value: _amount(counts[value], size, rate) for value in sorted(counts)}


def _excluded(segments: pd.DataFrame, size: int, rate: int) -> dict[str, Any]:
    """What was left out, by reason and by excluded track; a segment counts once for each of its reasons."""
    left = segments[segments["split"] == ""]
    flags = [[str(flag) for flag in found] for found in left["flags"]]
    reasons = pd.Series([sorted({flag.split(":", 1)[0] for flag in found}) for found in flags], dtype=object)
    tracks = pd.Series([[flag.split(":", 1)[1] for flag in found if ":" in flag] for found in flags], dtype=object)
    return {
        "all": _amount(len(left), size, rate),
        "reasons": _by_value(reasons, size, rate),
        "tracks": _by_value(tracks, size, rate),
    }


def refuse_useless(dataset: Mapping[str, Any]) -> None:
    """Raise `DatasetError` if a capture was refused, with the reasons of each; `dataset` as from `build_manifest`."""
    reasons = _refusals(dataset["captures"])
    if reasons:
        raise DatasetError(
            f"device {dataset['device']} has {len(reasons)} of {len(dataset['captures'])} captures that are of no use: "
            f"{'; '.join(reasons)}. Record them again"
        )


def _refusals(captures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each refused capture, in the order of their names: its name and why."""
    said = []
    for name in sorted(captures):
        found = captures[name]
        why = [
            reason
            for part in ("take", "alignment")
            if found[f"{part}_verdict"] == "refused"
            for reason in found[f"{part}_reasons"] or [f"its {part} is refused"]
        ]
        said += [f"{name}: {', '.join(why)}"] if why else []
    return said


def _require_splits(device: str, segments: pd.DataFrame, captures: Mapping[str, Mapping[str, Any]]) -> None:
    for split in SPLITS:
        if (segments["split"] == split).any():
            continue
        reasons = [str(flag).split(":", 1)[0] for flags in segments["flags"] for flag in flags]
        counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
        said = ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "nothing is flagged"
        remedies = "; ".join(
            [f"{name}: {_REMEDIES[name]}" for name in counts if name in _REMEDIES] + _refusals(captures)
        )
        raise DatasetError(
            f"device {device} has no usable segment for {split}. Of its {len(segments)} segments: {said}. "
            + (
                f"What to do: {remedies}."
                if remedies
                else f"Give one of its captures the split {split}, or record the reel that holds it."
            )
        )
