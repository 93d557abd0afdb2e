"""Licence names, their terms, and combinations of several licences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.audit.licence_terms import combine_licences, parse_licence

KINDS = ("BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND")
FREE = ("CC0", "CC0-1.0", "CC0 1.0", "cc-zero 1.0", "Public Domain", "public domain mark 1.0", "PD")
FREE += ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0 Universal", "Creative Commons Zero")
UNKNOWN = (
    "",
    "all rights reserved",
    "CC",
    "CC BY 4.0 except the vocals",
    "CC BY-SA-ND 4.0",
    "CC NC 1.0",
    "by",
    "by Bach",
)
UNKNOWN += ("CC BY 3.0 4.0", "free for personal use", "CC Sampling+ 1.0", "BY", "CC0 BY 4.0", "no public domain", "MIT")


def written(kind: str, version: str) -> list[str]:
    """Common spellings of a licence."""
    words = {"BY": "Attribution", "NC": "NonCommercial", "SA": "ShareAlike", "ND": "NoDerivatives"}
    long = "-".join(words[word] for word in kind.split("-"))
    return [
        f"CC {kind} {version}",
        f"CC-{kind}-{version}",
        f"cc {kind.lower().replace('-', ' ')} v{version}",
        f"Creative Commons {long} {version} International",
        f"Creative Commons {long.replace('NonC', 'Non-C').replace('NoD', 'No D')} {version}",
        f"https://creativecommons.org/licenses/{kind.lower()}/{version}/",
        f"http://creativecommons.org/licenses/{kind.lower()}/{version}/deed.en",
        f"creativecommons.org/licenses/{kind.lower()}/{version}/legalcode",
    ]


@pytest.mark.parametrize("version", ["1.0", "2.5", "4.0"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_spellings_of_a_licence_are_equal(kind: str, version: str) -> None:
    for text in written(kind, version):
        read = parse_licence(text)
        assert read.known, text
        assert set(read.elements) == set(kind.split("-")), text
        assert (read.name, read.version) == (parse_licence(f"CC {kind} {version}").name, version), text
        assert read.url == f"https://creativecommons.org/licenses/{read.name[3:-4].lower()}/{version}/", text
        assert parse_licence(read.name) == parse_licence(read.url or "") == read


def test_names_are_spdx_identifiers() -> None:
    assert parse_licence("CC BY-NC-ND 4.0").name == "CC-BY-NC-ND-4.0"
    assert parse_licence("cc by-sa-nc 3.0").name == "CC-BY-NC-SA-3.0"
    assert parse_licence("CC BY 3.0 US").name == "CC-BY-3.0-US"
    assert parse_licence("CC BY 3.0 US").url == "https://creativecommons.org/licenses/by/3.0/us/"
    assert parse_licence("CC BY-NC").name == "CC-BY-NC"
    assert parse_licence("CC BY-NC").url is None


@pytest.mark.parametrize("text", FREE)
def test_public_domain_has_no_conditions(text: str) -> None:
    assert parse_licence(text).known
    assert parse_licence(text).elements == ()
    terms = combine_licences([text])
    assert (terms.share, terms.commercial, terms.attribution, terms.fits) == (True, True, False, "CC0-1.0")


@pytest.mark.parametrize("text", UNKNOWN)
def test_other_names_are_unknown(text: str) -> None:
    assert not parse_licence(text).known
    terms = combine_licences([text])
    assert (terms.share, terms.commercial, terms.fits) == (None, None, None)
    assert terms.questions


LICENCES = st.sampled_from(
    [*FREE[:2], *UNKNOWN[:2], *(f"CC {kind} {v}" for kind in KINDS for v in ("1.0", "3.0", "4.0"))]
)


@given(st.lists(LICENCES, max_size=5), LICENCES)
def test_additional_licences_never_allow_more_uses(some: list[str], more: str) -> None:
    order = {False: 0, None: 1, True: 2}
    before, after = combine_licences(some), combine_licences([*some, more])
    assert order[after.share] <= order[before.share]
    assert order[after.commercial] <= order[before.commercial]
    assert after.attribution >= before.attribution
    assert set(after.share_alike) >= set(before.share_alike)
    assert set(after.questions) >= set(before.questions) or after.share is False
    assert (after.share is True) == (after.fits is not None) == (not after.questions)


@given(st.lists(LICENCES, max_size=5))
def test_the_combined_licence_keeps_every_condition(some: list[str]) -> None:
    terms = combine_licences(some)
    if terms.fits:
        fitting = parse_licence(terms.fits)
        assert {word for name in some for word in parse_licence(name).elements} == set(fitting.elements)
        assert combine_licences([*some, terms.fits]).fits == terms.fits
        assert terms.commercial is not fitting.non_commercial


def test_incompatible_licences_are_named() -> None:
    for pair in (
        ("CC BY-SA 4.0", "CC BY-NC-SA 4.0"),
        ("CC BY-SA 4.0", "CC BY-NC 4.0"),
        ("CC BY-SA 1.0", "CC BY-SA 4.0"),
    ):
        terms = combine_licences(pair)
        assert terms.share is False
        assert terms.commercial is False
        assert all(parse_licence(name).name in terms.questions[0] for name in pair)
    assert combine_licences(["CC BY-SA 2.0", "CC BY-SA 4.0", "CC BY 3.0"]).fits == "CC-BY-SA-4.0"
    assert combine_licences(["CC BY-NC-SA 4.0", "CC BY-NC 3.0", "CC0"]).fits == "CC-BY-NC-SA-4.0"
    assert combine_licences(["CC BY 4.0", "CC BY-ND 4.0"]).share is False
