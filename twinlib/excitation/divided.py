"""Families of artists in several splits of a recorded excitation, whose tracks are left out of all splits but one.

New excitations have none. Those of older versions took every credit for another artist, and a user can add a name of an
artist after the recording. The reels stay as they are: leaving out some segments costs no new recording.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from twinlib.contracts import SPLITS
from twinlib.corpus import Families, find_families
from twinlib.excitation.tones import SYNTHETIC

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class DividedFamily:
    """A family in several splits: its credits by split as written, its tracks by split, and the split that keeps it."""

    family: str
    credits: Mapping[str, Sequence[str]]
    tracks: Mapping[str, Sequence[str]]
    kept: str

    @property
    def left_out(self) -> list[str]:
        """The ids of the tracks in the other splits, sorted."""
        return sorted(track for split, tracks in self.tracks.items() if split != self.kept for track in tracks)

    @property
    def sentence(self) -> str:
        """Description of the division and its consequence."""
        where = "; ".join(f"{split}: {', '.join(credits)}" for split, credits in self.credits.items())
        number = len(self.left_out)
        return (
            f"{self.family} is in several splits ({where}): the segments of {self.kept} stay, {number} "
            f"{'track is' if number == 1 else 'tracks are'} left out. A new excitation keeps artists together"
        )


def find_cue_families(cues: "pd.DataFrame", aliases: Mapping[str, Sequence[str]]) -> Families:
    """Return the families of the artists on a cue sheet (columns track_id and artist); `aliases` as `corpus.artists`.

    Tracks of the corpus that are not on the reels join no families: they cannot leak.
    """
    music = cues.loc[~cues["track_id"].isin(SYNTHETIC), ["track_id", "artist"]].drop_duplicates()
    return find_families(zip(music["track_id"], music["artist"], strict=True), aliases)


def find_divided_families(cues: "pd.DataFrame", aliases: Mapping[str, Sequence[str]]) -> list[DividedFamily]:
    """Return the families in several splits of a cue sheet (columns track_id, artist and split), sorted by name.

    Families stay in train, then in valid, then in test, unless this leaves a split without any track; then the first
    order of splits that leaves none empty.
    """
    families = find_cue_families(cues, aliases)
    credits: dict[str, dict[str, set[str]]] = {}
    tracks: dict[str, dict[str, set[str]]] = {}
    rows = cues[["track_id", "artist", "split"]].drop_duplicates()
    for track_id, credit, split in zip(rows["track_id"], rows["artist"], rows["split"], strict=True):
        if track_id not in SYNTHETIC:
            family = families.by_credit[credit]
            credits.setdefault(family, {}).setdefault(split, set()).add(credit)
            tracks.setdefault(family, {}).setdefault(split, set()).add(track_id)
    divided = sorted(family for family, splits in tracks.items() if len(splits) > 1)
    safe = {split for family, splits in tracks.items() if len(splits) == 1 for split in splits}
    there = {split for splits in tracks.values() for split in splits}
    kept: dict[str, str] = {}
    for order in permutations(SPLITS):
        kept = {family: next(split for split in order if split in tracks[family]) for family in divided}
        if safe.union(kept.values()) == there:
            break
    else:
        kept = {family: next(split for split in SPLITS if split in tracks[family]) for family in divided}
    return [
        DividedFamily(family, _sorted(credits[family]), _sorted(tracks[family]), kept[family]) for family in divided
    ]


def _sorted(by_split: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {split: sorted(by_split[split]) for split in SPLITS if split in by_split}
