import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.factories import RATE, cuts, music, reader
from twinlib.evaluation.excerpts import AlignedSpan, SpanPart
from twinlib.evaluation.grouped_errors import MAX_LABELS, MAX_POINTS, GroupedErrors, tabulate

BORDERS = (1500, 1700, 7000, 9000)
NAMES = (("a",), ("a", "b"), ("b",), ("c",))


def span(wet, parts=(), start=0):
    return AlignedSpan(reader(wet), reader(wet), start, start + len(wet), 0, tuple(parts))


def gathered(wet, predicted, parts=(), pieces=None, rate=RATE):
    found = GroupedErrors(rate)
    # Parts are positions on the shard, where a span may start anywhere.
    found.start(span(wet, [SpanPart(500 + stop, names) for stop, names in parts], 500))
    for begin, end in pieces or [(0, len(wet))]:
        found.add(wet[begin:end], predicted[begin:end])
    return found


def sums(wet, predicted):
    exact = wet.astype(np.float64)
    return [len(wet), np.sum(exact**2), np.sum((predicted - exact) ** 2)]


@given(points=st.lists(st.integers(0, 9000), max_size=6))
@settings(max_examples=15, deadline=None)
def test_groups_are_independent_of_block_size(points):
    wet = music(9000)
    predicted = wet * np.linspace(0.5, 1.0, 9000, dtype=np.float32)
    found = gathered(wet, predicted, zip(BORDERS, NAMES, strict=True), cuts(9000, points))
    begins = (0, *BORDERS)
    pieces = {names: sums(wet[a:b], predicted[a:b]) for a, b, names in zip(begins, BORDERS, NAMES, strict=False)}
    # A crossfade counts for both tracks.
    assert found.by_label()["a"] == pytest.approx(np.add(pieces["a",], pieces["a", "b"]))
    assert found.by_label()["b"] == pytest.approx(np.add(pieces["a", "b"], pieces["b",]))
    assert found.by_label()["c"] == pytest.approx(pieces["c",])
    whole = sums(wet, predicted)
    assert found.by_level().sum(axis=0) == pytest.approx(whole)
    step, over_time = found.over_time()
    assert step == RATE
    assert over_time.sum(axis=0) == pytest.approx(whole)
    assert len(over_time) == 2


def test_tracks_are_sorted_by_error_and_silence_is_last():
    wet = np.concatenate([music(4000, 1), music(4000, 2), np.zeros(4000, np.float32)])
    gains = np.repeat([0.9, 0.5, 1.0], 4000).astype(np.float32)
    parts = [(4000, ("good",)), (8000, ("bad",)), (12000, ("nothing",))]
    twin, linear = (gathered(wet, gain * wet, parts) for gain in (gains, np.float32(0.8)))
    bad, good, nothing = tabulate(twin, linear)["by_track"]
    assert [one["name"] for one in (bad, good, nothing)] == ["bad", "good", "nothing"]
    assert bad["esr"] == pytest.approx(0.25, rel=1e-5)
    assert bad["esr_db"] == pytest.approx(-6.0206, abs=1e-3)
    assert good["esr"] == pytest.approx(0.01, rel=1e-4)
    assert bad["esr_linear"] == pytest.approx(0.04, rel=1e-4)
    assert bad["seconds"] == 0.5
    assert nothing["esr"] is nothing["esr_db"] is nothing["esr_linear"] is None


def test_surplus_tracks_are_pooled():
    count = MAX_LABELS + 3
    wet = np.ones(10 * count, np.float32)
    # The error of track k is 1 / k of its level.
    predicted = wet - np.repeat(np.arange(count) / count, 10).astype(np.float32)
    parts = [(10 * (k + 1), (f"track {k}",)) for k in range(count)]
    found = gathered(wet, predicted, parts)
    table = tabulate(found, found)["by_track"]
    assert len(table) == MAX_LABELS + 1
    assert table[0]["name"] == f"track {count - 1}"
    assert table[-1]["name"] == "others"
    assert table[-1]["pooled"] == 3
    assert table[-1]["esr"] == pytest.approx((0 + 1 + 4) / 3 / count**2, rel=1e-5)
    assert sum(one["seconds"] for one in table) == pytest.approx(len(wet) / RATE)


@pytest.mark.parametrize(
    ("level", "borders"), [(-100.0, (None, -96)), (-57.0, (-60, -54)), (-3.1, (-6, 0)), (2.0, (0, None))]
)
def test_levels_are_binned(level, borders):
    wet = np.full(4000, 10 ** (level / 20), np.float32)
    found = gathered(wet, 0.9 * wet)
    (row,) = tabulate(found, found)["by_level"]
    assert (row["from_dbfs"], row["to_dbfs"]) == borders
    assert row["esr"] == pytest.approx(0.01, rel=1e-5)
    assert row["seconds"] == 0.5


def test_levels_are_in_ascending_order():
    wet = np.repeat([0.5, 0.0009, 0.5, 0.03], 4000).astype(np.float32)
    found = gathered(wet, wet)
    rows = tabulate(found, found)["by_level"]
    assert [row["to_dbfs"] for row in rows] == [-60, -30, -6]
    assert [row["seconds"] for row in rows] == [0.5, 0.5, 1.0]


def test_error_over_time():
    wet = music(4 * RATE)
    gains = np.repeat([1.0, 0.9, 0.5, 0.0], RATE).astype(np.float32)
    track = tabulate(gathered(wet, gains * wet), gathered(wet, 0 * wet))["esr_over_time"]
    assert track["seconds"] == 1.0
    assert track["esr"] == pytest.approx([0.0, 0.01, 0.25, 1.0], rel=1e-4, abs=1e-12)
    assert track["esr_linear"] == [1.0] * 4


def test_surplus_points_are_pooled():
    # A low sample rate, so that hours are few samples.
    rate, seconds = 20, 2 * MAX_POINTS + 1
    wet = np.ones(rate * seconds, np.float32)
    predicted = np.repeat(np.arange(seconds) < 2, rate).astype(np.float32)
    found = gathered(wet, predicted, rate=rate, pieces=[(k, k + 333) for k in range(0, len(wet), 333)])
    track = tabulate(found, found)["esr_over_time"]
    assert track["seconds"] == 4.0
    assert track["esr"] == [0.5, *[1.0] * (seconds // 4)]


def test_spans_are_concatenated_in_time():
    found = GroupedErrors(RATE)
    for gain, name in ((0.5, "a"), (0.9, "b")):
        wet = music(RATE + 30)[:RATE]
        found.start(span(wet, [SpanPart(RATE, (name,))]))
        found.add(wet, np.float32(gain) * wet)
    assert [sums[2] / sums[1] for sums in found.over_time()[1]] == pytest.approx([0.25, 0.01], rel=1e-4)
    assert list(found.by_label()) == ["a", "b"]
