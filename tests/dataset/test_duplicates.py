from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.dataset import duplicates
from twinlib.dataset.duplicates import _distinct, _tail, match_fingerprints

Rows = dict[str, np.ndarray]


def rows(parties: int, length: int, seed: int, codes: int = 1 << 24) -> Rows:
    """Random codes of some parties at every frame; even ones are of side 0, odd ones of side 1."""
    generator = np.random.default_rng(seed)
    party = np.repeat(np.arange(parties), length)
    frame = np.tile(np.arange(length), parties)
    return {
        "party": party, "group": party, "side": party % 2, "frame": frame,
        "code": generator.integers(0, codes, parties * length), "weak": np.full(parties * length, 0b11),
    }  # fmt: skip


def plant(made: Rows, source: int, target: int, offset: int, frames: list[int]) -> None:
    """What `source` has at these frames, `target` has `offset` frames earlier."""
    for frame in frames:
        have = (made["party"] == source) & (made["frame"] == frame)
        get = (made["party"] == target) & (made["frame"] == frame - offset)
        made["code"][get] = made["code"][have]


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), offset=st.integers(-300, 300), votes=st.integers(16, 40))
def test_what_was_planted_is_found_at_its_offset(seed: int, offset: int, votes: int) -> None:
    made = rows(8, 1000, seed)
    frames = np.random.default_rng(seed).choice(np.arange(320, 680, 3), votes, replace=False).tolist()
    plant(made, 2, 5, offset, frames)
    (copy,), _ = match_fingerprints(**made)
    assert copy.parties == (2, 5)
    assert copy.offset_seconds == pytest.approx(offset * 0.005, abs=0.0026)
    assert copy.votes >= votes
    first, second = copy.rows
    assert (made["party"][first], made["party"][second]) == (2, 5)
    assert made["code"][first] == made["code"][second]


@given(seed=st.integers(0, 1000), codes=st.sampled_from([1 << 24, 1 << 14, 1 << 11]))
@settings(max_examples=20)
def test_chance_is_no_copy_however_many_codes_are_common(seed: int, codes: int) -> None:
    assert match_fingerprints(**rows(8, 1000, seed, codes))[0] == []


def test_one_meeting_that_goes_on_is_weaker_than_many() -> None:
    together, apart = rows(6, 40_000, 1), rows(6, 40_000, 1)
    plant(together, 0, 1, 100, list(range(5000, 5012)))
    plant(apart, 0, 1, 100, list(range(5000, 29_000, 2000)))
    assert match_fingerprints(**together)[0] == []
    (copy,), _ = match_fingerprints(**apart)
    assert copy.parties == (0, 1)


def test_a_repeated_tone_votes_for_every_offset_and_is_no_copy() -> None:
    made = rows(4, 2000, 2)
    for party in (0, 1):
        mine = made["party"] == party
        made["code"][mine] = 17 + made["frame"][mine] % 7
    assert match_fingerprints(**made)[0] == []


def test_a_loop_that_repeats_is_found_all_the_same() -> None:
    made = rows(4, 4000, 3)
    bar = np.random.default_rng(4).integers(0, 1 << 24, 400)
    heard = np.random.default_rng(5).random((2, 4000)) < 0.3
    for party in (0, 1):
        mine = made["party"] == party
        made["code"][mine] = np.where(heard[party], bar[made["frame"][mine] % 400], made["code"][mine])
    (copy,), _ = match_fingerprints(**made)
    assert copy.parties == (0, 1)
    assert round(copy.offset_seconds / 0.005) % 400 in (0, 399, 1)


def test_one_group_or_one_side_is_never_compared() -> None:
    made = rows(6, 1000, 6)
    plant(made, 0, 1, 10, list(range(300, 400)))
    plant(made, 2, 4, 10, list(range(300, 400)))
    found, possible = match_fingerprints(**made)
    assert [copy.parties for copy in found] == [(0, 1)]
    assert possible == 2 * 3 * 3 * 1000
    made["group"] = np.where(made["party"] == 1, 0, made["party"])
    assert match_fingerprints(**made)[0] == []


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    made = rows(6, 800, 7)
    plant(made, 0, 3, -50, list(range(100, 700, 17)))
    plant(made, 4, 1, 25, list(range(100, 700, 19)))
    order = np.random.default_rng(seed).permutation(len(made["party"]))
    expected, possible = match_fingerprints(**made)
    found, again = match_fingerprints(**{name: values[order] for name, values in made.items()})
    assert len(found) == 2
    assert again == possible
    told = [(copy.parties, copy.votes, copy.offset_seconds, copy.chance) for copy in found]
    assert told == [(copy.parties, copy.votes, copy.offset_seconds, copy.chance) for copy in expected]


def test_numbers_too_large_for_one_key_are_ordered_alike() -> None:
    columns = [np.random.default_rng(seed).integers(-(1 << 40), 1 << 40, 500) for seed in range(3)]
    columns[0] %= 3
    assert _distinct(*columns, columns[1]).tolist() == np.lexsort(columns[::-1]).tolist()
    assert _distinct(np.array([2, 1, 2, 1])).tolist() == [1, 0]


def test_weak_bits_may_be_turned_and_no_others() -> None:
    made = rows(2, 4000, 10)
    plant(made, 0, 1, 100, list(range(500, 3500, 100)))
    near = made["party"] == 1
    made["side"][near] = 1
    for flip, found in ((0b11, True), (1 << 22, False)):
        turned = {**made, "code": np.where(near, made["code"] ^ flip, made["code"])}
        assert bool(match_fingerprints(**turned)[0]) is found


def test_codes_that_are_everywhere_are_left_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows(6, 2000, 9)
    plant(made, 0, 1, 39, list(range(100, 1900, 30)))
    made["code"] = np.where(made["frame"] % 3 == 0, 5, made["code"])
    monkeypatch.setattr(duplicates, "MOST_MEETINGS", 5000)
    (copy,), _ = match_fingerprints(**made)
    assert copy.parties == (0, 1)


@pytest.mark.parametrize("parties", [0, 1, 2])
def test_little_or_nothing(parties: int) -> None:
    assert match_fingerprints(**rows(parties, 3, 0))[0] == []


@given(rate=st.floats(1e-9, 50), goes_on=st.floats(0.01, 0.95))
def test_the_tail_is_a_tail(rate: float, goes_on: float) -> None:
    tails = [_tail(1, votes, rate, goes_on) for votes in range(1, 60)]
    assert tails[0] == pytest.approx(1 - np.exp(-rate), rel=1e-6, abs=1e-15)
    assert all(0 <= later <= before * (1 + 1e-9) for before, later in pairwise(tails))
    assert _tail(2, 9, rate, goes_on) <= _tail(1, 9, rate, goes_on) * (1 + 1e-9)


@pytest.mark.parametrize(("rate", "goes_on"), [(0.3, 0.5), (2.0, 0.2), (8.0, 0.7)])
def test_the_tail_is_that_of_meetings_that_go_on(rate: float, goes_on: float) -> None:
    generator = np.random.default_rng(0)
    meetings = generator.poisson(rate, 200_000)
    going_on: Any = generator.negative_binomial(np.maximum(meetings, 1), 1 - goes_on)
    votes = meetings + np.where(meetings > 0, going_on, 0)
    for fewest, least in ((1, 1), (1, 2), (1, 4), (2, 4), (3, 8), (1, 16), (9, 16)):
        share = float(np.mean((votes >= least) & (meetings >= fewest)))
        assert _tail(fewest, least, rate, goes_on) == pytest.approx(share, abs=4 * np.sqrt(max(share, 1e-5) / 200_000))
