"""What the name of a licence says: attribution, no commerce, share alike, no derivatives.

The names of Creative Commons licences (https://creativecommons.org/licenses/) and marks of the public domain are read,
as SPDX writes them (https://spdx.org/licenses/) and as people do. Anything else, or anything added to such a name, is
unknown: nothing is guessed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

PASSED_ON = "4.0"
"""The version of the licence that is proposed where no share-alike licence asks for one."""

_PHRASES = (
    (r"\bcreative ?commons(\.org)?\b", "cc"),
    (r"\b(non|not|no)[ -]?(commercial|comm)\b", "nc"),
    (r"\b(no|non)[ -]?deriv(s|atives?|atives? works?|ative works?)?\b", "nd"),
    (r"\bshare[ -]?alike\b", "sa"),
    (r"\battribution\b", "by"),
    (r"\b(cc[ -]?)?public ?domain( mark)?\b", "pd"),
    (r"\bcc[ -]?(zero|0)\b", "cc0"),
    (r"\bdeed\.[a-z]{2}\b", ""),
)

_FILLERS = {"https", "http", "www", "license", "licenses", "licence", "licences", "licensed", "under", "the", "a"}
_FILLERS |= {"international", "unported", "generic", "universal", "deed", "legalcode", "v", "version"}

_PORTS = {"ar", "at", "au", "be", "br", "ca", "ch", "cl", "de", "dk", "ee", "es", "fi", "fr", "gr", "hk", "hr", "hu"}
_PORTS |= {"ie", "igo", "il", "in", "it", "jp", "kr", "lu", "mx", "nl", "no", "nz", "ph", "pl", "pt", "ro", "se", "sg"}
_PORTS |= {"th", "tw", "ug", "uk", "us", "za"}


@dataclass(frozen=True)
class Terms:
    """What a licence asks for, as far as its name says; `name` is SPDX's where the licence is `known`.

    `version` is None where none is named, and then there is no `url` either. All conditions of an unknown licence are
    False because nothing is known of them.
    """

    name: str
    known: bool
    url: str | None = None
    version: str | None = None
    attribution: bool = False
    non_commercial: bool = False
    share_alike: bool = False
    no_derivatives: bool = False

    @property
    def elements(self) -> tuple[str, ...]:
        """The conditions as Creative Commons abbreviates them, in its order: BY, NC, SA, ND."""
        wanted = (self.attribution, self.non_commercial, self.share_alike, self.no_derivatives)
        return tuple(word for word, there in zip(("BY", "NC", "SA", "ND"), wanted, strict=True) if there)


@cache
def terms(licence: str) -> Terms:
    """The terms of a licence as a user or SPDX names it ("CC BY-NC-SA 4.0", "CC0-1.0", a URL, "Public Domain")."""
    text = " ".join(licence.casefold().split())
    for pattern, word in _PHRASES:
        text = re.sub(pattern, word, text)
    words = [word for word in re.split(r"[\s\-_/:(),;]+|\.(?!\d)", text) if word and word not in _FILLERS]
    versions = [word.removeprefix("v") for word in words if re.fullmatch(r"v?\d\.\d", word)]
    others = [word for word in words if not re.fullmatch(r"v?\d\.\d", word)]
    version = versions[0] if versions else None
    if len(versions) > 1 or len(others) != len(set(others)):
        return Terms(licence, known=False)
    if "cc0" in others or "pd" in others:
        return _public_domain(licence, set(others), version)
    return _creative_commons(licence, others, version)


def _public_domain(licence: str, words: set[str], version: str | None) -> Terms:
    if words in ({"cc0"}, {"pd", "cc0"}, {"pd", "zero"}, {"cc", "pd", "zero"}):
        found = version or "1.0"
        return Terms(f"CC0-{found}", True, f"https://creativecommons.org/publicdomain/zero/{found}/", found)
    if words <= {"pd", "cc", "mark"}:
        url = f"https://creativecommons.org/publicdomain/mark/{version}/" if version else None
        return Terms("public domain", True, url, version)
    return Terms(licence, known=False)


def _creative_commons(licence: str, words: list[str], version: str | None) -> Terms:
    elements = {word for word in words if word in ("by", "nc", "sa", "nd")}
    rest = [word for word in words if word not in elements and word != "cc"]
    port = rest[0] if len(rest) == 1 and rest[0] in _PORTS and version else None
    named = "cc" in words or version is not None
    if "by" not in elements or elements >= {"sa", "nd"} or not named or (rest and port is None):
        return Terms(licence, known=False)
    parts = [word for word in ("by", "nc", "nd", "sa") if word in elements]
    name = "-".join(["CC", *(word.upper() for word in parts), *([version] if version else [])])
    url = f"https://creativecommons.org/licenses/{'-'.join(parts)}/{version}/" if version else None
    return Terms(
        name=f"{name}-{port.upper()}" if port else name,
        known=True,
        url=f"{url}{port}/" if port else url,
        version=version,
        attribution=True,
        non_commercial="nc" in elements,
        share_alike="sa" in elements,
        no_derivatives="nd" in elements,
    )


@dataclass(frozen=True)
class Conclusion:
    """What follows for something made of music under several licences; None says that nobody can tell from names.

    `share` says whether it may be passed on, `commercial` whether commercially; `non_commercial` are the licences that
    forbid the latter, `share_alike` those that ask for themselves; `fits` is the least licence of Creative Commons
    that meets them all. `questions` are sentences that say what is in the way or unknown, and what to do.
    """

    share: bool | None
    commercial: bool | None
    attribution: bool
    non_commercial: tuple[str, ...]
    share_alike: tuple[str, ...]
    fits: str | None
    questions: tuple[str, ...]


def concluded(licences: Iterable[str]) -> Conclusion:
    """What follows from the licences, as they are written, of all music that something was made of.

    An adaptation of works under several licences must keep the conditions of each. A share-alike licence asks for
    itself, or for a later version of itself from 2.0 on, so two that differ in anything else cannot both be kept, nor
    can one that lets others sell beside one that does not.
    """
    written = sorted(set(licences))
    read = {name: terms(name) for name in written}
    unknown = [name for name in written if not read[name].known]
    closed = [name for name in written if read[name].no_derivatives]
    commons = [read[name] for name in written if read[name].known]
    conflict = _conflict(commons)
    questions = [
        *(_of_unknown(name) for name in unknown),
        *(f"{name} allows no derivatives: nothing made of it may be passed on; ask its owner" for name in closed),
        *([f"{conflict}: nothing made of both may be passed on; leave one out, or ask the owners"] if conflict else []),
    ]
    unsold = any(one.non_commercial for one in commons)
    blocked = bool(closed or conflict)
    share = False if blocked else None if unknown else True
    return Conclusion(
        share=share,
        commercial=False if unsold or blocked else None if unknown else True,
        attribution=any(one.attribution for one in commons),
        non_commercial=tuple(sorted({one.name for one in commons if one.non_commercial})),
        share_alike=tuple(sorted({one.name for one in commons if one.share_alike})),
        fits=_fitting(commons) if share else None,
        questions=tuple(questions),
    )


def _of_unknown(name: str) -> str:
    if not name:
        return "some of the music names no licence: find out whose it is and what its owner allows"
    return f"the licence {name!r} is not known here: read it, or ask a lawyer, before anything made of it is passed on"


def _conflict(licences: list[Terms]) -> str | None:
    """The licences that cannot be kept together, as the start of a sentence."""
    alike = sorted({one for one in licences if one.share_alike}, key=lambda one: one.name)
    for one in alike:
        for other in alike:
            if one.name < other.name and not _same_family(one, other):
                return f"{one.name} and {other.name} each ask for themselves"
        if not one.non_commercial and (unsold := sorted({o.name for o in licences if o.non_commercial})):
            return f"{one.name} asks that others may sell, {unsold[0]} that nobody does"
    return None


def _same_family(one: Terms, other: Terms) -> bool:
    """Whether an adaptation of both can be under the later of the two: the same conditions, from version 2.0 on."""
    if one.elements != other.elements or one.version is None or other.version is None:
        return False
    return min(one.version, other.version) >= "2.0"


def _fitting(licences: list[Terms]) -> str:
    elements = {word for one in licences for word in one.elements}
    if not elements:
        return "CC0-1.0"
    versions = [one.version for one in licences if one.share_alike and one.version]
    words = [word for word in ("BY", "NC", "SA") if word in elements]
    return "-".join(["CC", *words, max(versions, default=PASSED_ON)])
