"""Ranges of a mask, and joined."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twinlib.intervals import joined, runs

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda one: (one[0], one[0] + one[1])))


def mask(found: list[tuple[int, int]]) -> np.ndarray:
    out = np.zeros(80, bool)
    for start, stop in found:
        out[start:stop] = True
    return out


@given(st.lists(st.booleans(), max_size=80))
def test_runs_are_the_mask(values: list[bool]) -> None:
    where = np.array(values + [False] * (80 - len(values)), bool)
    found = runs(where)
    assert np.array_equal(mask(found), where)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(ranges)
def test_joined_ranges_are_the_same_places_once(found: list[tuple[int, int]]) -> None:
    assert joined(found) == runs(mask(found))
