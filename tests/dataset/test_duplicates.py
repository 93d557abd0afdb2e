import tracemalloc
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
    """Random codes at every frame; even parties are on side 0, odd ones on side 1."""
    generator = np.random.default_rng(seed)
    party = np.repeat(np.arange(parties), length)
    frame = np.tile(np.arange(length), parties)
    return {
        "party": party, "group": party, "side": party % 2, "frame": frame,
        "code": generator.integers(0, codes, parties * length), "weak": np.full(parties * length, 0b11),
    }  # fmt: skip


def plant(made: Rows, source: int, target: int, offset: int, frames: list[int]) -> None:
    """Copy the codes of `source` at these frames to `target`, `offset` frames earlier."""
    for frame in frames:
        have = (made["party"] == source) & (made["frame"] == frame)
        get = (made["party"] == target) & (made["frame"] == frame - offset)
        made["code"][get] = made["code"][have]


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), offset=st.integers(-300, 300), votes=st.integers(16, 40))
def test_planted_copies_are_found_at_their_offset(seed: int, offset: int, votes: int) -> None:
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
def test_random_codes_give_no_match(seed: int, codes: int) -> None:
    assert match_fingerprints(**rows(8, 1000, seed, codes))[0] == []


def test_one_long_cluster_is_weaker_evidence_than_many_short_ones() -> None:
    together, apart = rows(6, 40_000, 1), rows(6, 40_000, 1)
    plant(together, 0, 1, 100, list(range(5000, 5012)))
    plant(apart, 0, 1, 100, list(range(5000, 29_000, 2000)))
    assert match_fingerprints(**together)[0] == []
    (copy,), _ = match_fingerprints(**apart)
    assert copy.parties == (0, 1)


def test_a_repeated_tone_is_not_a_match() -> None:
    made = rows(4, 2000, 2)
    for party in (0, 1):
        mine = made["party"] == party
        made["code"][mine] = 17 + made["frame"][mine] % 7
    assert match_fingerprints(**made)[0] == []


def test_a_repeating_loop_is_found() -> None:
    made = rows(4, 4000, 3)
    bar = np.random.default_rng(4).integers(0, 1 << 24, 400)
    present = np.random.default_rng(5).random((2, 4000)) < 0.3
    for party in (0, 1):
        mine = made["party"] == party
        made["code"][mine] = np.where(present[party], bar[made["frame"][mine] % 400], made["code"][mine])
    (copy,), _ = match_fingerprints(**made)
    assert copy.parties == (0, 1)
    assert round(copy.offset_seconds / 0.005) % 400 in (0, 399, 1)


def test_parties_of_one_group_or_side_are_not_compared() -> None:
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
    summary = [(copy.parties, copy.votes, copy.offset_seconds, copy.chance) for copy in found]
    assert summary == [(copy.parties, copy.votes, copy.offset_seconds, copy.chance) for copy in expected]


def test_distinct_rows_of_large_numbers() -> None:
    columns = [np.random.default_rng(seed).integers(-(1 << 40), 1 << 40, 500) for seed in range(3)]
    columns[0] %= 3
    assert _distinct(*columns, columns[1]).tolist() == np.lexsort(columns[::-1]).tolist()
    assert _distinct(np.array([2, 1, 2, 1])).tolist() == [1, 0]


def test_only_weak_bits_may_differ() -> None:
    made = rows(2, 4000, 10)
    plant(made, 0, 1, 100, list(range(500, 3500, 100)))
    near = made["party"] == 1
    made["side"][near] = 1
    for flip, found in ((0b11, True), (1 << 22, False)):
        turned = {**made, "code": np.where(near, made["code"] ^ flip, made["code"])}
        assert bool(match_fingerprints(**turned)[0]) is found


def test_the_most_common_codes_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows(6, 2000, 9)
    plant(made, 0, 1, 39, list(range(100, 1900, 30)))
    made["code"] = np.where(made["frame"] % 3 == 0, 5, made["code"])
    monkeypatch.setattr(duplicates, "MAX_COINCIDENCES", 5000)
    (copy,), _ = match_fingerprints(**made)
    assert copy.parties == (0, 1)


@pytest.mark.parametrize("parties", [0, 1, 2])
def test_few_or_no_rows(parties: int) -> None:
    assert match_fingerprints(**rows(parties, 3, 0))[0] == []


def peak(parties: int) -> int:
    """Peak memory of numpy in bytes, for 10,000 codes of each party."""
    made = {name: values.astype(np.int32) for name, values in rows(parties, 10_000, 11).items()}
    tracemalloc.start()
    match_fingerprints(**made)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_the_memory_per_code_is_small() -> None:
    assert peak(40) - peak(10) < 30 * 10_000 * 24


@given(rate=st.floats(1e-9, 50), continuation=st.floats(0.01, 0.95))
def test_the_tail_probability_decreases(rate: float, continuation: float) -> None:
    tails = [_tail(1, votes, rate, continuation) for votes in range(1, 60)]
    assert tails[0] == pytest.approx(1 - np.exp(-rate), rel=1e-6, abs=1e-15)
    assert all(0 <= later <= before * (1 + 1e-9) for before, later in pairwise(tails))
    assert _tail(2, 9, rate, continuation) <= _tail(1, 9, rate, continuation) * (1 + 1e-9)


@pytest.mark.parametrize(("rate", "continuation"), [(0.3, 0.5), (2.0, 0.2), (8.0, 0.7)])
def test_the_tail_probability_matches_a_simulation(rate: float, continuation: float) -> None:
    generator = np.random.default_rng(0)
    clusters = generator.poisson(rate, 200_000)
    continued: Any = generator.negative_binomial(np.maximum(clusters, 1), 1 - continuation)
    votes = clusters + np.where(clusters > 0, continued, 0)
    for fewest, least in ((1, 1), (1, 2), (1, 4), (2, 4), (3, 8), (1, 16), (9, 16)):
        share = float(np.mean((votes >= least) & (clusters >= fewest)))
        error = 4 * np.sqrt(max(share, 1e-5) / 200_000)
        assert _tail(fewest, least, rate, continuation) == pytest.approx(share, abs=error)
