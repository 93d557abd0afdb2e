"""Assignment of artists to splits by a salted hash, so that adding a track never moves another."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping

from twinlib.contracts import SPLITS, SplitName
from twinlib.errors import ExcitationError
from twinlib.excitation.settings import Split

_SALT = "twin"
"""Salt of settings without one."""

_SALTS = 2000
"""Number of salts to try."""


def assign_split(key: str, split: Split) -> SplitName:
    """Return the split of an artist (or track): its salted sha256, scaled to [0, 1), compared with the shares.

    The result depends only on the key and the settings, not on the rest of the corpus. Case, spacing and Unicode form
    of the key are ignored.
    """
    same = " ".join(unicodedata.normalize("NFC", key).casefold().split())
    digest = hashlib.sha256(f"{_salt(split)}\0{same}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    total = 0.0
    for name, share in split.shares.items():
        total += share
        if place < total:
            return name
    return list(split.shares)[-1]


def with_salt(artists: Mapping[str, str], split: Split) -> Split:
    """Return the settings with a salt: the given one, or one that leaves no split empty, if there is one.

    `artists` maps track_id to artist.
    """
    if split.salt is not None:
        return split
    return split.model_copy(update={"salt": find_salt(_units(artists, split).values(), split) or _SALT})


def assign_splits(artists: Mapping[str, str], split: Split) -> dict[str, SplitName]:
    """Return the split of every track_id; `artists` maps track_id to artist.

    Raises `ExcitationError` if a split with a share gets no track; the message proposes a salt that works.
    """
    units = _units(artists, split)
    given = {track_id: assign_split(units[track_id], split) for track_id in sorted(units)}
    empty = [name for name in split.shares if name not in given.values()]
    if not empty:
        return given
    raise ExcitationError(
        f"no {split.by} is assigned to {' and '.join(empty)} with split.salt {_salt(split)!r}: "
        f"{_remedy(artists, split)}"
    )


def _units(artists: Mapping[str, str], split: Split) -> dict[str, str]:
    """Return the artist or the track by which each track_id is assigned."""
    return {track_id: artist if split.by == "artist" else track_id for track_id, artist in artists.items()}


def _salt(split: Split) -> str:
    return _SALT if split.salt is None else split.salt


def _remedy(artists: Mapping[str, str], split: Split) -> str:
    if salt := find_salt(_units(artists, split).values(), split):
        return f"leave split.salt out, or set it to {salt!r}"
    by_track = split.model_copy(update={"by": "track"})
    if split.by == "artist" and find_salt(artists, by_track):
        return "there are too few artists; set split.by to 'track' and leave split.salt out, or add artists"
    return f"there are too few tracks for {len(split.shares)} splits; add tracks, or give a split the share 0"


def find_salt(keys: Iterable[str], split: Split) -> str | None:
    """Return a salt with which each split has a key: the current salt, or the first suitable numbered variant."""
    known = sorted(set(keys))
    if len(known) < len(split.shares):
        return None
    for salt in [_salt(split), *(f"{_salt(split)}-{number}" for number in range(2, _SALTS))]:
        trial = split.model_copy(update={"salt": salt})
        if {assign_split(key, trial) for key in known} == set(split.shares):
            return salt
    return None


def group_by_split(given: Mapping[str, SplitName]) -> dict[str, list[str]]:
    """Return the sorted track ids of each split."""
    return {name: sorted(track for track, its in given.items() if its == name) for name in SPLITS}
