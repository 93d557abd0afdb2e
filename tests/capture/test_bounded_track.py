from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.capture.conftest import RATE, Write
from twinlib.audio import Reader
from twinlib.capture import silence
from twinlib.capture.bounded_track import BoundedTrack, merge_maxima
from twinlib.capture.dc_step import merge_quieter

WINDOW = RATE // 20


@given(
    values=st.lists(st.floats(-100.0, 100.0), max_size=200),
    max_rows=st.integers(2, 20),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_rows_are_merged_alike_whatever_the_blocks(values: list[float], max_rows: int, cuts: list[int]) -> None:
    """The number of rows is bounded, and each row is the maximum of as many values."""
    track = BoundedTrack(1, merge_maxima, max_rows)
    for start, stop in pairwise([0, *sorted(cuts), 200]):
        track.add(np.array(values[start:stop]).reshape(-1, 1))
    size = track.rows_per_row
    expected = [max(values[first : first + size]) for first in range(0, len(values), size)]
    assert track.rows()[:, 0].tolist() == expected
    assert len(expected) <= max_rows + 1


def test_the_quieter_of_two_windows_is_kept() -> None:
    track = BoundedTrack(3, merge_quieter, 2)
    track.add(np.array([[0.0, 0.1, 3.0], [1.0, 0.2, 2.0], [2.0, 0.3, 1.0], [3.0, 0.4, 5.0]]))
    assert track.rows().tolist() == [[1.0, 0.2, 2.0], [2.0, 0.3, 1.0]]


def test_the_silence_of_long_files_is_within_the_true_silence(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    envelope = np.repeat(np.arange(8) % 2, 23 * WINDOW)
    path = write("a.wav", 0.2 * rng.uniform(-1, 1, len(envelope)) * envelope)
    monkeypatch.setattr(silence, "BoundedTrack", partial(BoundedTrack, max_rows=50))
    with Reader(path) as reader:
        found = silence.find_silence(reader, 0)
    assert len(found) == 4
    for (start, stop), first in zip(found, range(0, len(envelope), 46 * WINDOW), strict=True):
        assert first <= start < stop <= first + 23 * WINDOW
        assert stop - start > 15 * WINDOW
