import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.factories import RATE, fir_process, music, reader, span
from twinlib.errors import DatasetError
from twinlib.evaluation.excerpts import (
    AlignedSpan,
    Excerpt,
    find_loudest,
    iterate_blocks,
    peak_magnitudes,
    predict,
    total_seconds,
)


@given(start=st.integers(10, 50), frames=st.integers(1, 400), history=st.integers(0, 10), size=st.integers(1, 100))
def test_blocks_tile_the_span_with_history(start, frames, history, size):
    dry = np.arange(500, dtype=np.float32)
    found = list(iterate_blocks(span(dry, dry + 1000, start, start + frames), history, size))
    assert np.array_equal(np.concatenate([wet for _, wet in found]), dry[start : start + frames] + 1000)
    for before, wet in found:
        assert len(before) == history + len(wet)
        assert np.array_equal(before[history:] + 1000, wet)
        assert (np.diff(before) == 1).all()


def test_predict_equals_a_slice_of_the_full_output():
    dry = music(3000)
    fir = np.array([0.5, 0.3, -0.2], np.float32)
    whole = fir_process(fir)(dry)
    found = predict(span(dry, dry, 100), fir_process(fir), 2, 1000, 1200)
    assert np.allclose(found, whole[1000:1200], atol=1e-7)


def test_peak_magnitudes_and_total_seconds():
    spans = [
        span(np.array([0, 0.5, 0], np.float32), np.array([0, 0.1, -0.9], np.float32), 0),
        span(np.array([0, -0.7], np.float32), np.array([0.2, 0.0], np.float32), 1),
    ]
    assert peak_magnitudes(spans) == pytest.approx((0.7, 0.9))
    assert total_seconds(spans, 2) == 2.0


@given(place=st.integers(0, 2500), hidden=st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_loudest_window_contains_the_burst(place, hidden):
    spans = []
    for index in range(3):
        wet = music(3500, index, 0.01)
        if index == hidden:
            wet[300 + place : 300 + place + 600] += 0.5
        spans.append(span(wet, wet, 300))
    [found] = find_loudest(spans, 650)
    assert found.span == hidden
    assert found.stop - found.start == 650
    assert 300 <= found.start <= found.stop <= 3500
    overlap = min(found.stop, 300 + place + 600) - max(found.start, 300 + place)
    assert overlap >= 520


@given(frames=st.integers(1, 2000), start=st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_loudest_window_is_within_the_span(frames, start):
    wet = music(2000 + start)
    [found] = find_loudest([span(wet, wet, start)], frames)
    assert start <= found.start
    assert found.stop <= 2000 + start
    assert found.stop - found.start == frames


def test_loudest_window_longer_than_a_block():
    def read(start, stop):
        return np.where(np.arange(start, stop) > 1_500_000, 0.5, 0.01).astype(np.float32)

    [found] = find_loudest([AlignedSpan(read, read, 0, 3_000_000, 0)], 1_000_000)
    assert found.start >= 1_500_000 - 100_000


def test_short_spans_are_chosen_by_energy_in_order():
    levels = [0.1, 0.5, 0.3, 0.2]
    spans = [span(np.full(110, level, np.float32), np.full(110, level, np.float32), 10) for level in levels]
    assert find_loudest(spans, 250) == [Excerpt(1, 10, 110), Excerpt(2, 10, 110), Excerpt(3, 10, 60)]
    assert [excerpt.span for excerpt in find_loudest(spans, 10_000)] == [0, 1, 2, 3]


def test_find_loudest_without_spans_raises():
    with pytest.raises(DatasetError):
        find_loudest([], RATE)


def test_factory_reader_rejects_positions_outside():
    with pytest.raises(AssertionError):
        reader(music(10))(5, 11)
