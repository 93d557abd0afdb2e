"""Proof that the splits of a dataset share nothing: computed anew from cue sheets and sums, not from how it was cut."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from twinlib.errors import LeakError
from twinlib.files import read_json

CONTRACT = "leaks/1"

_SHOWN = 3

_REMEDIES = {
    "track": "make the excitation again under another name, with splits by track or artist",
    "artist": "make the excitation again under another name, with split.by: artist",
    "cue": "delete the shards of the capture and run again; if it stays, this is a fault of twinlib: report it",
    "range": "let the ranges of the pairs that share a dry file not overlap, or give them the same split",
    "content": "the same recording stands in two splits under two names: exclude one of them",
}


@dataclass(frozen=True)
class Leak:
    """Something that two splits share: of which kind, what it is, and one segment of each split that holds it."""

    kind: Literal["track", "artist", "cue", "range", "content"]
    what: str
    splits: tuple[str, ...]
    segments: tuple[str, ...]


def find_leaks(
    segments: pd.DataFrame,
    by: Literal["artist", "track"] = "artist",
    receptive_field: int | None = None,
    cues: Mapping[str, pd.DataFrame] | None = None,
) -> list[Leak]:
    """All leaks between the usable segments of different splits; an empty list is the proof that there is none.

    A leak is a track (and, by artist, an artist) in two splits; a segment that with its left context holds a sample
    of a cue of another split; two overlapping ranges of one dry file in two splits; the same dry samples, other than
    silence, in two splits. The left context is `receptive_field - 1` samples where the segment has them, all it has
    without a `receptive_field`. `cues` are the rows of the cue sheet (`cues/1`) by capture.
    """
    used = segments[segments["split"] != ""].sort_values(["capture", "start"], kind="stable")
    reach = used["context"].to_numpy(dtype=np.int64)
    if receptive_field is not None:
        reach = np.minimum(reach, receptive_field - 1)
    used = used.assign(begin=used["start"].to_numpy(dtype=np.int64) - reach)
    leaks = _shared(used, "track", "track_ids")
    if by == "artist":
        leaks += _shared(used, "artist", "artists")
    for capture in sorted(cues or {}):
        leaks += _foreign_cues(used[used["capture"] == capture], (cues or {})[capture])
    leaks += _overlapping_ranges(used)
    return leaks + _same_content(used)


def leak_report(leaks: Sequence[Leak], segments: pd.DataFrame, by: str, captures: Sequence[str]) -> dict[str, Any]:
    """The content of `leaks/1`: all leaks, and what was checked; `captures` are those checked against a cue sheet."""
    used = segments[segments["split"] != ""]
    return {
        "leaks": [asdict(leak) for leak in leaks],
        "checked": {
            "by": by,
            "segments": {str(split): int(count) for split, count in sorted(used["split"].value_counts().items())},
            "tracks": int(used["track_ids"].explode().nunique()),
            "artists": int(used["artists"].explode().nunique()),
            "captures_against_cues": sorted(captures),
        },
    }


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """The gate before training: raises `LeakError` that names the first leaks and the remedy for each kind found."""
    if not leaks:
        return
    shown = "; ".join(
        f"{leak.kind} {leak.what} in {' and '.join(leak.splits)} ({', '.join(leak.segments)})"
        for leak in leaks[:_SHOWN]
    )
    more = f" and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
    remedies = "; ".join(f"{kind}: {_REMEDIES[kind]}" for kind in sorted({leak.kind for leak in leaks}))
    raise LeakError(f"The splits leak, {len(leaks)} times: {shown}{more}. What to do: {remedies}.")


def _split_pairs(kind: Any, rows: pd.DataFrame) -> list[Leak]:
    """A leak for each value of `rows.value` that stands in more than one split; names a segment of each split."""
    counts = rows.groupby("value")["split"].nunique()
    leaks = []
    for value in sorted(counts.index[counts > 1]):
        first = rows[rows["value"] == value].drop_duplicates("split").sort_values("split")
        leaks.append(Leak(kind, str(value), tuple(first["split"]), tuple(first["segment_id"])))
    return leaks


def _shared(used: pd.DataFrame, kind: str, column: str) -> list[Leak]:
    rows = used[["segment_id", "split", column]].rename(columns={column: "value"}).explode("value")
    return _split_pairs(kind, rows.dropna(subset=["value"]))


def _same_content(used: pd.DataFrame) -> list[Leak]:
    sizes = sorted({int(size) for size in used["stop"] - used["start"]})
    silent = {hashlib.sha256(bytes(4 * size)).hexdigest() for size in sizes}
    rows = used[["segment_id", "split", "dry_sha256"]].rename(columns={"dry_sha256": "value"})
    return _split_pairs("content", rows[(rows["value"] != "") & ~rows["value"].isin(silent)])


def _foreign_cues(used: pd.DataFrame, cues: pd.DataFrame) -> list[Leak]:
    """Segments of one capture whose [begin, stop) holds a sample of a cue of another split.

    Counts the cues that begin before the segment ends, less those that end before it begins: what is left touches it.
    """
    leaks = []
    for split in sorted(set(used["split"])):
        own = used[used["split"] == split]
        for other in sorted(set(cues["split"]) - {split}):
            foreign = cues[cues["split"] == other]
            starts, stops = np.sort(foreign["start"].to_numpy()), np.sort(foreign["stop"].to_numpy())
            begun = np.searchsorted(starts, own["stop"].to_numpy(), side="left")
            ended = np.searchsorted(stops, own["begin"].to_numpy(), side="right")
            for at in np.flatnonzero(begun > ended):
                segment = own.iloc[int(at)]
                touches = (foreign["start"] < segment["stop"]) & (foreign["stop"] > segment["begin"])
                track = foreign[touches].iloc[0]["track_id"]
                leaks.append(Leak("cue", str(track), (split, other), (segment["segment_id"],)))
    return leaks


def _overlapping_ranges(used: pd.DataFrame) -> list[Leak]:
    """Segments without tracks (of pairs) that hold, context included, samples of one dry file in two splits."""
    pairs = used[
        [
            len(tracks) == 0 and len(sources) > 0
            for tracks, sources in zip(used["track_ids"], used["sources"], strict=True)
        ]
    ]
    pairs = pairs.assign(file=[str(sources[0]).rsplit("[", 1)[0] for sources in pairs["sources"]])
    leaks = []
    for file, rows in pairs.groupby("file", sort=True):
        rows = rows.sort_values(["start", "segment_id"], kind="stable")
        for split in sorted(set(rows["split"])):
            own, others = rows[rows["split"] == split], rows[rows["split"] != split]
            starts, stops = np.sort(others["start"].to_numpy()), np.sort(others["stop"].to_numpy())
            begun = np.searchsorted(starts, own["stop"].to_numpy(), side="left")
            ended = np.searchsorted(stops, own["begin"].to_numpy(), side="right")
            for at in np.flatnonzero(begun > ended):
                segment = own.iloc[int(at)]
                touches = (others["start"] < segment["stop"]) & (others["stop"] > segment["begin"])
                other = others[touches].iloc[0]
                what = f"{file}[{segment['begin']}:{segment['stop']}]"
                leaks.append(Leak("range", what, (split, other["split"]), (segment["segment_id"], other["segment_id"])))
    return leaks


def require_no_leaks(path: Path) -> None:
    """Raise `LeakError` if a leaks.json names any: no twin is trained on them."""
    if read_json(path, CONTRACT)["leaks"]:
        raise LeakError(f"{path} names leaks between the splits: nothing is trained on them")
