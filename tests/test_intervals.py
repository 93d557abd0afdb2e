"""Runs, union, difference and overlap of ranges, compared with boolean masks."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twinlib.intervals import RangeIndex, contains, find_runs, merge_ranges, overlap, subtract_ranges

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda one: (one[0], one[0] + one[1])))


def mask(found: list[tuple[int, int]]) -> np.ndarray:
    out = np.zeros(80, bool)
    for start, stop in found:
        out[start:stop] = True
    return out


@given(ranges, ranges)
def test_overlapping_and_contained_ranges_are_those_of_their_masks(some: list, others: list) -> None:
    for one in some:
        for other in others:
            shared = mask([one]) & mask([other])
            assert overlap(one, other) == shared.any()
            assert contains(one, other) == np.array_equal(shared, mask([other]))


@given(st.lists(st.booleans(), max_size=80))
def test_runs_equal_the_mask(values: list[bool]) -> None:
    where = np.array(values + [False] * (80 - len(values)), bool)
    found = find_runs(where)
    assert np.array_equal(mask(found), where)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(ranges)
def test_merged_ranges_equal_the_runs_of_their_mask(found: list[tuple[int, int]]) -> None:
    assert merge_ranges(found) == find_runs(mask(found))


@given(ranges.map(sorted), st.integers(0, 40), st.integers(0, 40))
def test_subtracted_ranges_equal_the_difference_of_masks(holes: list[tuple[int, int]], start: int, length: int) -> None:
    expected = mask([(start, start + length)]) & ~mask(holes)
    found = list(subtract_ranges(start, start + length, holes))
    assert np.array_equal(mask(found), expected)
    assert all(a < b for a, b in found)


@given(ranges, st.integers(0, 70), st.integers(1, 9))
def test_range_index_equals_a_scan_of_every_sample(held: list[tuple[int, int]], start: int, length: int) -> None:
    taken = mask(held)
    found = RangeIndex(held)
    overlapping = {k for k, (a, b) in enumerate(held) if a < start + length and b > start}
    assert set(found.overlapping(start, start + length)) == overlapping
    free = found.free_from(start)
    assert not taken[free:start].any()
    assert free == 0 or taken[free - 1]
