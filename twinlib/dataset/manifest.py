"""The manifest of a device: all segments in one table, and a summary of the dataset with all exclusions."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from twinlib.contracts import ALIGNMENT, DATASET, SEGMENTS, SPLITS, TAKE
from twinlib.dataset.divided_artists import FLAG, leave_out_tracks
from twinlib.dataset.segments import COLUMNS
from twinlib.dataset.shards import Shard, ShardMetadata
from twinlib.errors import DatasetError
from twinlib.files import read_json, read_table, sha256_bytes, sha256_file, write_json, write_table
from twinlib.progress import Progress, no_progress

REMEDIES = {
    "silence": "the reels are short compared to dataset.segment_samples: lower it",
    "two-splits": "dataset.segment_samples is longer than the silence between two splits: lower it",
    "excluded": "too many tracks of the split are excluded: create an excitation with another seed or salt",
    FLAG: "the excitation has one artist in several splits: create an excitation under another name",
    "clipped": "lower the input level of the interface and record the take again",
    "outside-take": "the take contains only part of its reel: start recording before the reel plays and stop after its "
    "end",
    "lost-samples": "the interface drops samples: use a larger buffer and record the take again",
    "repeated-samples": "the interface repeats samples: use a larger buffer and record the take again",
    "not-recognised": "part of the take does not match the programme: check cables and levels, and that it is a "
    "take of this reel",
    "misaligned": "the recording has a jump: record the take again without stopping or editing it",
    "disturbed": "part of the recording is muted, repeated or disturbed: record the take again",
    "brief-faults": "the recording crackles or is muted for milliseconds: check cables and contacts, and record the "
    "take again",
    "foreign-sound": "the recording contains a voice or another sound: record the take again in silence",
    "non-finite": "part of the wet file is damaged: export it again without plugins",
    "unknown-lag": "part of the take has too little programme to measure the lag: record the take again",
    "unsteady": "the clocks of player and recorder drift apart: use one interface, or a common word clock",
    "refused-take": "record the take again, for the following reasons",
}
"""Remedy for excluded segments, by flag."""

PAIR_REMEDIES = REMEDIES | {
    "silence": "the dry file is silent there: correct `start` and `stop` of the pair",
    "clipped": "the wet file is clipped: replace it by one of a lower level",
    "outside-take": "the wet file holds only part of the dry file: set `start` and `stop` of the pair to this part",
    "lost-samples": "samples of the wet file are missing: export or record it again",
    "repeated-samples": "samples of the wet file are repeated: export or record it again",
    "not-recognised": "part of the wet file does not match the dry file: set `start` and `stop` of the pair to the "
    "part that does",
    "misaligned": "part of the wet file is shifted: export it again without edits, or set `start` and `stop` of the "
    "pair",
    "disturbed": "part of the wet file is muted, repeated or disturbed: set `start` and `stop` of the pair to the part "
    "that is good",
    "brief-faults": "the wet file crackles or is muted for milliseconds: replace it",
    "foreign-sound": "part of the wet file contains a voice or another sound: set `start` and `stop` of the pair to "
    "the part that is good",
    "unknown-lag": "part of the pair has too little programme to measure the lag: set `start` and `stop` of the pair",
    "unsteady": "the two files were made on different clocks: export or record the wet file again on one clock",
    "refused-take": "correct or replace the files, for the following reasons",
}
"""Remedy for excluded segments of a pair, by flag."""


@dataclass(frozen=True)
class CaptureFiles:
    """The files of one capture: segments, shard, take and alignment."""

    segments: Path
    shard: Path
    take: Path
    alignment: Path


def build_manifest(
    device: str,
    captures: Sequence[CaptureFiles],
    missing: Iterable[str] = (),
    progress: Progress = no_progress,
    divided: Mapping[str, str] | None = None,
    compared: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Join the captures of a device into its segments (`segments/1`) and their summary (`dataset/1`).

    `missing` are captures of the configuration that may be absent. `divided` are tracks to leave out, with their
    artist, because the artist is in another split of a recorded excitation. `compared` are the results of the
    comparison of the captures (`captures/1`). The segments are sorted by capture and start. The result does not depend
    on time, location or the order of `captures`; `write_manifest` adds the digests. Raises `DatasetError` if there is
    no capture, if captures differ in sample rate, segment length or guard, if a shard and its table do not match, or if
    a split has no usable segment. `progress` counts captures.
    """
    if not captures:
        raise DatasetError(
            f"device {device} has no captures: record a take of it, or list pairs for it in the configuration"
        )
    tables: dict[str, pd.DataFrame] = {}
    summaries: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[str, str]] = {"alignments": {}, "shards": {}, "takes": {}}
    metadata: dict[str, ShardMetadata] = {}
    for files in captures:
        table, shard = read_table(files.segments, SEGMENTS), Shard.open(files.shard)
        name = shard.metadata.capture
        if name in tables:
            raise DatasetError(f"capture {name} of {device} is given twice: {files.shard} and another shard")
        _check_match(device, files, table, shard)
        take, alignment = read_json(files.take, TAKE), read_json(files.alignment, ALIGNMENT)
        table = leave_out_tracks(table, divided or {})
        tables[name], metadata[name] = table, shard.metadata
        summaries[name] = _summarise_capture(shard.metadata, take, alignment, table, (compared or {}).get(name))
        sums["alignments"][name] = sha256_file(files.alignment)
        sums["shards"][name] = sha256_file(files.shard)
        sums["takes"][name] = shard.metadata.take_sha256
        progress(1, name)
    names = sorted(tables)
    # `pop`, so that no part is kept while all segments are sorted.
    segments = pd.concat([tables.pop(name) for name in names], ignore_index=True)
    segments = segments.sort_values(["capture", "start"], kind="stable", ignore_index=True)
    rate, size, guard = _common_format(device, [metadata[name] for name in names])
    _require_splits(device, segments, summaries)
    dataset = {
        "device": device,
        "sample_rate": rate,
        "segment_samples": size,
        "guard_samples": guard,
        "simulated": any(metadata[name].simulated for name in names),
        "splits": {split: _amount(int((segments["split"] == split).sum()), size, rate) for split in SPLITS},
        "captures": {name: summaries[name] for name in names},
        "missing_captures": sorted(missing),
        "excluded": _count_excluded(segments, size, rate),
        "divided_artists": {
            artist: sorted(track for track, its in (divided or {}).items() if its == artist)
            for artist in sorted(set((divided or {}).values()))
        },
        "licences": _count_by_value(segments["licences"][segments["split"] != ""], size, rate),
        "sums": {kind: dict(sorted(digests.items())) for kind, digests in sums.items()},
    }
    return segments, dataset


def write_manifest(folder: Path, segments: pd.DataFrame, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Write `segments.parquet` and then `dataset.json` into a folder; return the content of the latter.

    Adds the sha256 of the table to `sums`, and `digest`, the identity of the dataset: the sha256 of the canonical JSON
    of `sums`. It changes if and only if a shard, take, alignment or segment changes.
    """
    table = folder / "segments.parquet"
    write_table(table, SEGMENTS, segments)
    sums = {**dataset["sums"], "segments": sha256_file(table)}
    content = {**dataset, "sums": sums, "digest": dataset_digest(sums)}
    write_json(folder / "dataset.json", DATASET, content)
    return content


def dataset_digest(sums: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the `sums` of a dataset."""
    text = json.dumps(sums, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_bytes(text.encode())


def _check_match(device: str, files: CaptureFiles, table: pd.DataFrame, shard: Shard) -> None:
    """Raise `DatasetError` if table and shard were not written together or belong to another device."""
    if shard.metadata.device != device:
        raise DatasetError(f"{files.shard} belongs to the device {shard.metadata.device}, not {device}")
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise DatasetError(f"{files.segments} lacks the column {absent[0]}: delete it and run again")
    written = table[table["row"] >= 0]
    same_segments = written["segment_id"].tolist() == shard.table["segment_id"].tolist()
    if not same_segments or not set(written["shard"]) <= {files.shard.name}:
        raise DatasetError(f"{files.segments} and {files.shard} were not written together: delete both and run again")


def _summarise_capture(
    metadata: ShardMetadata,
    take: Mapping[str, Any],
    alignment: Mapping[str, Any],
    table: pd.DataFrame,
    compared: Mapping[str, Any] | None,
) -> dict[str, Any]:
    if take["sha256"] != metadata.take_sha256:
        raise DatasetError(
            f"the shard and the take.json of {metadata.capture} belong to different recordings: delete the shard and "
            "run again"
        )
    size, rate = metadata.segment_samples, metadata.sample_rate
    aligned, reasons = alignment["verdict"], list(alignment["reasons"])
    if compared is not None:
        aligned = compared["verdict"] if aligned == "ok" else aligned
        reasons += compared["reasons"]
    return {
        # Absent from files of older versions.
        "kind": take.get("kind", "take"),
        "take_verdict": take["verdict"],
        "take_reasons": list(take["reasons"]),
        "alignment_verdict": aligned,
        "alignment_reasons": reasons,
        "accepted": (alignment.get("known") or {}).get("accept"),
        # Alignments of older versions have no noise floor.
        "noise_floor_dbfs": alignment.get("noise_floor_dbfs"),
        "simulated": metadata.simulated,
        "usable": _amount(int((table["split"] != "").sum()), size, rate),
        "all": _amount(len(table), size, rate),
    }


def _common_format(device: str, metadata: Sequence[ShardMetadata]) -> tuple[int, int, int]:
    """Return the sample rate, segment length and guard of all captures; raise `DatasetError` if they differ."""
    first = metadata[0]
    for other in metadata[1:]:
        for key, unit in (
            ("sample_rate", "Hz"),
            ("segment_samples", "samples per segment"),
            ("guard_samples", "guard samples"),
        ):
            if getattr(other, key) != getattr(first, key):
                raise DatasetError(
                    f"device {device} mixes captures: {first.capture} has {getattr(first, key)} {unit}, "
                    f"{other.capture} has {getattr(other, key)}. Convert one of them, or use two devices"
                )
    return first.sample_rate, first.segment_samples, first.guard_samples


def _amount(segments: int, size: int, rate: int) -> dict[str, Any]:
    seconds = segments * size / rate
    return {"segments": segments, "seconds": round(seconds, 3), "hours": round(seconds / 3600, 4)}


def _count_by_value(lists: "pd.Series[Any]", size: int, rate: int) -> dict[str, Any]:
    """Return the amount of segments for each value in `lists`, a column with a list of values per segment."""
    counts = Counter(str(value) for values in lists for value in values)
    return {value: _amount(counts[value], size, rate) for value in sorted(counts)}


def _count_excluded(segments: pd.DataFrame, size: int, rate: int) -> dict[str, Any]:
    """Return the amount of excluded segments by reason and by excluded track; a segment counts once per reason."""
    excluded = segments[segments["split"] == ""]
    flags = [[str(flag) for flag in found] for found in excluded["flags"]]
    reasons = pd.Series([sorted({flag.split(":", 1)[0] for flag in found}) for found in flags], dtype=object)
    tracks = pd.Series([[flag.split(":", 1)[1] for flag in found if ":" in flag] for found in flags], dtype=object)
    return {
        "all": _amount(len(excluded), size, rate),
        "reasons": _count_by_value(reasons, size, rate),
        "tracks": _count_by_value(tracks, size, rate),
    }


_RECORD_AGAIN = "Record them again, or set allow_missing_takes: true to go on without them"


def refuse_useless(dataset: Mapping[str, Any], files: Mapping[str, str] | None = None) -> None:
    """Raise `DatasetError` with all reasons if a capture is refused; `dataset` as returned by `build_manifest`.

    `files` are the recordings by capture, if the error is to name them.
    """
    reasons = _refusal_sentences(dataset["captures"], files or {})
    if reasons:
        remedy = "Correct or replace these pairs" if _has_pairs(dataset["captures"]) else _RECORD_AGAIN
        raise DatasetError(
            f"device {dataset['device']} has {len(reasons)} of {len(dataset['captures'])} captures that are unusable: "
            f"{'; '.join(reasons)}. {remedy}"
        )


def _has_pairs(captures: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the captures of a device are pairs: a device has either pairs or takes."""
    return any(capture.get("kind") == "pair" for capture in captures.values())


def _refusal_sentences(captures: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> list[str]:
    """Return a sentence for each refused capture, sorted by name: the name, the file if known, and the reasons."""
    sentences = []
    for name in sorted(captures):
        capture = captures[name]
        reasons = [
            reason
            for stage in ("take", "alignment")
            if capture[f"{stage}_verdict"] == "refused"
            for reason in capture[f"{stage}_reasons"] or [f"the {stage} is refused"]
        ]
        file = f" ({files[name]})" if name in files else ""
        sentences += [f"{name}{file}: {'; '.join(reasons)}"] if reasons else []
    return sentences


def _require_splits(device: str, segments: pd.DataFrame, captures: Mapping[str, Mapping[str, Any]]) -> None:
    for split in SPLITS:
        if (segments["split"] == split).any():
            continue
        reasons = [str(flag).split(":", 1)[0] for flags in segments["flags"] for flag in flags]
        counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
        summary = ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none has a flag"
        are_pairs = _has_pairs(captures)
        known = PAIR_REMEDIES if are_pairs else REMEDIES
        remedies = "; ".join(
            [f"{name}: {known[name]}" for name in counts if name in known] + _refusal_sentences(captures, {})
        )
        raise DatasetError(
            f"device {device} has no usable segment for {split}. Of its {len(segments)} segments: {summary}. "
            + (
                f"Remedies: {remedies}."
                if remedies
                else f"Give one of its pairs the split {split}, or leave the splits empty."
                if are_pairs
                else f"Give one of its captures the split {split}, or record the reel that contains it."
            )
        )
