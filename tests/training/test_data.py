import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import signals, written_pair
from twinlib.dataset.loader import Stretch
from twinlib.errors import DatasetError
from twinlib.training.data import ShardData, check_shards, select_excerpts, tone_slots
from twinlib.training.settings import Training


@settings(deadline=None)
@given(st.lists(st.integers(10, 900), min_size=1, max_size=6), st.integers(1, 60), st.floats(0.1, 30))
def test_excerpts_are_inside_their_stretches_and_the_duration(lengths, field, seconds):
    rate = 100
    found = [Stretch(f"{k}.arrow", f"c{k}", 1000, 1000 + n, field - 1, 0) for k, n in enumerate(lengths)]
    pieces = select_excerpts(found, field, seconds, rate)
    assert pieces
    assert len(set(pieces)) == len(pieces)
    assert all(stretch.start <= start < stop <= stretch.stop for stretch, start, stop in pieces)
    total = sum(stop - start for _, start, stop in pieces)
    if sum(lengths) <= round(seconds * rate):
        assert total == sum(lengths)
    assert total <= max(1.0, seconds) * rate + rate * len(lengths)


def test_excerpts_are_evenly_spaced():
    stretch = Stretch("a.arrow", "a", 0, 100_000, 0, 0)
    starts = [start for _, start, _ in select_excerpts([stretch], 1, 10, 1000)]
    assert np.diff(starts).tolist() == [10_000] * 9


def test_stretch_without_context_starts_at_the_first_full_receptive_field():
    stretch = Stretch("a.arrow", "a", 0, 500, 0, 0)
    assert select_excerpts([stretch], 101, 60, 1000) == [(stretch, 100, 500)]


@pytest.fixture
def shard_data(tmp_path) -> tuple[ShardData, np.ndarray, np.ndarray]:
    """A dataset of one pair of 40,000 samples, and its signals."""
    segments = written_pair(tmp_path)
    dataset = {"sample_rate": 1000, "guard_samples": 12, "device": "box", "digest": "d1ge57"}
    setup = Training(steps=1, batch=3, crop_samples=32, seed=5)
    dry, wet = signals(40_000)
    return ShardData(segments, dataset, tmp_path, 50, setup), dry, wet


def where(signal: np.ndarray, part: np.ndarray) -> int:
    """The position of a part in a signal without repeated samples."""
    (place,) = np.flatnonzero(signal == part[0])
    assert np.array_equal(signal[place : place + len(part)], part)
    return int(place)


def test_batches_are_crops_of_the_signals(shard_data):
    data, dry, wet = shard_data
    assert (data.sample_rate, data.guard_samples, data.device, data.digest) == (1000, 12, "box", "d1ge57")
    batch = data.batch(3)
    assert [part.shape for part in batch] == [(3, 49 + 32), (3, 32)]
    assert all(np.array_equal(first, second) for first, second in zip(batch, data.batch(3), strict=True))
    for crop, target, place in zip(*batch, data.crop_positions(3), strict=True):
        start = where(dry, crop) + 49
        assert np.array_equal(target, wet[start : start + 32])
        assert str(start) in place


def test_excerpts_are_from_the_validation_split_with_true_context(shard_data):
    data, dry, wet = shard_data
    excerpts = data.excerpts(1e6)
    assert sum(len(part) for _, part in excerpts) > 3000
    trained = {where(dry, crop) for step in range(40) for crop in data.batch(step)[0]}
    for excerpt, target in excerpts:
        start = where(dry, excerpt) + 49
        assert len(excerpt) == len(target) + 49
        assert np.array_equal(target, wet[start : start + len(target)])
        assert start > max(trained) + 49 + 32


@pytest.mark.parametrize("split", ["train", "valid"])
def test_spans_tile_a_split_with_true_context(shard_data, split):
    data, dry, wet = shard_data
    covered: list[int] = []
    for past, target in data.spans(split, 20, 10**9):
        start = where(dry, past) + 19
        assert len(past) == len(target) + 19
        assert np.array_equal(target, wet[start : start + len(target)])
        covered += range(start, start + len(target))
    assert len(set(covered)) == len(covered) > 3000
    other = {"train": "valid", "valid": "train"}[split]
    assert not set(covered) & {
        where(dry, past) + 19 + offset for past, target in data.spans(other, 20, 10**9) for offset in range(len(target))
    }


def test_spans_of_few_samples_are_evenly_spaced(shard_data, monkeypatch):
    data, dry, _ = shard_data
    monkeypatch.setattr("twinlib.training.data.SPAN", 100)
    starts, some = ([where(dry, past) for past, _ in data.spans("train", 20, n)] for n in (10**9, 5000))
    assert some == starts[:: -(-len(starts) * 100 // 5000)]


def test_splits_shorter_than_the_receptive_field_raise(tmp_path):
    segments = written_pair(tmp_path)
    dataset = {"sample_rate": 1000, "guard_samples": 12, "device": "box", "digest": "d1ge57"}
    with pytest.raises(DatasetError, match="receptive field"):
        ShardData(segments, dataset, tmp_path, 39_000, Training(steps=1))


def test_shard_that_differs_from_the_manifest_raises(tmp_path):
    good, bad, unknown = tmp_path / "a.1.arrow", tmp_path / "b.arrow", tmp_path / "c.arrow"
    dataset = {"sums": {"shards": {"a.1": "aaaa", "b": "bbbb"}}}
    check_shards({good: "aaaa"}, dataset)
    for path in (bad, unknown):
        with pytest.raises(DatasetError, match=rf"{path.name} is corrupted .*delete it"):
            check_shards({good: "aaaa", path: "cccc"}, dataset)


@pytest.mark.parametrize(
    ("batch", "processes", "tones", "slots"),
    [(4, 1, 1, [3]), (4, 2, 1, [3, 7]), (1, 1, 1, []), (2, 1, 5, [1]), (3, 1, 0, [])],
)
def test_every_process_has_tones_and_music(batch: int, processes: int, tones: int, slots: list[int]) -> None:
    setup = Training(steps=1, batch=batch, processes=processes, tone_crops=tones)
    assert tone_slots(setup) == slots
    assert len(slots) < batch * processes


def test_a_dataset_without_tones_has_no_fundamentals(shard_data):
    data, _, _ = shard_data
    assert not data.fundamentals(3).any()
