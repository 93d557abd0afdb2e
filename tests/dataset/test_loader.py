from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dataset.factories import (
    GUARD,
    SETTINGS,
    SIZE,
    SPLITS,
    reel,
    source,
    write,
    written_pair,
    written_reel,
)
from twinlib.dataset.loader import Crops, Stretch, find_stretches, read_stretch
from twinlib.dataset.segments import excluded_ranges, tile_pair, tile_reel
from twinlib.dataset.shards import Shard
from twinlib.errors import DatasetError

on_disk = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def coded(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals that encode positions: dry n is n + 1, wet n is -(n + 1), exact in float32."""
    dry = np.arange(1, frames + 1, dtype=np.float32)
    return dry, -dry


def drawn(seed: int, step: int, count: int, positions: int) -> np.ndarray:
    """The draws of a step, by definition: recorded trainings depend on them."""
    key = np.array([seed, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).integers(0, positions, count)


def coded_reel(folder: Path, seed: int, excluded: set[str], clipped_at: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Segments of a reel of coded samples, and a bit mask of forbidden splits for each sample."""
    made = reel(seed)
    run = {"clipped": [{"start": clipped_at, "samples": 4, "seconds": 0.0}]}
    origin = source(made.frames, take_changes=run)
    table = tile_reel(origin, made.cues, made.entry, SETTINGS, excluded)
    zeroed = excluded_ranges(made.cues, excluded, GUARD)
    table = write(folder, table, origin, *coded(made.frames), zero_ranges=zeroed)
    barred = np.zeros(made.frames, np.uint8)
    for cue in made.cues.itertuples():
        if cue.track_id in excluded:
            barred[cue.start : cue.stop + GUARD] = 7
        for bit, split in enumerate(SPLITS):
            barred[cue.start : cue.stop] |= (split != cue.split) << bit
    for start in made.entry["clicks"]:
        barred[start : start + made.entry["click_frames"]] = 7
    return table, barred


@given(
    seed=st.integers(0, 1000),
    excluded=st.sets(st.sampled_from(["train-0", "train-2"])),
    clipped_at=st.integers(0, 9000),
    receptive_field=st.sampled_from([GUARD + 1, 100, 300]),
    crop=st.sampled_from([1, 50, 128]),
)
@on_disk
def test_crops_respect_borders_and_cover_all_positions(
    tmp_path: Path, seed: int, excluded: set[str], clipped_at: int, receptive_field: int, crop: int
) -> None:
    table, barred = coded_reel(tmp_path, seed, excluded, clipped_at)
    for bit, split in enumerate(SPLITS):
        usable = np.zeros(len(barred), bool)
        for row in table[table["split"] == split].itertuples():
            usable[row.start : row.stop] = True
        free = ~((barred >> bit) & 1).astype(bool)
        context = receptive_field - 1
        allowed = [
            at
            for at in range(context, len(barred) - crop + 1)
            if usable[at : at + crop].all() and free[at - context : at + crop].all()
        ]
        if not allowed:
            with pytest.raises(DatasetError, match="No crop"):
                Crops(table, tmp_path, split, crop, receptive_field, 64, seed)
            continue
        crops = Crops(table, tmp_path, split, crop, receptive_field, 64, seed)
        assert crops.positions == len(allowed)
        starts = set()
        for step in range(20):
            dry, wet = crops.batch(step)
            assert dry.shape == (64, context + crop)
            assert wet.shape == (64, crop)
            np.testing.assert_array_equal(dry[:, context:], -wet)
            np.testing.assert_array_equal(np.diff(dry, axis=1), 1)
            at = dry[:, context].astype(int) - 1
            np.testing.assert_array_equal(at, np.array(allowed)[drawn(seed, step, 64, len(allowed))])
            starts |= set(at.tolist())
        assert starts <= set(allowed)
        assert len(starts) > 0.5 * min(len(allowed), 20 * 64)


def test_positions_are_uniformly_distributed(tmp_path: Path) -> None:
    table, _ = coded_reel(tmp_path, 0, {"train-0"}, 3000)
    crops = Crops(table, tmp_path, "valid", 32, 64, 500, 1)
    drawn = np.concatenate([-crops.batch(step)[1][:, 0] for step in range(60)])
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == crops.positions
    expected = len(drawn) / crops.positions
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_square - crops.positions) < 5 * np.sqrt(2 * crops.positions)


def test_a_batch_is_a_pure_function_of_seed_and_step(tmp_path: Path) -> None:
    _, table, _, _ = written_reel(tmp_path)

    def crops(seed: int) -> Crops:
        return Crops(table, tmp_path, "train", 64, 100, 4, seed)

    once, again, other = crops(3), crops(3), crops(4)
    later = again.batch(17)
    for step in (0, 17, 17, 5):
        for one, two in zip(once.batch(step), again.batch(step), strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(later[0], once.batch(17)[0])
    assert not np.array_equal(once.batch(0)[0], once.batch(1)[0])
    assert not np.array_equal(once.batch(0)[0], other.batch(0)[0])
    assert not np.array_equal(once.batch(1)[0], other.batch(0)[0])


def test_crops_do_not_depend_on_the_order_of_the_table(tmp_path: Path) -> None:
    _, table, _, _ = written_reel(tmp_path)
    shuffled = pd.read_parquet(tmp_path / "r-01.parquet").sample(frac=1, random_state=0)
    for one, two in zip(
        Crops(table, tmp_path, "train", 64, 100, 8, 0).batch(3),
        Crops(shuffled, tmp_path, "train", 64, 100, 8, 0).batch(3),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_crops_cover_all_captures_and_report_their_places(tmp_path: Path) -> None:
    tables = []
    signal = {}
    for seed, capture in enumerate(("r-01", "r-02", "r-03")):
        _, table, dry, _ = written_reel(tmp_path, seed, capture)
        tables.append(table)
        signal[capture] = dry
    crops = Crops(pd.concat(tables), tmp_path, "train", 64, 100, 32, 0)
    dry, _ = crops.batch(0)
    seen = set()
    for k, place in enumerate(crops.places(0)):
        capture, at = place.split(" at sample ")
        np.testing.assert_array_equal(dry[k, 99:], signal[capture][int(at) : int(at) + 64])
        seen.add(capture)
    assert seen == {"r-01", "r-02", "r-03"}


@given(
    lengths=st.lists(st.integers(5, 30), min_size=1, max_size=4),
    receptive_field=st.sampled_from([GUARD + 1, 90, SIZE + 1, 4 * SIZE]),
    crop=st.sampled_from([1, 70, SIZE]),
    batch=st.integers(1, 9),
    seed=st.sampled_from([0, 1, 2**40, 2**62 - 1]),
    step=st.integers(0, 2**40),
)
@on_disk
def test_a_draw_is_a_position_counted_over_all_captures(
    tmp_path: Path, lengths: list[int], receptive_field: int, crop: int, batch: int, seed: int, step: int
) -> None:
    tables, dry, wet, allowed, total = [], [], [], [], 0
    for number, rows in enumerate(lengths):
        frames, origin = rows * SIZE, source(rows * SIZE, f"p{number}", lag=0.0)
        table = tile_pair(origin, "d", SETTINGS, split="train")
        signals = tuple(np.random.default_rng((number, rows)).uniform(-1, 1, (2, frames)).astype(np.float32))
        tables.append(write(tmp_path, table, origin, *signals))
        allowed += list(range(total + receptive_field - 1, total + frames - crop + 1))
        total += frames
        dry.append(signals[0])
        wet.append(signals[1])
    if not allowed:
        with pytest.raises(DatasetError, match="fits"):
            Crops(pd.concat(tables), tmp_path, "train", crop, receptive_field, batch, seed)
        return
    crops = Crops(pd.concat(tables), tmp_path, "train", crop, receptive_field, batch, seed)
    crops.batch(0)  # another step before does not matter
    found = crops.batch(step)
    at = np.array(allowed)[drawn(seed, step, batch, len(allowed))][:, None]
    np.testing.assert_array_equal(found[0], np.concatenate(dry)[at + np.arange(1 - receptive_field, crop)])
    np.testing.assert_array_equal(found[1], np.concatenate(wet)[at + np.arange(crop)])
    assert all(part.dtype == np.float32 and part.flags.c_contiguous and part.flags.writeable for part in found)


def test_threads_draw_the_same_crops(tmp_path: Path) -> None:
    _, table, _, _ = written_reel(tmp_path)
    crops = Crops(table, tmp_path, "train", 64, 100, 4, 0)
    expected = [crops.batch(step)[0].tobytes() for step in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda step: crops.batch(step)[0].tobytes(), range(200))) == expected


def test_batches_are_independent_arrays(tmp_path: Path) -> None:
    _, table, _, _ = written_reel(tmp_path)
    crops = Crops(table, tmp_path, "train", 64, 100, 4, 0)
    first = crops.batch(0)
    kept = [part.copy() for part in first]
    crops.batch(0)[0][:] = 0
    crops.batch(1)
    for part, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    np.testing.assert_array_equal(crops.batch(0)[0], kept[0])


def test_crops_do_not_cross_clips(tmp_path: Path) -> None:
    frames, clip = 8 * 2 * SIZE, 2 * SIZE  # each clip has whole segments: the rows are consecutive, the clips are not
    origin = source(frames, "p", lag=0.0)
    table = tile_pair(origin, "d", SETTINGS, split="train", clip_samples=clip)
    table = write(tmp_path, table, origin, *coded(frames))
    found = find_stretches(table, "train", 100)
    assert [(run.start, run.stop, run.context) for run in found] == [(k * clip, (k + 1) * clip, 0) for k in range(8)]
    crops = Crops(table, tmp_path, "train", 50, 100, 256, 0)
    for step in range(5):
        dry, _ = crops.batch(step)
        clips = ((dry - 1) // clip).astype(int)
        assert (clips == clips[:, :1]).all()


def test_silent_segments_are_skipped(tmp_path: Path) -> None:
    frames = 20 * SIZE
    origin = source(frames, "p", lag=0.0)
    dry, wet = coded(frames)
    quiet = np.zeros(frames, bool)
    for row in (0, 5, 6, 12, 19):
        quiet[row * SIZE : (row + 1) * SIZE] = True
    table = tile_pair(origin, "d", SETTINGS, split="train")
    table = write(tmp_path, table, origin, np.where(quiet, np.float32(0), dry), wet)
    crops = Crops(table, tmp_path, "train", 50, 100, 200, 0)
    starts = np.arange(99, frames - 49)
    assert crops.positions == int((~quiet[starts]).sum())
    for step in range(10):
        at = (-crops.batch(step)[1][:, 0] - 1).astype(int)
        assert not quiet[at].any()
    for receptive_field in (
        SIZE - 1,
        SIZE,
        SIZE + 1,
        5 * SIZE,
        5 * SIZE + 1,
    ):  # first outputs near the edges of silence
        starts = np.arange(receptive_field - 1, frames - 49)
        found = Crops(table, tmp_path, "train", 50, receptive_field, 8, 0).positions
        assert found == int((~quiet[starts]).sum())
    silent = write(tmp_path, table, origin, np.zeros(frames, np.float32), wet)
    with pytest.raises(DatasetError, match="only digital silence"):
        Crops(silent, tmp_path, "train", 50, 100, 200, 0)


@given(seed=st.integers(0, 1000), receptive_field=st.integers(GUARD + 1, 900), block=st.integers(1, 5000))
@on_disk
def test_stretches_tile_the_usable_outputs_of_a_split(
    tmp_path: Path, seed: int, receptive_field: int, block: int
) -> None:
    table, barred = coded_reel(tmp_path, seed, {"train-1"}, 5000)
    shard = Shard.open(tmp_path / "r-01.arrow")
    context = receptive_field - 1
    for bit, split in enumerate(SPLITS):
        used = table[table["split"] == split]
        free = ~((barred >> bit) & 1).astype(bool)
        usable = np.concatenate([np.arange(a, b) for a, b in zip(used["start"], used["stop"], strict=True)])
        expected = [at for at in usable if at >= context and free[at - context : at + 1].all()]
        got: list[float] = []
        for stretch in find_stretches(table, split, receptive_field):
            assert stretch.context <= context
            assert free[stretch.start - stretch.context : stretch.stop].all()
            for dry, wet in read_stretch(shard, stretch, receptive_field, block):
                assert len(dry) == len(wet) + context
                assert len(wet) <= block
                np.testing.assert_array_equal(dry[context:], -wet)
                np.testing.assert_array_equal(np.diff(dry), 1)
                got += (-wet - 1).tolist()
        assert got == expected


def test_errors_of_short_splits_state_lengths(tmp_path: Path) -> None:
    table = written_pair(tmp_path, 5000, split="train", clip_samples=600)
    with pytest.raises(DatasetError, match=r"need 1123 consecutive samples, but its longest stretch .* has 512"):
        Crops(table, tmp_path, "train", 1024, 100, 4, 0)
    with pytest.raises(DatasetError, match="1 outputs of a network with a receptive field of 6347"):
        find_stretches(table, "train", 6347)
    with pytest.raises(DatasetError, match="split valid has no usable segment"):
        find_stretches(table, "valid", 100)
    assert Crops(table, tmp_path, "train", 413, 100, 4, 0).positions == 8
    with pytest.raises(DatasetError):
        Crops(table, tmp_path, "train", 414, 100, 4, 0)


@pytest.mark.parametrize(("crop", "batch", "seed"), [(0, 4, 0), (64, 0, 0), (64, 4, -1)])
def test_invalid_numbers_are_rejected(tmp_path: Path, crop: int, batch: int, seed: int) -> None:
    table = written_pair(tmp_path, 5000, split="train")
    with pytest.raises(DatasetError):
        Crops(table, tmp_path, "train", crop, 100, batch, seed)


def test_a_receptive_field_shorter_than_the_guard_is_rejected(tmp_path: Path) -> None:
    table = written_pair(tmp_path, 5000, split="train")
    with pytest.raises(DatasetError, match="guard of 12"):
        Crops(table, tmp_path, "train", 64, GUARD, 4, 0).batch(0)


def test_shards_that_differ_from_the_table_are_rejected(tmp_path: Path) -> None:
    table = written_pair(tmp_path, 5000, split="train")
    written_pair(tmp_path, 6000, split="train")
    with pytest.raises(DatasetError, match="delete it and run its stage again"):
        Crops(table, tmp_path, "train", 64, 100, 4, 0).batch(0)
    shorter = table.assign(stop=table["stop"] - 1)  # the same names, another length
    with pytest.raises(DatasetError, match="delete it and run its stage again"):
        Crops(shorter, tmp_path, "train", 64, 100, 4, 0).batch(0)
    (tmp_path / "p.arrow").unlink()
    with pytest.raises(DatasetError, match="does not exist"):
        Crops(table, tmp_path, "train", 64, 100, 4, 0).batch(0)


def test_first_output_counts_the_context() -> None:
    assert Stretch("s", "c", 1000, 2000, 0, 0).first_output(100) == 1099
    assert Stretch("s", "c", 1000, 2000, 60, 0).first_output(100) == 1039
    assert Stretch("s", "c", 1000, 2000, 99, 0).first_output(100) == 1000
    assert Stretch("s", "c", 1000, 2000, 500, 0).first_output(100) == 1000
