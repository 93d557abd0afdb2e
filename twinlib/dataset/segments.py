"""Division of a capture into segments: content, split and usable left context of each."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinlib.contracts import SPLITS
from twinlib.dataset.settings import Dataset
from twinlib.dataset.source import CaptureSource
from twinlib.errors import DatasetError
from twinlib.excitation import is_tone, tone_hertz
from twinlib.intervals import Range, RangeIndex

BLOCK_SHARES = (0.8, 0.1, 0.1)
"""Shares of train, valid and test in a pair without a split."""

BLOCK_GUARD_SECONDS = 0.5
"""Minimum gap between the blocks of such a pair."""

MAX_PAUSE_SECONDS = 2.0
"""Silence of a pair that is this long is left out."""

MAX_RESIDUAL = 0.5
"""The largest residual lag of a usable segment in samples. Half a sample alone causes an ESR of 1e-2."""

COLUMNS = (
    "segment_id", "device", "capture", "start", "stop", "split", "context", "track_ids", "artists", "licences",
    "sources", "settings", "take_sha256", "lag", "residual", "flags", "shard", "row", "dry_sha256", "wet_sha256",
    "tone_hz", "tone_start", "tone_stop",
)  # fmt: skip


def excluded_ranges(cues: pd.DataFrame, excluded: Collection[str], guard_samples: int) -> list[Range]:
    """Return the ranges of a reel with excluded tracks, including crossfades and the delay of the wet signal."""
    chosen = cues[cues["track_id"].isin(sorted(excluded))]
    return [
        (int(start), int(stop) + guard_samples) for start, stop in zip(chosen["start"], chosen["stop"], strict=True)
    ]


@dataclass(frozen=True)
class Tone:
    """A steady sine: samples [start, stop) of a reel between its crossfades, and its frequency in Hz."""

    start: int
    stop: int
    hz: float


def find_tones(cues: pd.DataFrame) -> list[Tone]:
    """Return the tones of a reel from its cue sheet (`cues/1`, sorted by start).

    Their slices are consecutive. Every other slice that overlaps them has a crossfade there.
    """
    rows: list[Any] = list(cues[["source", "source_start", "start", "stop"]].itertuples(index=False))
    tones: list[Tone] = []
    first = 0
    while first < len(rows):
        last = first
        while last + 1 < len(rows) and _continues(rows[last], rows[last + 1]):
            last += 1
        if is_tone(rows[first].source):
            start = max([rows[first].start, *(row.stop for row in rows[max(0, first - 1) : first])])
            stop = min([rows[last].stop, *(row.start for row in rows[last + 1 : last + 2])])
            tones.append(Tone(int(start), int(stop), tone_hertz(rows[first].source)))
        first = last + 1
    return tones


def _continues(row: Any, following: Any) -> bool:
    is_next = following.start - row.start == following.source_start - row.source_start
    return bool(is_tone(row.source) and row.source == following.source and is_next)


def _longest_tone(tones: Sequence[Tone], start: int, stop: int) -> dict[str, float | int]:
    """Return frequency and range of the longest tone in [start, stop); zeros if there is none."""
    found = [(min(stop, tone.stop) - max(start, tone.start), tone) for tone in tones]
    length, tone = max(found, key=lambda item: item[0], default=(0, Tone(0, 0, 0.0)))
    if length <= 0:
        return {"tone_hz": 0.0, "tone_start": 0, "tone_stop": 0}
    return {"tone_hz": tone.hz, "tone_start": max(start, tone.start), "tone_stop": min(stop, tone.stop)}


def tile_reel(
    source: CaptureSource,
    cues: pd.DataFrame,
    reel: Mapping[str, Any],
    settings: Dataset,
    excluded: Collection[str] = (),
) -> pd.DataFrame:
    """Return the segments of a take: a row for every complete segment [k S, (k + 1) S) of its reel, in order.

    `cues` are the rows of the cue sheet (`cues/1`) of this reel, `reel` is its entry in `excitation/1`, and `excluded`
    holds the ids of withdrawn tracks. A segment belongs to the split of the cues that it overlaps, if they have the
    same split and no flag is set; otherwise `split` is empty and `flags` holds the reasons. Columns as `COLUMNS`;
    `write_shard` fills in `shard`, `row` and the digests. Raises `DatasetError` if the reel is shorter than the aligned
    dry file.
    """
    if int(reel["frames"]) < source.stop:
        raise DatasetError(
            f"capture {source.capture} of {source.device} was aligned to a dry file of {source.stop} samples, but its "
            f"reel has {reel['frames']}: the take belongs to another excitation, or the alignment is outdated. Align "
            f"again"
        )
    cues = cues.sort_values(["start", "stop"], kind="stable").reset_index(drop=True)
    unknown = sorted(set(cues["split"]) - set(SPLITS))
    if unknown:
        raise DatasetError(f"the cue sheet of {source.capture} has the split {unknown[0]!r}: use {', '.join(SPLITS)}")
    ranges = [(int(start), int(stop)) for start, stop in zip(cues["start"], cues["stop"], strict=True)]
    cue_index = RangeIndex(ranges)
    splits = cues["split"].tolist()
    clicks = [(int(start), int(start) + int(reel["click_frames"])) for start in reel["clicks"]]
    withdrawn = excluded_ranges(cues, excluded, source.guard_samples)
    withdrawn_tracks = [track for track in cues["track_id"] if track in excluded]
    # Absent from reels of older versions.
    witness = [(int(start), int(stop) + source.guard_samples) for start, stop in reel.get("witness", [])]
    tones = find_tones(cues)
    tone_index = RangeIndex([(tone.start, tone.stop) for tone in tones])
    click_index, witness_index, withdrawn_index = RangeIndex(clicks), RangeIndex(witness), RangeIndex(withdrawn)
    borders: dict[str, RangeIndex] = {
        split: RangeIndex(
            [
                *(bounds for bounds, other in zip(ranges, splits, strict=True) if other != split),
                *clicks,
                *witness,
                *withdrawn,
                *source.borders,
            ]
        )
        for split in SPLITS
    }

    records: list[dict[str, Any]] = [dict(zip(cues.columns, row, strict=True)) for row in cues.itertuples(index=False)]

    def describe(start: int, stop: int) -> dict[str, Any]:
        present = [records[k] for k in cue_index.overlapping(start, stop)]
        found = sorted({str(cue["split"]) for cue in present}, key=SPLITS.index)
        flags = [] if found else ["silence"]
        flags += ["two-splits"] if len(found) > 1 else []
        flags += ["click"] if click_index.overlapping(start, stop) else []
        flags += ["witness"] if witness_index.overlapping(start, stop) else []
        flags += sorted({f"excluded:{withdrawn_tracks[k]}" for k in withdrawn_index.overlapping(start, stop)})
        split = found[0] if len(found) == 1 else ""
        return {
            "split": split,
            "context": start - borders[split].free_from(start) if split else 0,
            "track_ids": sorted({str(cue["track_id"]) for cue in present}),
            "artists": sorted({str(cue["artist"]) for cue in present}),
            "licences": sorted({str(cue["licence"]) for cue in present}),
            "sources": [_source(cue, start, stop) for cue in present],
            **_longest_tone([tones[k] for k in tone_index.overlapping(start, stop)], start, stop),
            "flags": flags,
        }

    return _tile(source, [(source.start, source.stop)], settings.segment_samples, describe)


def tile_pair(
    source: CaptureSource,
    dry_name: str,
    settings: Dataset,
    *,
    split: str | None = None,
    clip_samples: int | None = None,
    silence: Sequence[Range] = (),
) -> pd.DataFrame:
    """Return the segments of a pair: a row for every complete segment from the start of its range, clip by clip.

    `dry_name` is the name of the dry file in the provenance, and `silence` are its silent ranges. Clips of
    `clip_samples` are divided separately: neither segments nor contexts cross their borders. Without a `split`, the
    rows that both files hold and that sound form three blocks of 80, 10 and 10 %, in this order, with gaps of
    max(0.5 s, one segment). Silence before, between and after the blocks is left out, and so are pauses of
    `MAX_PAUSE_SECONDS`. Columns as for `tile_reel`; a pair has no tracks. Raises `DatasetError` if clips are shorter
    than a segment or the pair is too short for three blocks.
    """
    size = settings.segment_samples
    if split is not None and split not in SPLITS:
        raise DatasetError(f"pair {source.capture} has the split {split!r}: use {', '.join(SPLITS)}")
    if clip_samples is not None and clip_samples < size:
        raise DatasetError(
            f"pair {source.capture} has clips of {clip_samples} samples, shorter than a segment of {size}: "
            f"set dataset.segment_samples to {clip_samples} or a fraction of it"
        )
    step = clip_samples or source.stop - source.start
    clips = [(at, min(at + step, source.stop)) for at in range(source.start, source.stop, step)]
    rows = [at for start, stop in clips for at in range(start, stop - size + 1, size)]
    find_faults, pauses = _fault_finder(source), RangeIndex(silence)
    pause_seconds = {at: _pause_seconds(pauses, silence, at, at + size, source.sample_rate) for at in rows}
    is_usable = [not pause_seconds[at] and not find_faults(at, at + size) for at in rows]
    assigned = dict(zip(rows, _assign(source, split, is_usable, size), strict=True))
    borders: dict[str, RangeIndex] = {
        name: RangeIndex([(at, at + size) for at in rows if assigned[at] not in ("", name)] + source.borders)
        for name in SPLITS
    }
    clip_starts = np.array([start for start, _ in clips])

    def describe(start: int, stop: int) -> dict[str, Any]:
        name, pause = assigned[start], pause_seconds[start]
        border = int(clip_starts[np.searchsorted(clip_starts, start, side="right") - 1])
        is_silent = pause >= MAX_PAUSE_SECONDS or (pause > 0 and not name)
        return {
            "split": name,
            "context": start - max(border, borders[name].free_from(start)) if name else 0,
            "track_ids": [],
            "artists": [],
            "licences": [],
            "sources": [f"{dry_name}[{start}:{stop}]"],
            **_longest_tone([], start, stop),
            "flags": ["silence"] if is_silent else [] if name or find_faults(start, stop) else ["between-splits"],
        }

    return _tile(source, clips, size, describe)


def _pause_seconds(pauses: RangeIndex, silence: Sequence[Range], start: int, stop: int, rate: int) -> float:
    """Return the length in seconds of the silent range that holds [start, stop); 0 if none does."""
    around = (silence[k] for k in pauses.overlapping(start, stop))
    return max(((last - first) / rate for first, last in around if first <= start and stop <= last), default=0.0)


def _assign(source: CaptureSource, split: str | None, is_usable: Sequence[bool], size: int) -> list[str]:
    """Return the split of every row of a pair; empty for the rows outside the blocks."""
    names = np.full(len(is_usable), "", dtype=object)
    usable = np.flatnonzero(is_usable)
    if source.refused:
        return [split or "train"] * len(names)
    blocks = [(split, 0, len(usable))] if split else _divide(source, usable, len(names), size)
    for name, first, last in blocks:
        if first < last:
            names[usable[first] : usable[last - 1] + 1] = name
    return list(names)


def _divide(source: CaptureSource, usable: npt.NDArray[np.int64], rows: int, size: int) -> list[tuple[str, int, int]]:
    """Divide the usable rows of a pair: return each split with its range [first, last) of `usable`.

    Blocks are taken from the end. The rows between two blocks are at least a gap, usable or not.
    """
    gap = math.ceil(max(BLOCK_GUARD_SECONDS * source.sample_rate, size) / size)
    blocks, last = [], len(usable)
    for name, share in zip(SPLITS[:0:-1], BLOCK_SHARES[:0:-1], strict=True):
        first = last - max(1, round(share * (len(usable) - 2 * gap)))
        if first <= 0:
            break
        blocks.append((name, first, last))
        last = int(np.searchsorted(usable, usable[first] - gap))
    if len(blocks) < len(SPLITS) - 1 or not last:
        needed = (len(SPLITS) + 2 * gap) * size / source.sample_rate
        raise DatasetError(
            f"pair {source.capture} is too short for {', '.join(SPLITS)}: it needs {needed:.1f} s that both files "
            f"hold and that sound, and has {len(usable) * size / source.sample_rate:.1f} s of "
            f"{rows * size / source.sample_rate:.1f} s. Use a longer pair, correct its `start` and `stop`, give it a "
            "`split` in the list of pairs, or set a smaller dataset.segment_samples"
        )
    return [*blocks, (SPLITS[0], 0, last)]


def _fault_finder(source: CaptureSource) -> Callable[[int, int], list[str]]:
    """Return a function that returns the flags of the recording faults in [start, stop)."""
    clipped, excluded = RangeIndex(source.clipped), RangeIndex((one.start, one.stop) for one in source.excluded)

    def find_faults(start: int, stop: int) -> list[str]:
        flags = ["clipped"] if clipped.overlapping(start, stop) else []
        flags += ["outside-take"] if not source.available[0] <= start < stop <= source.available[1] else []
        flags += sorted({source.excluded[k].reason for k in excluded.overlapping(start, stop)})
        flags += ["unsteady"] if abs(source.residual((start + stop) / 2)) > MAX_RESIDUAL else []
        return flags + (["refused-take"] if source.refused else [])

    return find_faults


def _tile(
    source: CaptureSource, parts: Sequence[Range], size: int, describe: Callable[[int, int], dict[str, Any]]
) -> pd.DataFrame:
    """Return a row for every complete segment of every part: the result of `describe` plus recording faults."""
    find_faults = _fault_finder(source)
    rows = []
    for first, last in parts:
        for start in range(first, last - size + 1, size):
            stop = start + size
            found = describe(start, stop)
            flags = found["flags"] + find_faults(start, stop)
            usable = found["split"] and not flags
            rows.append(
                {
                    **found,
                    "flags": flags,
                    "segment_id": f"{source.device}/{source.capture}/{start:010d}",
                    "device": source.device,
                    "capture": source.capture,
                    "start": start,
                    "stop": stop,
                    "split": found["split"] if usable else "",
                    "context": min(found["context"], start - source.start) if usable else 0,
                    "settings": source.settings,
                    "take_sha256": source.take_sha256,
                    "lag": source.lag((start + stop) / 2),
                    "residual": source.residual((start + stop) / 2),
                    "shard": "",
                    "row": -1,
                    "dry_sha256": "",
                    "wet_sha256": "",
                }
            )
    if not rows:
        raise DatasetError(
            f"capture {source.capture} of {source.device} has {source.stop - source.start} samples, less than one "
            f"segment of {size}: use a longer recording or a smaller dataset.segment_samples"
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _source(cue: Mapping[str, Any], start: int, stop: int) -> str:
    """Return the range of a source in [start, stop), rounded outwards, as `path[start:stop]`."""
    first, last = max(start, int(cue["start"])), min(stop, int(cue["stop"]))
    length = int(cue["stop"]) - int(cue["start"])
    origin, extent = int(cue["source_start"]), int(cue["source_stop"]) - int(cue["source_start"])
    begin = origin + (first - int(cue["start"])) * extent // length
    end = origin - (-(last - int(cue["start"])) * extent // length)
    return f"{cue['source']}[{begin}:{end}]"
