from collections import Counter
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.real_artists import REAL_TRACKS
from twinlib.corpus import find_families
from twinlib.errors import ExcitationError
from twinlib.excitation.settings import Split
from twinlib.excitation.splits import assign_split, assign_splits, find_salt, group_by_split, with_salt

names = st.text(min_size=1, max_size=20)


@given(st.dictionaries(names, names, min_size=1, max_size=5), names, names)
@settings(deadline=None)
def test_adding_a_track_changes_no_other_split(artists: dict[str, str], track: str, artist: str) -> None:
    enough = {f"track {number}": f"artist {number}" for number in range(40)}
    before = assign_splits({**enough, **artists}, Split())
    after = assign_splits({track: artist, **enough, **artists}, Split())
    assert after | before == after


@given(st.lists(names, min_size=30, max_size=35, unique=True))
@settings(max_examples=20, deadline=None)
def test_every_track_of_an_artist_is_in_one_split(artists: list[str]) -> None:
    tracks = {f"{artist}/{number}": artist for artist in artists for number in range(3)}
    split = Split(salt=find_salt(artists, Split()) or "none")
    given_ = assign_splits(tracks, split)
    for artist in artists:
        assert len({given_[f"{artist}/{number}"] for number in range(3)}) == 1
    dealt = group_by_split(given_)
    assert sorted(track for some in dealt.values() for track in some) == sorted(tracks)


def test_shares_hold_on_average() -> None:
    counts = Counter(assign_split(f"artist {number}", Split()) for number in range(20000))
    assert counts["train"] == pytest.approx(16000, abs=250)
    assert counts["valid"] == pytest.approx(2000, abs=200)
    assert counts["test"] == pytest.approx(2000, abs=200)


def test_a_split_is_the_same_on_every_machine() -> None:
    # Known values: hashes that vary by process or version would move tracks between runs.
    assert [assign_split(name, Split()) for name in ("Sub-d", "MusicDelta", "artist 8")] == KNOWN


KNOWN = ["train", "test", "valid"]


@pytest.mark.parametrize("same", ["Björk", "Bjo\u0308rk", "BJÖRK", " björk "])
def test_spellings_of_one_artist_share_a_split(same: str) -> None:
    for number in range(20):
        split = Split(salt=str(number))
        assert assign_split(same, split) == assign_split("Björk", split)


def test_another_salt_changes_the_splits() -> None:
    artists = [f"artist {number}" for number in range(50)]
    assert [assign_split(each, Split(salt="a")) for each in artists] != [
        assign_split(each, Split(salt="b")) for each in artists
    ]


def test_an_empty_split_is_refused_with_a_salt_that_works() -> None:
    artists = {f"track {number}": f"artist {number}" for number in range(4)}
    salt = next(s for s in map(str, range(100)) if len({assign_split(a, Split(salt=s)) for a in artists.values()}) < 3)
    with pytest.raises(
        ExcitationError, match=r"no artist is assigned to .*leave split.salt out, or set it to '"
    ) as refused:
        assign_splits(artists, Split(salt=salt))
    proposed = str(refused.value).split("'")[-2]
    assert set(assign_splits(artists, Split(salt=proposed)).values()) == {"train", "valid", "test"}


def test_too_few_artists_suggest_splits_by_track() -> None:
    tracks = {f"track {number}": "one artist" for number in range(5)}
    with pytest.raises(ExcitationError, match=r"too few artists; set split\.by to 'track' and leave split.salt out"):
        assign_splits(tracks, with_salt(tracks, Split()))
    assign_splits(tracks, with_salt(tracks, Split(by="track")))


@given(st.sets(names, min_size=3, max_size=8), st.sampled_from(["artist", "track"]))
@settings(max_examples=20, deadline=None)
def test_a_salt_that_fills_all_splits_is_chosen(artists: set[str], by: Literal["artist", "track"]) -> None:
    tracks = {f"{artist}/{number}": artist for artist in sorted(artists) for number in range(2)}
    chosen = with_salt(tracks, Split(by=by))
    units = {assign_split(artist, Split(salt=str(salt))) for artist in artists for salt in range(9)}
    assert set(assign_splits(tracks, chosen).values()) == set(chosen.shares) or len(units) < 3
    assert with_salt(dict(reversed(tracks.items())), Split(by=by)) == chosen
    assert with_salt(tracks, chosen) == chosen


def test_the_first_salt_and_a_given_one_are_kept() -> None:
    many = {f"track {number}": f"artist {number}" for number in range(60)}
    assert with_salt(many, Split()).salt == "twin"
    assert assign_splits(many, with_salt(many, Split())) == assign_splits(many, Split(salt="twin"))
    few = {f"track {number}": f"artist {number}" for number in range(3)}
    assert with_salt(few, Split()).salt not in (None, "twin")
    assert with_salt(few, Split(salt="mine")).salt == "mine"


def test_no_salt_divides_a_family_of_real_artists() -> None:
    families = find_families(REAL_TRACKS)
    artists = {track_id: families.by_credit[credit] for track_id, credit in REAL_TRACKS}
    for number in range(50):
        given_ = assign_splits(
            artists, with_salt(artists, Split(train=0.4, valid=0.3, test=0.3, salt=f"salt {number}"))
        )
        for credits in families.joined.values():
            assert len({given_[track_id] for track_id, credit in REAL_TRACKS if credit in credits}) == 1


def test_too_few_tracks_are_reported() -> None:
    with pytest.raises(ExcitationError, match="too few tracks for 3 splits"):
        assign_splits({"a": "a", "b": "b"}, Split())
