"""Artists in several splits of an old excitation: segments to leave out, and what the leak check reports on artists."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twinlib.corpus import Families, find_near_names
from twinlib.excitation import DividedFamily

FLAG = "artist-in-two-splits"
"""Flag of segments that are left out."""


def leave_out_tracks(segments: pd.DataFrame, tracks: Collection[str]) -> pd.DataFrame:
    """Return the segments (`segments/1`, of one capture, by start), those that hold one of `tracks` without a split.

    The left context of the following segments ends after the last segment that is left out.
    """
    chosen = set(tracks)
    held = np.array([not chosen.isdisjoint(ids) for ids in segments["track_ids"]], dtype=bool)
    if not held.any():
        return segments
    left_out = held & (segments["split"] != "").to_numpy()
    flags = [[*flags, FLAG] if out else list(flags) for flags, out in zip(segments["flags"], left_out, strict=True)]
    start, stop = segments["start"].to_numpy(np.int64), segments["stop"].to_numpy(np.int64)
    free = start - np.maximum.accumulate(np.where(held, stop, 0))
    return segments.assign(
        split=np.where(left_out, "", segments["split"]),
        context=np.where(left_out, 0, np.minimum(segments["context"], np.maximum(free, 0))),
        flags=pd.Series(flags, index=segments.index, dtype=object),
    )


def artist_report(
    cues: pd.DataFrame, families: Families, divided: Sequence[DividedFamily], aliases: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the entries of `leaks/1` on artists.

    `aliases` are the names from `corpus.artists`, `joined_artists` the families with several credits,
    `divided_artists` the families of which tracks are left out, and `near_names` similar credits in different splits,
    which are a leak if they are one artist. `cues` are the columns track_id, artist and split of the cue sheet.
    """
    rows = cues[["track_id", "artist", "split"]].drop_duplicates()
    rows = rows[rows["artist"].isin(list(families.by_credit))]
    splits = {str(artist): set(its) for artist, its in rows.groupby("artist")["split"]}
    near = find_near_names(zip(rows["track_id"], rows["artist"], strict=True), families)
    return {
        "aliases": {name: list(others) for name, others in aliases.items()},
        "joined_artists": families.joined,
        "divided_artists": [
            {"family": one.family, "credits": dict(one.credits), "kept": one.kept, "left_out": one.left_out}
            for one in divided
        ],
        "near_names": [
            {"names": list(one.names), "reason": one.reason}
            for one in near
            if len(splits[one.names[0]] | splits[one.names[1]]) > 1
        ],
    }
