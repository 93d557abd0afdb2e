"""What the names of licences say, and what follows from several."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.audit.licence_terms import concluded, terms

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
    """One licence as people write it."""
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
def test_all_spellings_of_a_licence_mean_it(kind: str, version: str) -> None:
    for text in written(kind, version):
        read = terms(text)
        assert read.known, text
        assert set(read.elements) == set(kind.split("-")), text
        assert (read.name, read.version) == (terms(f"CC {kind} {version}").name, version), text
        assert read.url == f"https://creativecommons.org/licenses/{read.name[3:-4].lower()}/{version}/", text
        assert terms(read.name) == terms(read.url or "") == read


def test_names_are_those_of_spdx() -> None:
    assert terms("CC BY-NC-ND 4.0").name == "CC-BY-NC-ND-4.0"
    assert terms("cc by-sa-nc 3.0").name == "CC-BY-NC-SA-3.0"
    assert terms("CC BY 3.0 US").name == "CC-BY-3.0-US"
    assert terms("CC BY 3.0 US").url == "https://creativecommons.org/licenses/by/3.0/us/"
    assert terms("CC BY-NC").name == "CC-BY-NC"
    assert terms("CC BY-NC").url is None


@pytest.mark.parametrize("text", FREE)
def test_what_is_free_asks_for_nothing(text: str) -> None:
    assert terms(text).known
    assert terms(text).elements == ()
    told = concluded([text])
    assert (told.share, told.commercial, told.attribution, told.fits) == (True, True, False, "CC0-1.0")


@pytest.mark.parametrize("text", UNKNOWN)
def test_nothing_is_guessed(text: str) -> None:
    assert not terms(text).known
    told = concluded([text])
    assert (told.share, told.commercial, told.fits) == (None, None, None)
    assert told.questions


LICENCES = st.sampled_from(
    [*FREE[:2], *UNKNOWN[:2], *(f"CC {kind} {v}" for kind in KINDS for v in ("1.0", "3.0", "4.0"))]
)


@given(st.lists(LICENCES, max_size=5), LICENCES)
def test_more_music_never_allows_more(some: list[str], more: str) -> None:
    order = {False: 0, None: 1, True: 2}
    before, after = concluded(some), concluded([*some, more])
    assert order[after.share] <= order[before.share]
    assert order[after.commercial] <= order[before.commercial]
    assert after.attribution >= before.attribution
    assert set(after.share_alike) >= set(before.share_alike)
    assert set(after.questions) >= set(before.questions) or after.share is False
    assert (after.share is True) == (after.fits is not None) == (not after.questions)


@given(st.lists(LICENCES, max_size=5))
def test_what_fits_keeps_every_condition(some: list[str]) -> None:
    told = concluded(some)
    if told.fits:
        fitting = terms(told.fits)
        assert {word for name in some for word in terms(name).elements} == set(fitting.elements)
        assert concluded([*some, told.fits]).fits == told.fits
        assert told.commercial is not fitting.non_commercial


def test_what_cannot_be_kept_together_is_named() -> None:
    for pair in (
        ("CC BY-SA 4.0", "CC BY-NC-SA 4.0"),
        ("CC BY-SA 4.0", "CC BY-NC 4.0"),
        ("CC BY-SA 1.0", "CC BY-SA 4.0"),
    ):
        told = concluded(pair)
        assert told.share is False
        assert told.commercial is False
        assert all(terms(name).name in told.questions[0] for name in pair)
    assert concluded(["CC BY-SA 2.0", "CC BY-SA 4.0", "CC BY 3.0"]).fits == "CC-BY-SA-4.0"
    assert concluded(["CC BY-NC-SA 4.0", "CC BY-NC 3.0", "CC0"]).fits == "CC-BY-NC-SA-4.0"
    assert concluded(["CC BY 4.0", "CC BY-ND 4.0"]).share is False
