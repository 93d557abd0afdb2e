"""Proof that the splits of a dataset share nothing: computed anew from cue sheets and sums, not from how it was cut."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twinlib.contracts import LEAKS
from twinlib.errors import DatasetError, LeakError
from twinlib.files import read_json

COLUMNS = (
    "segment_id", "capture", "start", "stop", "split", "context", "track_ids", "artists", "sources", "dry_sha256",
)  # fmt: skip
"""The columns of `segments/1` that are looked at."""

_SHOWN = 3

_REMEDIES = {
    "track": "make the excitation again under another name, with splits by track or artist",
    "artist": "make the excitation again under another name, with split.by: artist",
    "cue": "delete the shards of the capture and run again; if it stays, this is a fault of twinlib: report it",
    "range": "let the ranges of the pairs that share a dry file not overlap, or give them the same split",
    "content": "the same recording stands in two splits under two names: exclude one of them",
    "audio": "the same recording stands in two splits under two names: exclude one of the two tracks",
}


@dataclass(frozen=True)
class Leak:
    """Something that two splits share: of which kind, what it is, and one segment of each split that holds it."""

    kind: Literal["track", "artist", "cue", "range", "content", "audio"]
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
    used = _used(segments)
    reach = used["context"].to_numpy(dtype=np.int64)
    if receptive_field is not None:
        reach = np.minimum(reach, receptive_field - 1)
    used = used.assign(begin=used["start"].to_numpy(dtype=np.int64) - reach)
    leaks = _shared(used, "track", "track_ids")
    if by == "artist":
        leaks += _shared(used, "artist", "artists")
    places = used.groupby("capture", sort=False).indices if cues else {}
    for capture in sorted(cues or {}):
        leaks += _foreign_cues(used.iloc[places.get(capture, [])], (cues or {})[capture])
    leaks += _overlapping_ranges(used)
    return leaks + _same_content(used)


@dataclass(frozen=True)
class Duplicate:
    """One recording that a cue sheet has under two names in two splits: its tracks, their splits, a cue of each."""

    tracks: tuple[str, str]
    splits: tuple[str, str]
    cues: tuple[int, int]
    """Their labels in the index of the cue sheet."""
    agreement: str
    """The time between the two, and how many codes agree on it, in words."""


def find_duplicates(cues: pd.DataFrame, fingerprints: pd.DataFrame) -> tuple[list[Duplicate], dict[str, int]]:
    """Recordings that stand in two splits under two names, found by what sounds in the slices; most certain first.
    And what was compared: `tracks`, their `codes`, and the `times` between two tracks that were possible.

    `cues` are rows of a cue sheet (`cues/1`) with their numbers in it as index; `fingerprints` those of its reels
    (`fingerprints/1`). Repetition within one track is none. Raises `DatasetError` if the two are not of one excitation.
    """
    if not len(cues) or not len(fingerprints):
        return [], {"tracks": 0, "codes": 0, "times": 0}
    row_of = np.full(max(int(cues.index.max()), int(fingerprints["cue"].max())) + 1, -1)
    row_of[cues.index.to_numpy()] = np.arange(len(cues))
    cue, at = row_of[fingerprints["cue"].to_numpy()], fingerprints["at"].to_numpy()
    inside = (cues["start"].to_numpy()[cue] <= at) & (at < cues["stop"].to_numpy()[cue])
    if not np.all(inside | (cue < 0)):
        raise DatasetError(
            "the fingerprints do not fit the cue sheet: they are not of one excitation; delete fingerprints.parquet "
            "and run again"
        )
    # Who only asks whether leaks were found needs no statistics of copies.
    from twinlib.dataset.duplicates import match_fingerprints

    heard = np.flatnonzero(cue >= 0)
    cue = cue[heard]
    track, tracks = pd.factorize(cues["track_id"], sort=True)
    split, splits = pd.factorize(cues["split"], sort=True)
    group, side = track[cue], split[cue]
    columns = (fingerprints[name].to_numpy()[heard].astype(np.int64) for name in ("frame", "code", "weak"))
    copies, times = match_fingerprints(group * len(splits) + side, group, side, *columns)
    labels = cues.index.to_numpy()
    found = []
    for copy in copies:
        (one, in_one), (other, in_other) = (divmod(party, len(splits)) for party in copy.parties)
        found.append(
            Duplicate(
                (str(tracks[one]), str(tracks[other])),
                (str(splits[in_one]), str(splits[in_other])),
                (int(labels[cue[copy.rows[0]]]), int(labels[cue[copy.rows[1]]])),
                f"{copy.offset_seconds:+.2f} s, {copy.votes} codes agree",
            )
        )
    return found, {"tracks": len(np.unique(group)), "codes": len(heard), "times": times}


def find_audio_leaks(segments: pd.DataFrame, copied: Sequence[Duplicate]) -> list[Leak]:
    """The copies of which a dataset uses both.

    A leak names both tracks, the time in seconds by which the recording lies later in the first one, the codes that
    agree on it, and a usable segment in which each sounds.
    """
    used = _used(segments) if copied else segments
    leaks = []
    for one in copied:
        holding = [_first_with(used, split, track) for split, track in zip(one.splits, one.tracks, strict=True)]
        if all(holding):
            what = f"{' and '.join(one.tracks)} ({one.agreement})"
            leaks.append(Leak("audio", what, one.splits, tuple(name for name in holding if name)))
    return leaks


def _first_with(used: pd.DataFrame, split: str, track: str) -> str | None:
    """The first segment of a split in which a track sounds; None if there is none."""
    rows = used[(used["split"] == split).to_numpy()]
    ids, tracks = rows["segment_id"].tolist(), rows["track_ids"].tolist()
    return next((str(name) for name, held in zip(ids, tracks, strict=True) if track in held), None)


def find_planned_duplicates(cues: pd.DataFrame, fingerprints: pd.DataFrame) -> list[Leak]:
    """What would be a leak if every slice of a cue sheet (`cues/1`) were used: told before a recording.

    The segments that a leak names are slices: their reel and their position.
    """
    names = cues["reel"].astype(str) + "/" + cues["position"].astype(str)
    return [
        Leak(
            "audio",
            f"{' and '.join(one.tracks)} ({one.agreement})",
            one.splits,
            tuple(str(names[cue]) for cue in one.cues),
        )
        for one in find_duplicates(cues, fingerprints)[0]
    ]


def leak_report(
    leaks: Sequence[Leak],
    segments: pd.DataFrame,
    by: str,
    captures: Sequence[str],
    audio: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The content of `leaks/1`: all leaks, and what was checked; `captures` are those checked against a cue sheet.

    `audio` is what `find_duplicates` compared, None where there are no fingerprints.
    """
    used = segments.loc[segments["split"] != "", ["split", "track_ids", "artists"]]
    return {
        "leaks": [asdict(leak) for leak in leaks],
        "checked": {
            "by": by,
            "segments": {str(split): int(count) for split, count in sorted(used["split"].value_counts().items())},
            "tracks": len(pc.list_flatten(_lists(used["track_ids"])).unique()),
            "artists": len(pc.list_flatten(_lists(used["artists"])).unique()),
            "captures_against_cues": sorted(captures),
            "audio": dict(audio) if audio is not None else None,
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


def _used(segments: pd.DataFrame) -> pd.DataFrame:
    """The usable segments, by capture and start."""
    used = segments[(segments["split"] != "").to_numpy()]
    capture, _ = pd.factorize(used["capture"], sort=True)
    return used.iloc[np.lexsort((used["start"].to_numpy(dtype=np.int64), capture))]


def _lists(column: "pd.Series[Any]") -> Any:
    """A column of lists of words as Arrow's: what was left in that form need not become a hundred thousand objects."""
    table = pa.Table.from_pandas(column.to_frame(), preserve_index=False)
    return table.column(0).combine_chunks().cast(pa.list_(pa.string()))


def _sizes(column: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    return np.asarray(pc.list_value_length(_lists(column)), dtype=np.int64)


def _split_pairs(kind: Any, values: Any, rows: npt.NDArray[np.int64], used: pd.DataFrame) -> list[Leak]:
    """A leak for each value that stands in rows of more than one split; names the first segment of each split."""
    encoded = pa.array(values, pa.string()).dictionary_encode()
    value, names = encoded.indices.to_numpy(), encoded.dictionary
    split, splits = pd.factorize(used["split"], sort=True)
    both = value.astype(np.int64) * len(splits) + split[rows]
    counts = np.bincount(both, minlength=len(names) * len(splits)).reshape(len(names), len(splits))
    shared = np.flatnonzero(np.count_nonzero(counts, axis=1) > 1)
    told = np.flatnonzero(np.isin(value, shared))
    both, first = np.unique(both[told], return_index=True)
    ids = used["segment_id"].iloc[rows[told[first]]].tolist()
    leaks = []
    for one in sorted(shared.tolist(), key=lambda one: names[one].as_py()):
        mine = np.flatnonzero(both // len(splits) == one).tolist()
        found = tuple(str(splits[both[at] % len(splits)]) for at in mine)
        leaks.append(Leak(kind, names[one].as_py(), found, tuple(ids[at] for at in mine)))
    return leaks


def _shared(used: pd.DataFrame, kind: str, column: str) -> list[Leak]:
    lists = _lists(used[column])
    return _split_pairs(kind, pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy(), used)


def _same_content(used: pd.DataFrame) -> list[Leak]:
    sizes = np.unique((used["stop"] - used["start"]).to_numpy(dtype=np.int64)).tolist()
    meaningless = {"", *(hashlib.sha256(bytes(4 * size)).hexdigest() for size in sizes)}
    again = np.flatnonzero(used["dry_sha256"].duplicated(keep=False).to_numpy())
    sums = used["dry_sha256"].iloc[again].tolist()
    told = [(one, row) for one, row in zip(sums, again.tolist(), strict=True) if one not in meaningless]
    return _split_pairs("content", [one for one, _ in told], np.array([row for _, row in told], dtype=np.int64), used)


def _foreign_cues(used: pd.DataFrame, cues: pd.DataFrame) -> list[Leak]:
    """Segments of one capture whose [begin, stop) holds a sample of a cue of another split.

    Counts the cues that begin before the segment ends, less those that end before it begins: what is left touches it.
    """
    leaks = []
    theirs, mine = cues["split"], used["split"]
    starts, stops = cues["start"].to_numpy(), cues["stop"].to_numpy()
    begins, ends = used["begin"].to_numpy(), used["stop"].to_numpy()
    for split in sorted(mine.unique()):
        own = np.flatnonzero((mine == split).to_numpy())
        for other in sorted(set(theirs.unique()) - {split}):
            foreign = np.flatnonzero((theirs == other).to_numpy())
            begun = np.searchsorted(np.sort(starts[foreign]), ends[own], side="left")
            ended = np.searchsorted(np.sort(stops[foreign]), begins[own], side="right")
            for at in own[begun > ended].tolist():
                touched = foreign[(starts[foreign] < ends[at]) & (stops[foreign] > begins[at])]
                track = cues["track_id"].iloc[int(touched[0])]
                leaks.append(Leak("cue", str(track), (split, other), (str(used["segment_id"].iloc[at]),)))
    return leaks


def _overlapping_ranges(used: pd.DataFrame) -> list[Leak]:
    """Segments without tracks (of pairs) that hold, context included, samples of one dry file in two splits."""
    pairs = used[_sizes(used["track_ids"]) == 0]
    if pairs.empty:
        # Tables of reels need not even have the column `sources`.
        return []
    pairs = pairs[_sizes(pairs["sources"]) > 0]
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
    if read_json(path, LEAKS)["leaks"]:
        raise LeakError(f"{path} names leaks between the splits: nothing is trained on them")
