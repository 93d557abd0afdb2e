"""Similar names of artists that were not joined into one family, for the user to decide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from twinlib.corpus.artists import MINOR_WORDS, Families, artist_key, credited_names, folder_prefix, words_of

Reason = Literal["folder", "name", "spelling", "words"]

REASONS: dict[Reason, str] = {
    "folder": "their track folders have the same prefix",
    "name": "both credits contain one name",
    "spelling": "almost the same spelling",
    "words": "one has all words of the other",
}
"""Why two names are similar."""

_SHORT, _LONG, _LONGEST = 5, 10, 40
"""Letters of a name from which one letter, two, or one again may differ: the number of variants grows with the square
of the length."""

_LISTED = 5
"""Number of items in a sentence."""

_MANY = 20
"""A word or prefix of more artists than this is no sign that two of them are the same."""


@dataclass(frozen=True, order=True)
class NearNames:
    """Two similar credits of different families, and why they are similar."""

    names: tuple[str, str]
    reason: Reason


def find_near_names(tracks: Iterable[tuple[str, str]], families: Families) -> list[NearNames]:
    """Return pairs of similar credits of different families, sorted; `tracks` as for `find_families`.

    Every two families are listed at most once, with their first reason in the order of `REASONS`.
    """
    pairs = sorted(set(tracks))
    credits = sorted({credit for _, credit in pairs})
    # A file in the root of the layout `folder` is its own artist.
    prefixes = [(folder_prefix(track_id) if credit != track_id else "", credit) for track_id, credit in pairs]
    candidates: dict[Reason, Iterable[tuple[str, str]]] = {
        "folder": _groups(prefixes),
        "name": _groups((name, credit) for credit in credits for name in credited_names(credit)),
        "spelling": _groups((text, credit) for credit in credits for text in _misspelt(credit)),
        "words": _word_groups(credits),
    }
    found: dict[frozenset[str], NearNames] = {}
    for reason, groups in candidates.items():
        # The order of sets differs from run to run.
        for first, second in sorted(set(groups)):
            both = frozenset((families.by_credit[first], families.by_credit[second]))
            if len(both) > 1 and (reason in ("folder", "name") or _comparable(first, second)):
                found.setdefault(both, NearNames((first, second), reason))
    return sorted(found.values())


def describe_near_names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the `near_names` of `index.json` or `leaks.json` as a sentence; empty without similar names."""
    pairs = [f"{' and '.join(one['names'])} ({REASONS[one['reason']]})" for one in entries]
    if not pairs:
        return []
    return [f"similar names of artists: {first_of(pairs)}. If they are one artist, list them in corpus.artists"]


def first_of(items: Sequence[str]) -> str:
    """Return the first items, and the number of the others."""
    more = f"; and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + more


def _groups(keyed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield all pairs of credits with the same key, sorted; credits without a key have none."""
    by_key: dict[str, set[str]] = {}
    for key, credit in keyed:
        if key:
            by_key.setdefault(key, set()).add(credit)
    for credits in by_key.values():
        if len(credits) <= _MANY:
            yield from combinations(sorted(credits), 2)


def _misspelt(credit: str) -> set[str]:
    """Return the key of a credit, and the key without one letter, or two of a long name; nothing for a short name."""
    key = artist_key(credit)
    if len(key) < _SHORT:
        return set()
    texts = {key}
    for _ in range(2 if _LONG <= len(key) < _LONGEST else 1):
        texts |= {text[:at] + text[at + 1 :] for text in texts for at in range(len(text))}
    return texts


def _word_groups(credits: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of credits of which one has all the words of the other, apart from minor words."""
    words = {credit: frozenset(words_of(credit)) - MINOR_WORDS - {",", "and"} for credit in credits}
    holding: dict[str, set[str]] = {}
    for credit, its in words.items():
        for word in its:
            holding.setdefault(word, set()).add(credit)
    for credit, its in words.items():
        if len(its) > 1 or any(len(word) > 3 for word in its):
            others = set.intersection(*(holding[word] for word in its)) - {credit}
            if len(others) <= _MANY:
                yield from ((min(credit, other), max(credit, other)) for other in others)


def _comparable(first: str, second: str) -> bool:
    """Whether the difference between two names is not just a number or a letter, as in "Player A" and "Player B"."""
    one, other = set(words_of(first)), set(words_of(second))
    digits = ["".join(filter(str.isdigit, artist_key(name))) for name in (first, second)]
    differing = one ^ other
    return digits[0] == digits[1] and (not differing or any(len(word) > 2 for word in differing))
