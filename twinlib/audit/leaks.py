"""Do the splits share anything? Looked for anew, in what a results folder holds, without the corpus or a setting."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twinlib.audit.aggregate import used
from twinlib.audit.formatting import table as columns_of
from twinlib.contracts import CUES, FINGERPRINTS, LEAKS, SEGMENTS
from twinlib.dataset.leaks import COLUMNS, Duplicate, find_audio_leaks, find_duplicates, find_leaks
from twinlib.errors import AuditError
from twinlib.files import read_json, read_table
from twinlib.provenance.results import read_arrow

Compared = tuple[list[Duplicate], dict[str, int]]
"""What `find_duplicates` says."""

_CUE = ("reel", "start", "stop", "track_id", "split")
_LISTS = {"tracks": "track_ids", "artists": "artists"}


def audit_leaks(results: Path) -> dict[str, Any]:
    """All leaks of every device: `leaks` counts them, `devices` has for each what `leaks.json` should say.

    Each entry names its `device`, its `excitation` (None for pairs), its `leaks` and what was `checked`, as in
    `leaks/1`, and in `notes` what could not be looked at. Raises `AuditError` if there is no dataset.
    """
    paths = sorted(results.glob("devices/*/segments.parquet"))
    if not paths:
        raise AuditError(f"{results} holds no dataset (devices/*/segments.parquet): this part has not run")
    sheets = {path.parent: read_table(path, CUES, _CUE) for path in sorted(results.glob("excitations/*/cues.parquet"))}
    # Devices of one excitation differ in their takes, but not in what was played to them.
    compare = cache(lambda folder, reels: _compared(folder, sheets[folder], reels))
    devices = [_of_device(path, sheets, compare) for path in paths]
    return {"leaks": sum(len(device["leaks"]) for device in devices), "devices": devices}


def leaks_text(found: Mapping[str, Any]) -> str:
    """The answer for people: what was compared in each dataset, each leak, and a verdict."""
    rows, told = [], []
    for device in found["devices"]:
        checked = device["checked"]
        amounts = ", ".join(f"{split} {count}" for split, count in checked["segments"].items()) or "none"
        codes = checked["audio"]["codes"] if checked["audio"] else "none"
        counts = (checked["tracks"], checked["artists"], codes, len(device["leaks"]))
        rows.append((device["device"], device["excitation"] or "pairs", amounts, *counts))
        told += [
            f"{device['device']}: {leak['kind']} {leak['what']} in {' and '.join(leak['splits'])}: "
            f"{', '.join(leak['segments'])}"
            for leak in device["leaks"]
        ]
        told += [f"{device['device']}: {note}" for note in device["notes"]]
    header = ("device", "excitation", "usable segments", "tracks", "artists", "audio codes", "leaks")
    looked = "No split shares anything with another."
    if any(device["notes"] for device in found["devices"]):
        looked = "No split shares anything with another in what could be looked at."
    verdict = f"The splits leak, {found['leaks']} times." if found["leaks"] else looked
    return "\n".join([*columns_of(rows, header), *told, verdict]) + "\n"


def _compared(folder: Path, sheet: pd.DataFrame, reels: tuple[str, ...]) -> Compared:
    return find_duplicates(sheet[sheet["reel"].isin(reels)], read_table(folder / "fingerprints.parquet", FINGERPRINTS))


def _of_device(
    path: Path, sheets: Mapping[Path, pd.DataFrame], compare: Callable[[Path, tuple[str, ...]], Compared]
) -> dict[str, Any]:
    # The sources are asked for where there are no tracks, and are half of the table.
    table = read_arrow(path, SEGMENTS, [name for name in COLUMNS if name != "sources"])
    rows = used(table.select(["split", *_LISTS.values()]))
    if pc.any(pc.equal(pc.list_value_length(rows["track_ids"]), 0)).as_py():
        segments = read_arrow(path, SEGMENTS, list(COLUMNS)).to_pandas()
    else:
        segments = table.to_pandas(types_mapper=lambda one: pd.ArrowDtype(one) if pa.types.is_list(one) else None)
    captures = sorted(segments["capture"].unique())
    folder = next((one for one, sheet in sheets.items() if set(sheet["reel"].unique()) & set(captures)), None)
    cues: dict[str, pd.DataFrame] = {}
    if folder is not None:
        cues = {str(reel): rows for reel, rows in sheets[folder].groupby("reel") if reel in captures}
    by = _split_by(path.with_name("leaks.json"))
    leaks, audio, notes = find_leaks(segments, by, cues=cues), None, []
    if folder is None:
        notes.append("no cue sheet names its captures: what they hold is known by name and content alone")
    elif not (folder / "fingerprints.parquet").is_file():
        notes.append(f"{folder.name} has no fingerprints: copies under other names were not looked for")
    else:
        copied, audio = compare(folder, tuple(sorted(cues)))
        leaks += find_audio_leaks(segments, copied)
    return {
        "device": path.parent.name,
        "excitation": folder.name if folder else None,
        "leaks": [asdict(leak) for leak in leaks],
        "checked": {"by": by, **_held(rows), "captures_against_cues": sorted(cues), "audio": audio},
        "notes": notes,
    }


def _held(rows: pa.Table) -> dict[str, Any]:
    """Usable segments by split, and how many tracks and artists these hold: as in `leak_report`, from Arrow's lists."""
    splits = {row["values"]: row["counts"] for row in pc.value_counts(rows["split"]).to_pylist()}
    held = {name: len(pc.list_flatten(rows[column]).unique()) for name, column in _LISTS.items()}
    return {"segments": dict(sorted(splits.items())), **held}


def _split_by(path: Path) -> Literal["artist", "track"]:
    """Whether artists too must stay in one split, as the stage was told; yes if it does not say."""
    if path.is_file() and read_json(path, LEAKS).get("checked", {}).get("by") == "track":
        return "track"
    return "artist"
