"""Division of a capture into segments: content, split and usable left context of each."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twinlib.contracts import SPLITS
from twinlib.dataset.settings import Dataset
from twinlib.dataset.source import CaptureSource
from twinlib.errors import DatasetError
from twinlib.intervals import Range, RangeIndex

BLOCK_SHARES = (0.8, 0.1, 0.1)
"""Shares of train, valid and test in a pair without a split."""

BLOCK_GUARD_SECONDS = 0.5
"""Minimum gap between the blocks of such a pair."""

MAX_RESIDUAL = 0.5
"""The largest residual lag of a usable segment in samples. Half a sample alone causes an ESR of 1e-2."""

COLUMNS = (
    "segment_id", "device", "capture", "start", "stop", "split", "context", "track_ids", "artists", "licences",
    "sources", "settings", "take_sha256", "lag", "residual", "flags", "shard", "row", "dry_sha256", "wet_sha256",
)  # fmt: skip


def excluded_ranges(cues: pd.DataFrame, excluded: Collection[str], guard_samples: int) -> list[Range]:
    """Return the ranges of a reel with excluded tracks, including crossfades and the delay of the wet signal."""
    chosen = cues[cues["track_id"].isin(sorted(excluded))]
    return [
        (int(start), int(stop) + guard_samples) for start, stop in zip(chosen["start"], chosen["stop"], strict=True)
    ]


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
) -> pd.DataFrame:
    """Return the segments of a pair: a row for every complete segment from the start of its range, clip by clip.

    `dry_name` is the name of the dry file in the provenance. Clips of `clip_samples` are divided separately: neither
    segments nor contexts cross their borders. Without a `split` the rows form three contiguous blocks of 80, 10 and
    10 % with gaps of max(0.5 s, one segment). Columns as for `tile_reel`; a pair has no tracks. Raises `DatasetError`
    if clips are shorter than a segment or the pair is too short for three blocks.
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
    names = [split] * len(rows) if split else _assign_blocks(source, len(rows), size)
    assigned = dict(zip(rows, names, strict=True))
    borders: dict[str, RangeIndex] = {
        name: RangeIndex([(at, at + size) for at in rows if assigned[at] not in ("", name)] + source.borders)
        for name in SPLITS
    }
    clip_starts = np.array([start for start, _ in clips])

    def describe(start: int, stop: int) -> dict[str, Any]:
        name = assigned[start]
        border = int(clip_starts[np.searchsorted(clip_starts, start, side="right") - 1])
        return {
            "split": name,
            "context": start - max(border, borders[name].free_from(start)) if name else 0,
            "track_ids": [],
            "artists": [],
            "licences": [],
            "sources": [f"{dry_name}[{start}:{stop}]"],
            "flags": [] if name else ["between-splits"],
        }

    return _tile(source, clips, size, describe)


def _assign_blocks(source: CaptureSource, rows: int, size: int) -> list[str]:
    """Return the split of every row of a pair without a split; empty for the rows between two blocks."""
    guard = math.ceil(max(BLOCK_GUARD_SECONDS * source.sample_rate, size) / size)
    shared = rows - 2 * guard
    if shared < len(SPLITS):
        needed = (len(SPLITS) + 2 * guard) * size / source.sample_rate
        raise DatasetError(
            f"pair {source.capture} is too short for {', '.join(SPLITS)}: it needs {needed:.1f} s and has "
            f"{(source.stop - source.start) / source.sample_rate:.1f} s. Give it a split in the list of pairs, "
            "or set a smaller dataset.segment_samples"
        )
    valid, test = (max(1, round(share * shared)) for share in BLOCK_SHARES[1:])
    gap = [""] * guard
    return ["train"] * (shared - valid - test) + gap + ["valid"] * valid + gap + ["test"] * test


def _tile(
    source: CaptureSource, parts: Sequence[Range], size: int, describe: Callable[[int, int], dict[str, Any]]
) -> pd.DataFrame:
    """Return a row for every complete segment of every part: the result of `describe` plus recording faults."""
    clipped, excluded = RangeIndex(source.clipped), RangeIndex((one.start, one.stop) for one in source.excluded)
    rows = []
    for first, last in parts:
        for start in range(first, last - size + 1, size):
            stop = start + size
            found = describe(start, stop)
            flags = found["flags"]
            flags += ["clipped"] if clipped.overlapping(start, stop) else []
            flags += ["outside-take"] if not source.available[0] <= start < stop <= source.available[1] else []
            flags += sorted({source.excluded[k].reason for k in excluded.overlapping(start, stop)})
            residual = source.residual((start + stop) / 2)
            flags += ["unsteady"] if abs(residual) > MAX_RESIDUAL else []
            flags += ["refused-take"] if source.refused else []
            usable = found["split"] and not flags
            rows.append(
                {
                    **found,
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
                    "residual": residual,
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
