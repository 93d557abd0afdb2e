"""Search the datasets of a results folder for leaks between splits, without the corpus or the configuration."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twinlib.audit.aggregate import usable
from twinlib.contracts import CUES, LEAKS, SEGMENTS
from twinlib.dataset import (
    COLUMNS,
    REMEDIES,
    Duplicate,
    Fingerprints,
    Leak,
    find_audio_leaks,
    find_duplicates,
    find_leaks,
)
from twinlib.errors import AuditError
from twinlib.excitation import find_cue_families
from twinlib.files import read_json, read_table
from twinlib.provenance import read_arrow

_Duplicates = tuple[list[Duplicate], dict[str, int]]
"""The result of `find_duplicates`."""

_CUE = ("reel", "start", "stop", "track_id", "artist", "split")
_LISTS = {"tracks": "track_ids", "artists": "artists"}


def audit_leaks(results: Path) -> dict[str, Any]:
    """Search all datasets for leaks: `leaks` is their number, `devices` has one entry per dataset.

    An entry holds the `device`, its `excitation` (None for pairs), its `leaks` (as in `leaks/1`, with `code`,
    `severity` and `remedy`), the extent of the check in `checked` (as in `leaks/1`) and, in `notes`, checks that were
    impossible. Raises `AuditError` if there is no dataset.
    """
    paths = sorted(results.glob("devices/*/segments.parquet"))
    if not paths:
        raise AuditError(f"{results} has no dataset (devices/*/segments.parquet): run the workflow first")
    sheets = {path.parent: read_table(path, CUES, _CUE) for path in sorted(results.glob("excitations/*/cues.parquet"))}
    # Devices with the same excitation and the same reels share one comparison of fingerprints.
    compare = cache(lambda folder, reels: _find_duplicates(folder, sheets[folder], reels))
    devices = [_audit_device(path, sheets, compare) for path in paths]
    return {"leaks": sum(len(device["leaks"]) for device in devices), "devices": devices}


def _find_duplicates(folder: Path, sheet: pd.DataFrame, reels: tuple[str, ...]) -> _Duplicates:
    return find_duplicates(sheet[sheet["reel"].isin(reels)], Fingerprints(folder / "fingerprints.parquet"))


def _audit_device(
    path: Path, sheets: Mapping[Path, pd.DataFrame], compare: Callable[[Path, tuple[str, ...]], _Duplicates]
) -> dict[str, Any]:
    # Sources are half of the table; only segments without tracks need them.
    table = read_arrow(path, SEGMENTS, [name for name in COLUMNS if name != "sources"])
    rows = usable(table.select(["split", *_LISTS.values()]))
    if pc.any(pc.equal(pc.list_value_length(rows["track_ids"]), 0)).as_py():
        segments = read_arrow(path, SEGMENTS, list(COLUMNS)).to_pandas()
    else:
        segments = table.to_pandas(types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_list(kind) else None)
    captures = sorted(segments["capture"].unique())
    folder = next((one for one, sheet in sheets.items() if set(sheet["reel"].unique()) & set(captures)), None)
    cues: dict[str, pd.DataFrame] = {}
    if folder is not None:
        cues = {str(reel): rows for reel, rows in sheets[folder].groupby("reel") if reel in captures}
    by, aliases = _known_artists(path.with_name("leaks.json"))
    families = find_cue_families(sheets[folder], aliases) if folder is not None else None
    leaks, audio, notes = find_leaks(segments, by, cues=cues, families=families), None, []
    if folder is None:
        notes.append("no cue sheet names its captures: only file names and audio content were compared")
    elif not (folder / "fingerprints.parquet").is_file():
        notes.append(
            f"{folder.name} has no fingerprints: copies of one recording under several names were not searched"
        )
    else:
        duplicates, audio = compare(folder, tuple(sorted(cues)))
        leaks += find_audio_leaks(segments, duplicates)
    return {
        "device": path.parent.name,
        "excitation": folder.name if folder else None,
        "leaks": [_describe(leak) for leak in leaks],
        "checked": {"by": by, **_counts(rows), "captures_against_cues": sorted(cues), "audio": audio},
        "notes": notes,
    }


def _describe(leak: Leak) -> dict[str, Any]:
    finding = leak.finding
    return {**leak.to_dict(), "code": finding.code, "severity": finding.severity, "remedy": REMEDIES[leak.kind]}


def _counts(rows: pa.Table) -> dict[str, Any]:
    """Count segments by split, tracks and artists of the usable rows, as `leak_report` does, in Arrow."""
    splits = {row["values"]: row["counts"] for row in pc.value_counts(rows["split"]).to_pylist()}
    counts = {name: len(pc.list_flatten(rows[column]).unique()) for name, column in _LISTS.items()}
    return {"segments": dict(sorted(splits.items())), **counts}


def _known_artists(path: Path) -> tuple[Literal["artist", "track"], Mapping[str, list[str]]]:
    """Return the unit of the splits, `track` or `artist`, and the names of artists with which the stage checked."""
    found = read_json(path, LEAKS) if path.is_file() else {}
    return "track" if found.get("checked", {}).get("by") == "track" else "artist", found.get("aliases", {})
