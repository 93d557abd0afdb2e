"""Licence names and their terms: attribution, non-commercial, share alike, no derivatives.

Parses Creative Commons licences (https://creativecommons.org/licenses/) and public domain marks, as SPDX identifiers
(https://spdx.org/licenses/) and in common spellings. Any other name, or any addition to such a name, is unknown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

DEFAULT_VERSION = "4.0"
"""The version of the proposed licence if no share-alike licence requires another."""

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
    """The terms of a licence. `name` is the SPDX identifier if the licence is `known`, else the name as written.

    Without a version, `version` and `url` are None. All conditions of an unknown licence are False.
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
        """The conditions as Creative Commons abbreviations, in the order BY, NC, SA, ND."""
        conditions = (self.attribution, self.non_commercial, self.share_alike, self.no_derivatives)
        return tuple(word for word, required in zip(("BY", "NC", "SA", "ND"), conditions, strict=True) if required)


@cache
def parse_licence(licence: str) -> Terms:
    """Parse a licence name: "CC BY-NC-SA 4.0", "CC0-1.0", a Creative Commons URL, "Public Domain"."""
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
        number = version or "1.0"
        return Terms(f"CC0-{number}", True, f"https://creativecommons.org/publicdomain/zero/{number}/", number)
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
    """The combined terms of several licences for a work made from all of them; None means unknown.

    `share`: whether it may be distributed; `commercial`: whether it may be sold. `non_commercial` lists the licences
    that forbid selling, `share_alike` those that adaptations must keep. `fits` is the least restrictive Creative
    Commons licence that satisfies all of them. `questions` are sentences about conflicts and unknown licences, with a
    remedy.
    """

    share: bool | None
    commercial: bool | None
    attribution: bool
    non_commercial: tuple[str, ...]
    share_alike: tuple[str, ...]
    fits: str | None
    questions: tuple[str, ...]


def combine_licences(licences: Iterable[str]) -> Conclusion:
    """Combine the licences, as written, of all music in a work.

    An adaptation must keep the conditions of each licence. A share-alike licence requires the same licence or, from 2.0
    on, a later version of it. So two share-alike licences with different conditions conflict, and so does a share-alike
    licence that permits selling with a licence that forbids it.
    """
    names = sorted(set(licences))
    parsed = {name: parse_licence(name) for name in names}
    unknown = [name for name in names if not parsed[name].known]
    no_derivatives = [name for name in names if parsed[name].no_derivatives]
    known = [parsed[name] for name in names if parsed[name].known]
    conflict = _find_conflict(known)
    questions = [
        *(_unknown_question(name) for name in unknown),
        *(f"{name} forbids derivatives: do not distribute this, or ask the owner" for name in no_derivatives),
        *([f"{conflict}: exclude the music of one of them, or ask the owners"] if conflict else []),
    ]
    non_commercial = any(one.non_commercial for one in known)
    blocked = bool(no_derivatives or conflict)
    share = False if blocked else None if unknown else True
    return Conclusion(
        share=share,
        commercial=False if non_commercial or blocked else None if unknown else True,
        attribution=any(one.attribution for one in known),
        non_commercial=tuple(sorted({one.name for one in known if one.non_commercial})),
        share_alike=tuple(sorted({one.name for one in known if one.share_alike})),
        fits=_fitting_licence(known) if share else None,
        questions=tuple(questions),
    )


def _unknown_question(name: str) -> str:
    if not name:
        return "some of the music has no licence: find its owner and ask for permission"
    return f"the licence {name!r} is unknown: read it or ask a lawyer before you distribute anything"


def _find_conflict(licences: list[Terms]) -> str | None:
    """Return two incompatible licences as a clause, or None."""
    share_alike = sorted({terms for terms in licences if terms.share_alike}, key=lambda terms: terms.name)
    for first in share_alike:
        for second in share_alike:
            if first.name < second.name and not _is_same_family(first, second):
                return f"{first.name} and {second.name} each require themselves and cannot be combined"
        restricted = sorted({terms.name for terms in licences if terms.non_commercial})
        if not first.non_commercial and restricted:
            return f"{first.name} requires that others may sell, {restricted[0]} forbids it"
    return None


def _is_same_family(first: Terms, second: Terms) -> bool:
    """Whether an adaptation of both can use the later version: equal conditions, and version 2.0 or later."""
    if first.elements != second.elements or first.version is None or second.version is None:
        return False
    return min(first.version, second.version) >= "2.0"


def _fitting_licence(licences: list[Terms]) -> str:
    elements = {element for terms in licences for element in terms.elements}
    if not elements:
        return "CC0-1.0"
    versions = [terms.version for terms in licences if terms.share_alike and terms.version]
    words = [word for word in ("BY", "NC", "SA") if word in elements]
    return "-".join(["CC", *words, max(versions, default=DEFAULT_VERSION)])
