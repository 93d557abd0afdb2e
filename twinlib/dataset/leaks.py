"""Leak check: prove from cue sheets, digests and fingerprints that the splits of a dataset are disjoint."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twinlib.contracts import FINGERPRINTS, LEAKS, SEGMENTS
from twinlib.corpus import Families
from twinlib.dataset.duplicates import match_fingerprints
from twinlib.errors import DatasetError, LeakError
from twinlib.files import read_arrow, read_json, read_table
from twinlib.findings import Finding, Messages, Value, refused

COLUMNS = (
    "segment_id", "capture", "start", "stop", "split", "context", "track_ids", "artists", "sources", "dry_sha256",
)  # fmt: skip
"""The columns of `segments/1` that the check reads."""

Kind = Literal["track", "artist", "cue", "range", "content", "audio"]

SUBJECTS = Messages(
    {
        "track": "{track}",
        "artist": "{artist}",
        "cue": "{track}",
        "range": "{file}[{start}:{stop}]",
        "content": "{sha256}",
        "audio": "{track} and {other_track} ({offset_seconds:+.2f} s, {votes} codes agree)",
    }
)
"""Description of the shared item, by kind of leak."""

REMEDIES: dict[str, str] = {
    "track": "create the excitation again under another name, with splits by track or artist",
    "artist": "create the excitation again under another name, with split.by: artist",
    "cue": "delete the shards of the capture and run again. If the leak remains, it is a bug of twinlib: report it",
    "range": "use ranges that do not overlap for pairs with the same dry file, or give them the same split",
    "content": "the same recording is in two splits under two names: exclude one of them",
    "audio": "the same recording is in two splits under two names: exclude one of the two tracks",
}
"""Remedy by kind of leak."""

MAX_LISTED = 3
"""Maximum number of leaks in an error message."""

_BLOCK = 1 << 16
"""Fingerprints that are compared with the cue sheet at once."""


@dataclass(frozen=True)
class Leak:
    """An item that two splits share: its kind, its values by name, and one segment of each split that contains it."""

    kind: Kind
    values: Mapping[str, Value]
    splits: tuple[str, ...]
    segments: tuple[str, ...]

    @property
    def finding(self) -> Finding:
        """The leak as a finding; its code is the kind."""
        return refused(self.kind, **self.values)

    @property
    def what(self) -> str:
        """Description of the shared item."""
        return SUBJECTS.sentence(self.finding)

    @property
    def sentence(self) -> str:
        """Description of the shared item and its segments."""
        return f"{self.kind} {self.what} in {' and '.join(self.splits)} ({', '.join(self.segments)})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: kind, what, values, splits and segments."""
        return {
            "kind": self.kind,
            "what": self.what,
            "values": dict(self.values),
            "splits": list(self.splits),
            "segments": list(self.segments),
        }


def read_checked_columns(path: Path) -> pd.DataFrame:
    """Return the columns `COLUMNS` of a table of segments (`segments/1`) for the check.

    Lists stay in Arrow, which takes a tenth of the memory of Python objects. The column `sources`, half of the table,
    is absent if all usable segments have tracks: only segments without tracks need it.
    """
    table = read_arrow(path, SEGMENTS, [name for name in COLUMNS if name != "sources"])
    has_no_track = pc.equal(pc.list_value_length(table["track_ids"]), 0)
    if pc.any(pc.and_(has_no_track, pc.not_equal(table["split"], ""))).as_py():
        table = read_arrow(path, SEGMENTS, COLUMNS)

    def keep_lists(kind: pa.DataType) -> pd.ArrowDtype | None:
        return pd.ArrowDtype(kind) if pa.types.is_list(kind) else None

    frame: pd.DataFrame = table.to_pandas(types_mapper=keep_lists)
    return frame


def find_leaks(
    segments: pd.DataFrame,
    by: Literal["artist", "track"] = "artist",
    receptive_field: int | None = None,
    cues: Mapping[str, pd.DataFrame] | None = None,
    families: Families | None = None,
) -> list[Leak]:
    """Return all leaks between the usable segments of different splits; an empty list proves that there are none.

    A leak is a track (or, with `by="artist"`, an artist) in two splits; a segment whose samples or left context overlap
    a cue of another split; overlapping ranges of one dry file in two splits; identical dry samples, other than silence,
    in two splits. The left context is at most `receptive_field - 1` samples, or, without a `receptive_field`, the whole
    left context of the segment. `cues` are the rows of the cue sheet (`cues/1`) by capture. With `families`, all
    artists of a family are one artist.
    """
    used = _usable(segments)
    reach = used["context"].to_numpy(dtype=np.int64)
    if receptive_field is not None:
        reach = np.minimum(reach, receptive_field - 1)
    used = used.assign(begin=used["start"].to_numpy(dtype=np.int64) - reach)
    leaks = _shared(used, "track", "track_ids")
    if by == "artist":
        leaks += _shared(used, "artist", "artists", _labels(families) if families else None)
    places = used.groupby("capture", sort=False).indices if cues else {}
    for capture in sorted(cues or {}):
        leaks += _foreign_cues(used.iloc[places.get(capture, [])], (cues or {})[capture])
    leaks += _overlapping_ranges(used)
    return leaks + _same_content(used)


@dataclass(frozen=True)
class Duplicate:
    """A recording that a cue sheet lists under two names in two splits.

    `cues` are labels in the index of the cue sheet, one cue of each track. The recording occurs `offset_seconds`
    later in the first track; `votes` fingerprints agree on this offset.
    """

    tracks: tuple[str, str]
    splits: tuple[str, str]
    cues: tuple[int, int]
    offset_seconds: float
    votes: int

    def leak(self, segments: tuple[str, str]) -> Leak:
        """Return the duplicate as a leak in these segments, one of each track."""
        values = {"track": self.tracks[0], "other_track": self.tracks[1]}
        return Leak(
            "audio", {**values, "offset_seconds": self.offset_seconds, "votes": self.votes}, self.splits, segments
        )


class Fingerprints:
    """The columns of a table of fingerprints (`fingerprints/1`), read when they are needed, to save memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, name: str) -> "pd.Series[Any]":
        return read_table(self._path, FINGERPRINTS, [name])[name]


def find_duplicates(
    cues: pd.DataFrame, fingerprints: pd.DataFrame | Fingerprints
) -> tuple[list[Duplicate], dict[str, int]]:
    """Find recordings that are in two splits under two names, by audio fingerprints, most certain first.

    Also returns the size of the comparison: the number of `tracks`, of their `codes`, and of possible `times` between
    two tracks. `cues` are rows of a cue sheet (`cues/1`) with their numbers in it as index; `fingerprints` are those of
    its reels (`fingerprints/1`). Repetition within a track does not count. Raises `DatasetError` if the two tables
    belong to different excitations. The memory is about 30 bytes a code, apart from `fingerprints`.
    """
    labels = fingerprints["cue"].to_numpy()
    if not len(cues) or not len(labels):
        return [], {"tracks": 0, "codes": 0, "times": 0}
    row_by_label = np.full(max(int(cues.index.max()), int(labels.max())) + 1, -1, np.int32)
    row_by_label[cues.index.to_numpy()] = np.arange(len(cues))
    cue = row_by_label[labels]
    _require_same_excitation(cues, cue, fingerprints["at"].to_numpy())
    chosen = cue >= 0
    frame, code, weak = (fingerprints[name].to_numpy().astype(np.int32)[chosen] for name in ("frame", "code", "weak"))
    cue = cue[chosen]
    track, tracks = pd.factorize(cues["track_id"], sort=True)
    split, splits = pd.factorize(cues["split"], sort=True)
    group, side = track.astype(np.int32)[cue], split.astype(np.int8)[cue]
    matches, times = match_fingerprints(group * len(splits) + side, group, side, frame, code, weak)
    names = cues.index.to_numpy()
    duplicates = []
    for match in matches:
        (first, first_split), (second, second_split) = (divmod(party, len(splits)) for party in match.parties)
        duplicates.append(
            Duplicate(
                (str(tracks[first]), str(tracks[second])),
                (str(splits[first_split]), str(splits[second_split])),
                (int(names[cue[match.rows[0]]]), int(names[cue[match.rows[1]]])),
                match.offset_seconds,
                match.votes,
            )
        )
    return duplicates, {"tracks": len(np.unique(group)), "codes": len(cue), "times": times}


def _require_same_excitation(cues: pd.DataFrame, cue: npt.NDArray[np.int32], at: npt.NDArray[np.int64]) -> None:
    """Raise `DatasetError` unless each fingerprint, at `at`, is inside its slice, row `cue` of `cues`; -1 is none."""
    starts, stops = cues["start"].to_numpy(), cues["stop"].to_numpy()
    for first in range(0, len(cue), _BLOCK):
        row, place = cue[first : first + _BLOCK], at[first : first + _BLOCK]
        if not np.all((starts[row] <= place) & (place < stops[row]) | (row < 0)):
            raise DatasetError(
                "the fingerprints and the cue sheet belong to different excitations: delete fingerprints.parquet and "
                "run again"
            )


def find_audio_leaks(segments: pd.DataFrame, duplicates: Sequence[Duplicate]) -> list[Leak]:
    """Return the duplicates with both tracks in use by a dataset, each with a usable segment of either track."""
    used = _usable(segments) if duplicates else segments
    leaks = []
    for duplicate in duplicates:
        first, second = (
            _first_segment(used, split, track) for split, track in zip(duplicate.splits, duplicate.tracks, strict=True)
        )
        if first is not None and second is not None:
            leaks.append(duplicate.leak((first, second)))
    return leaks


def _first_segment(used: pd.DataFrame, split: str, track: str) -> str | None:
    """Return the first segment of a split that contains a track, or None."""
    rows = used[(used["split"] == split).to_numpy()]
    ids, tracks = rows["segment_id"].tolist(), rows["track_ids"].tolist()
    return next((str(name) for name, held in zip(ids, tracks, strict=True) if track in held), None)


def find_planned_duplicates(cues: pd.DataFrame, fingerprints: pd.DataFrame | Fingerprints) -> list[Leak]:
    """Return the leaks that result if all slices of a cue sheet (`cues/1`) are used, as a warning before recording.

    The segments of these leaks are slices, identified by reel and position.
    """
    names = cues["reel"].astype(str) + "/" + cues["position"].astype(str)
    duplicates, _ = find_duplicates(cues, fingerprints)
    return [one.leak((str(names[one.cues[0]]), str(names[one.cues[1]]))) for one in duplicates]


def leak_report(
    leaks: Sequence[Leak],
    segments: pd.DataFrame,
    by: str,
    captures: Sequence[str],
    audio: Mapping[str, int] | None = None,
    artists: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of `leaks/1`: all leaks, and the extent of the check.

    `captures` are the captures checked against a cue sheet. `audio` is the size of the comparison of `find_duplicates`,
    None without fingerprints. `artists` is the result of `artist_report`, None with splits by track.
    """
    used = segments.loc[segments["split"] != "", ["split", "track_ids", "artists"]]
    return {
        "leaks": [leak.to_dict() for leak in leaks],
        "checked": {
            "by": by,
            "segments": {str(split): int(count) for split, count in sorted(used["split"].value_counts().items())},
            "tracks": len(pc.list_flatten(_lists(used["track_ids"])).unique()),
            "artists": len(pc.list_flatten(_lists(used["artists"])).unique()),
            "captures_against_cues": sorted(captures),
            "audio": dict(audio) if audio is not None else None,
        },
        **(artists or {}),
    }


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Raise `LeakError`, with the first leaks and the remedy for each kind of leak, if there are any leaks."""
    if not leaks:
        return
    listed = "; ".join(leak.sentence for leak in leaks[:MAX_LISTED])
    more = f" and {len(leaks) - MAX_LISTED} more" if len(leaks) > MAX_LISTED else ""
    remedies = "; ".join(f"{kind}: {REMEDIES[kind]}" for kind in sorted({leak.kind for leak in leaks}))
    number = f"{len(leaks)} {'leak' if len(leaks) == 1 else 'leaks'}"
    raise LeakError(f"{number} between the splits: {listed}{more}. Remedies: {remedies}.")


def _usable(segments: pd.DataFrame) -> pd.DataFrame:
    """Return the usable segments, by capture and start."""
    used = segments[(segments["split"] != "").to_numpy()]
    capture, _ = pd.factorize(used["capture"], sort=True)
    return used.iloc[np.lexsort((used["start"].to_numpy(dtype=np.int64), capture))]


def _lists(column: "pd.Series[Any]") -> Any:
    """Return a column of lists of strings as an Arrow array, without a Python object for every list."""
    table = pa.Table.from_pandas(column.to_frame(), preserve_index=False)
    return table.column(0).combine_chunks().cast(pa.list_(pa.string()))


def _sizes(column: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    return np.asarray(pc.list_value_length(_lists(column)), dtype=np.int64)


def _in_several_splits(
    kind: Kind, name: str, values: Any, rows: npt.NDArray[np.int64], used: pd.DataFrame
) -> list[Leak]:
    """Return a leak for every value in rows of more than one split, with the first segment of each split.

    `rows` are the rows of `used` that contain the `values`; `name` is the name of the value in the leak.
    """
    encoded = pa.array(values, pa.string()).dictionary_encode()
    value, names = encoded.indices.to_numpy(), encoded.dictionary
    split, splits = pd.factorize(used["split"], sort=True)
    both = value.astype(np.int64) * len(splits) + split[rows]
    counts = np.bincount(both, minlength=len(names) * len(splits)).reshape(len(names), len(splits))
    shared = np.flatnonzero(np.count_nonzero(counts, axis=1) > 1)
    chosen = np.flatnonzero(np.isin(value, shared))
    both, first = np.unique(both[chosen], return_index=True)
    ids = used["segment_id"].iloc[rows[chosen[first]]].tolist()
    leaks = []
    for index in sorted(shared.tolist(), key=lambda index: names[index].as_py()):
        places = np.flatnonzero(both // len(splits) == index).tolist()
        in_splits = tuple(str(splits[both[at] % len(splits)]) for at in places)
        leaks.append(Leak(kind, {name: names[index].as_py()}, in_splits, tuple(ids[at] for at in places)))
    return leaks


def _shared(
    used: pd.DataFrame, kind: Literal["track", "artist"], column: str, labels: Mapping[str, str] | None = None
) -> list[Leak]:
    lists = _lists(used[column])
    values = pc.list_flatten(lists).dictionary_encode()
    if labels:
        names = pa.array([labels.get(name, name) for name in values.dictionary.to_pylist()], pa.string())
        values = names.take(values.indices)
    else:
        values = values.dictionary_decode()
    return _in_several_splits(kind, kind, values, pc.list_parent_indices(lists).to_numpy(), used)


def _labels(families: Families) -> dict[str, str]:
    """Return the name of the family of each credit, with its credits if there are several."""
    joined = families.joined
    return {
        credit: f"{family} ({', '.join(joined[family])})" if family in joined else family
        for credit, family in families.by_credit.items()
    }


def _same_content(used: pd.DataFrame) -> list[Leak]:
    """Return segments of different splits with the same dry samples; digital silence does not count."""
    sizes = np.unique((used["stop"] - used["start"]).to_numpy(dtype=np.int64)).tolist()
    ignored = {"", *(hashlib.sha256(bytes(4 * size)).hexdigest() for size in sizes)}
    repeated = np.flatnonzero(used["dry_sha256"].duplicated(keep=False).to_numpy())
    digests = used["dry_sha256"].iloc[repeated].tolist()
    chosen = [(digest, row) for digest, row in zip(digests, repeated.tolist(), strict=True) if digest not in ignored]
    rows = np.array([row for _, row in chosen], dtype=np.int64)
    return _in_several_splits("content", "sha256", [digest for digest, _ in chosen], rows, used)


def _foreign_cues(used: pd.DataFrame, cues: pd.DataFrame) -> list[Leak]:
    """Return segments of one capture whose [begin, stop) overlaps a cue of another split.

    The number of overlapping cues is the number of cues that begin before the end of the segment, minus the number of
    cues that end before its start.
    """
    leaks = []
    cue_splits, segment_splits = cues["split"], used["split"]
    starts, stops = cues["start"].to_numpy(), cues["stop"].to_numpy()
    begins, ends = used["begin"].to_numpy(), used["stop"].to_numpy()
    for split in sorted(segment_splits.unique()):
        own = np.flatnonzero((segment_splits == split).to_numpy())
        for other in sorted(set(cue_splits.unique()) - {split}):
            foreign = np.flatnonzero((cue_splits == other).to_numpy())
            begun = np.searchsorted(np.sort(starts[foreign]), ends[own], side="left")
            ended = np.searchsorted(np.sort(stops[foreign]), begins[own], side="right")
            for at in own[begun > ended].tolist():
                overlapping = foreign[(starts[foreign] < ends[at]) & (stops[foreign] > begins[at])]
                track = cues["track_id"].iloc[int(overlapping[0])]
                leaks.append(Leak("cue", {"track": str(track)}, (split, other), (str(used["segment_id"].iloc[at]),)))
    return leaks


def _overlapping_ranges(used: pd.DataFrame) -> list[Leak]:
    """Return segments of pairs that, with their context, contain the same samples of a dry file in two splits."""
    pairs = used[_sizes(used["track_ids"]) == 0]
    if pairs.empty:
        # Tables of reels may lack the column `sources`.
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
                start, stop = int(segment["begin"]), int(segment["stop"])
                values: dict[str, Value] = {"file": str(file), "start": start, "stop": stop}
                names = (segment["segment_id"], other["segment_id"])
                leaks.append(Leak("range", values, (split, other["split"]), names))
    return leaks


def require_no_leaks(path: Path) -> None:
    """Raise `LeakError` if a `leaks.json` lists any leaks."""
    if read_json(path, LEAKS)["leaks"]:
        raise LeakError(f"{path} lists leaks between the splits: remove them before training")
