"""Artists: one artist may have several names, and artists with common tracks form a family that is split as a whole."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

_APOSTROPHES = dict.fromkeys(map(ord, "'’‘‛ʼ`´′＇"))

_JOINTS = {"and", "feat", "with", "vs", "versus", "meets", "presents", "x", "y", "et", "und", ","}
"""Words between the names of a credit; a comma represents the punctuation between names."""

_SAME_WORDS = {"ft": "feat", "featuring": "feat"}

MINOR_WORDS = {"a", "an", "the", "of", "his", "her", "their", "band", "orchestra", "ensemble", "choir", "duo", "trio"}
"""Words without which a name is still recognisable, and which many names share."""

_MAX_NAMES = 12
"""Names of a credit up to which groups of its names are compared too."""


@dataclass(frozen=True)
class Families:
    """The families of the artists of a corpus.

    `by_credit` has the family of every credit as written. `by_name` has the credits that name an artist, by the
    `artist_key` of every name of the artist.
    """

    by_credit: Mapping[str, str]
    by_name: Mapping[str, frozenset[str]]

    def naming(self, name: str) -> frozenset[str]:
        """Return the credits that name an artist, under any of its names."""
        return self.by_name.get(artist_key(name), frozenset())

    @property
    def joined(self) -> dict[str, list[str]]:
        """The families with more than one credit: their credits as written, by family, sorted."""
        credits: dict[str, list[str]] = {}
        for credit in sorted(self.by_credit):
            credits.setdefault(self.by_credit[credit], []).append(credit)
        return {family: credits[family] for family in sorted(credits) if len(credits[family]) > 1}


def find_families(tracks: Iterable[tuple[str, str]], aliases: Mapping[str, Sequence[str]] | None = None) -> Families:
    """Return the families of artists among `tracks`: pairs of track_id and credited artist, in any order.

    Two credits belong to one family if they

    - are equal except for case, spaces, punctuation and accents;
    - agree with the same prefix of their track folders, such as `MusicDelta` in `MusicDelta_Rock`;
    - are names of one artist in `aliases` (a name and its other names);
    - name a common artist. A credit such as "A & B" names A and B only if they are credits, prefixes or aliases of
      their own, or full names in another joint credit: "Simon & Garfunkel" alone is one artist.

    The result does not depend on the order of the tracks. The name of a family is its name in `aliases`, or its
    shortest credit.
    """
    pairs, aliases = sorted(set(tracks)), aliases or {}
    credits = sorted({credit for _, credit in pairs})
    prefixes: dict[str, set[str]] = {credit: set() for credit in credits}
    for track_id, credit in pairs:
        prefixes[credit] |= agreed_prefix(track_id, credit)
    same, family = _Sets(), _Sets()
    for name, others in aliases.items():
        # A name without other names is an artist too.
        for other in (name, *others):
            same.join(artist_key(name), artist_key(other))
    for credit in credits:
        # The prefix of a joint credit is one of its artists; that of another credit is the same artist.
        for prefix in prefixes[credit] if len(credited_names(credit)) == 1 else ():
            same.join(artist_key(credit), prefix)
    known = {artist_key(credit) for credit in credits}.union(same.items, _shared_names(credits), *prefixes.values())
    naming: dict[str, set[str]] = {}
    for credit in credits:
        key = artist_key(credit)
        for name in {key, *prefixes[credit], *_parts(credit)}:
            naming.setdefault(same.first(name), set()).add(credit)
            if name in known:
                family.join(same.first(key), same.first(name))
    names = _names_of_families(credits, aliases, lambda name: family.first(same.first(artist_key(name))))
    every_name = {*naming, *same.items}
    return Families(
        {credit: names[family.first(same.first(artist_key(credit)))] for credit in credits},
        {name: frozenset(naming.get(same.first(name), ())) for name in every_name},
    )


@cache
def artist_key(name: str) -> str:
    """Return the letters and digits of a name in one form: without case, spaces, punctuation and accents."""
    return _join(words_of(name)) or " ".join(name.casefold().split())


@cache
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case without accents and apostrophes; "&" is `and`, punctuation a comma."""
    bare = unicodedata.normalize("NFKD", name.translate(_APOSTROPHES))
    # Marks outside this block belong to the letters of their script.
    bare = re.sub("[\u0300-\u036f]", "", bare)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bare).casefold())
    words = "".join(map(_spaced, text)).split()
    return tuple(_SAME_WORDS.get(word, word) for word in words)


def credited_names(credit: str) -> list[str]:
    """Return the keys of the names of a joint credit, such as "A, B & C"; one key if the credit has no joint."""
    words = words_of(credit)
    return [_join(words[start:stop]) for start, stop in _spans(words)] or [artist_key(credit)]


def folder_prefix(track_id: str) -> str:
    """Return `<Artist>` of a MedleyDB track_id `<Artist>_<Title>`; empty for the paths of other corpora."""
    prefix, underscore, _ = track_id.partition("_")
    return prefix if underscore and "/" not in track_id else ""


def agreed_prefix(track_id: str, credit: str) -> set[str]:
    """Return the key of `<Artist>` in a MedleyDB track_id `<Artist>_<Title>` if the credit agrees with it.

    They agree if one consists of consecutive words of the other, as "Music Delta Multitracks" and `MusicDelta`.
    """
    prefix = folder_prefix(track_id)
    if not prefix or credit == track_id:
        # In the layout `folder`, a file in the root is its own artist.
        return set()
    key, whole = artist_key(prefix), artist_key(credit)
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z\d]+|\d+", prefix)
    agrees = _contains(words_of(credit), key) or _contains([artist_key(part) for part in parts], whole)
    is_specific = min(len(key), len(whole)) > 2 and key not in MINOR_WORDS
    return {key} if key == whole or (agrees and is_specific) else set()


def _spaced(letter: str) -> str:
    if unicodedata.category(letter)[0] in "LNM":
        return letter
    return " and " if letter in "&+" else " , " if letter in ",;/" else " "


def _contains(words: Sequence[str], key: str) -> bool:
    """Whether a key consists of consecutive words."""
    return any(
        "".join(words[first:last]) == key for first in range(len(words)) for last in range(first + 1, len(words) + 1)
    )


def _parts(credit: str) -> set[str]:
    """Return the keys of the names of a joint credit, and of its groups of consecutive names."""
    words = words_of(credit)
    spans = _spans(words)
    # A group keeps the words between its names, as in "Simon & Garfunkel" of "Anna with Simon & Garfunkel".
    longest = len(spans) if len(spans) <= _MAX_NAMES else 1
    return {
        _join(words[start:stop])
        for first, (start, _) in enumerate(spans)
        for _, stop in spans[first : first + longest]
        if len(spans) > 1
    }


def _spans(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return the names among the words of a credit, as ranges of words."""
    spans: list[tuple[int, int]] = []
    start = 0
    for place, word in enumerate([*words, ","]):
        if word in _JOINTS:
            if place > start:
                spans.append((start, place))
            start = place + 1
    return spans


def _join(words: Iterable[str]) -> str:
    return "".join(word for word in words if word != ",")


def _shared_names(credits: Iterable[str]) -> set[str]:
    """Return the keys of full names, of at least two words, in several joint credits."""
    found: Counter[str] = Counter()
    for words in {words_of(credit) for credit in credits}:
        spans = _spans(words)
        if len(spans) > 1:
            names = [words[start:stop] for start, stop in spans]
            found.update({_join(name) for name in names if len(set(name) - MINOR_WORDS) > 1})
    return {name for name, count in found.items() if count > 1}


def _names_of_families(
    credits: Iterable[str], aliases: Mapping[str, Sequence[str]], family: Callable[[str], str]
) -> dict[str, str]:
    names = {family(alias): alias for alias in sorted(aliases, reverse=True)}
    for credit in sorted(credits, key=lambda one: (len(artist_key(one)), artist_key(one), one)):
        names.setdefault(family(credit), credit)
    return names


class _Sets:
    """Disjoint sets of names; each set is known by its first name in alphabetical order."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}

    def first(self, name: str) -> str:
        """Return the first name of the set of a name."""
        while (above := self.items.get(name, name)) != name:
            self.items[name] = self.items.get(above, above)
            name = above
        return name

    def join(self, name: str, other: str) -> None:
        """Join the sets of two names."""
        first, last = sorted((self.first(name), self.first(other)))
        self.items.setdefault(first, first)
        self.items[last] = first
