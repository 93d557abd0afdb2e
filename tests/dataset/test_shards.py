import hashlib
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dataset.factories import (
    GUARD,
    RATE,
    SETTINGS,
    SIZE,
    alignment,
    reel,
    signals,
    source,
    take,
    write,
    written_pair,
    written_reel,
)
from twinlib import audio
from twinlib.alignment.result import Excluded
from twinlib.alignment.warp import WarpedReader
from twinlib.dataset.segments import excluded_ranges, tile_pair, tile_reel
from twinlib.dataset.settings import Dataset
from twinlib.dataset.shards import Shard, shard_metadata, write_shard
from twinlib.dataset.source import capture_source
from twinlib.errors import DatasetError
from twinlib.files import read_table, sha256_file
from twinlib.resampling.time_map import Piece


def test_flat_buffers_hold_the_aligned_signals(tmp_path: Path) -> None:
    made, table, dry, wet = written_reel(tmp_path)
    shard = Shard.open(tmp_path / "r-01.arrow")
    length = made.frames // SIZE * SIZE
    np.testing.assert_array_equal(shard.dry, dry[:length])
    np.testing.assert_array_equal(shard.wet, wet[:length])
    assert shard.dry.dtype == np.float32
    assert not shard.dry.flags.writeable
    assert table["row"].tolist() == list(range(len(table)))
    assert set(table["shard"]) == {"r-01.arrow"}


def test_flat_buffers_of_clips_skip_the_remainders(tmp_path: Path) -> None:
    table = written_pair(tmp_path, 5000, split="train", clip_samples=1000, dry_range=(500, 5000))
    dry, _ = signals(5000)
    shard = Shard.open(tmp_path / "p.arrow")
    for row in table.itertuples():
        at = row.row * SIZE
        np.testing.assert_array_equal(shard.dry[at : at + SIZE], dry[row.start : row.stop])
        np.testing.assert_array_equal(shard.dry[at - row.context : at], dry[row.start - row.context : row.start])


@given(
    place=st.integers(15_000, 25_000),
    lost=st.integers(-400, 400).filter(bool),
    lag=st.integers(0, 500),
    fraction=st.sampled_from([0.0, 0.37]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_usable_segments_around_a_loss_are_exact(
    tmp_path: Path, place: int, lost: int, lag: int, fraction: float
) -> None:
    """A wet file of sines with a lag, in which samples are lost or repeated at one position."""
    frames = 40_000
    at = np.concatenate([np.arange(-lag, place), np.arange(place + lost, frames)]) - fraction
    path, origins = tmp_path / "wet.wav", (lag + fraction, lag + fraction - lost)
    audio.write(path, sines(at), RATE, "FLOAT")
    pieces = (
        Piece(0, place, (0.0,), (origins[0],)),
        Piece(place + max(0, lost), frames, (0.0,), (origins[1],)),
    )
    excluded = (Excluded(place - 64, place + max(0, lost) + 64, "lost-samples" if lost > 0 else "repeated-samples"),)
    changes = {"pieces": pieces, "excluded": excluded, "warp": "sinc" if fraction else "shift"}
    aligned = alignment(frames, wet_frames=len(at), **changes)
    origin = capture_source("box", "p", take(), aligned)
    table = tile_pair(origin, "d", SETTINGS, split="train")
    with WarpedReader(path, aligned) as wet:
        done = write_shard(
            tmp_path / "p.arrow", table, lambda a, b: sines(np.arange(a, b)), wet.read, shard_metadata(origin, SIZE)
        )
    shard = Shard.open(tmp_path / "p.arrow")
    usable = done[done["split"] == "train"]
    assert len(done) - len(usable) <= 2 + (max(0, lost) + 128 + GUARD) // SIZE + 1
    for row in usable.itertuples():
        truth = sines(np.arange(row.start, row.stop) - GUARD)
        # The interpolation is incomplete at both ends of the file.
        kept = slice(64 + GUARD if row.start == 0 else 0, None if row.stop < frames - 200 else -64)
        here = shard.wet[row.row * SIZE : (row.row + 1) * SIZE]
        np.testing.assert_allclose(here[kept], truth[kept], atol=2e-6)


def sines(at: np.ndarray) -> np.ndarray:
    """A non-repeating sum of sines below 0.4 of the sample rate, evaluated at any position."""
    random = np.random.default_rng(7)
    turns, phases = random.uniform(0.01, 0.4, 12), random.uniform(0, 6, 12)
    return (np.sin(2 * np.pi * turns[:, None] * at + phases[:, None]).sum(0) / 12).astype(np.float32)


def test_digests_match_the_rows(tmp_path: Path) -> None:
    _, table, dry, wet = written_reel(tmp_path)
    for row in table.itertuples():
        assert row.dry_sha256 == hashlib.sha256(dry[row.start : row.stop].tobytes()).hexdigest()
        assert row.wet_sha256 == hashlib.sha256(wet[row.start : row.stop].tobytes()).hexdigest()


def test_the_shard_holds_its_provenance(tmp_path: Path) -> None:
    made, table, _, _ = written_reel(tmp_path)
    shard = Shard.open(tmp_path / "r-01.arrow")
    origin = source(made.frames)
    assert shard.metadata == shard_metadata(origin, SIZE)
    for name in ("segment_id", "start", "stop", "split", "take_sha256"):
        assert shard.table[name].tolist() == table[name].tolist()
    assert [list(tracks) for tracks in shard.table["track_ids"]] == table["track_ids"].tolist()


def test_the_table_is_read_back_unchanged(tmp_path: Path) -> None:
    _, table, _, _ = written_reel(tmp_path)
    again = read_table(tmp_path / "r-01.parquet", "segments/1")
    for name in table.columns:
        assert [list(v) if isinstance(v, np.ndarray) else v for v in again[name]] == table[name].tolist()


def test_excluded_audio_is_zeroed(tmp_path: Path) -> None:
    made = reel(0)
    origin = source(made.frames)
    zeroed = excluded_ranges(made.cues, {"train-1", "test-0"}, GUARD)
    table = tile_reel(origin, made.cues, made.entry, SETTINGS, {"train-1", "test-0"})
    dry, wet = signals(made.frames)
    write(tmp_path, table, origin, dry, wet, zero_ranges=zeroed)
    shard = Shard.open(tmp_path / "r-01.arrow")
    gone = np.zeros(len(shard.dry), bool)
    for start, stop in zeroed:
        gone[start:stop] = True
    assert 0.05 < gone.mean() < 0.9
    for held, original in ((shard.dry, dry), (shard.wet, wet)):
        assert (held[gone] == 0).all()
        np.testing.assert_array_equal(held[~gone], original[: len(held)][~gone])
    used = np.concatenate([np.arange(a, b) for a, b in zip(table["start"], table["stop"], strict=True)])
    assert not gone[used[np.repeat(table["split"] != "", SIZE)]].any()


def test_shards_are_reproducible(tmp_path: Path) -> None:
    for place in ("one", "two"):
        written_reel(tmp_path / place)
    for name in ("r-01.arrow", "r-01.parquet"):
        assert sha256_file(tmp_path / "one" / name) == sha256_file(tmp_path / "two" / name)


def test_a_refused_take_has_an_empty_shard(tmp_path: Path) -> None:
    changes = {"verdict": "refused", "reasons": ["silence"]}
    _, table, _, _ = written_reel(tmp_path, take_changes=changes)
    assert (table["row"] == -1).all()
    assert set(table["dry_sha256"]) == {""}
    shard = Shard.open(tmp_path / "r-01.arrow")
    assert shard.dry.shape == shard.wet.shape == (0,)


def test_partial_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    for left in (".r-01.arrow.dry.part", ".r-01.arrow.4711.part"):
        (tmp_path / left).write_bytes(b"half")
    other = tmp_path / ".r-02.arrow.dry.part"
    other.write_bytes(b"another job at work")
    written_reel(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".r-02.arrow.dry.part", "r-01.arrow", "r-01.parquet"]


def test_a_failure_keeps_the_old_shard(tmp_path: Path) -> None:
    made, table, dry, wet = written_reel(tmp_path)
    before = sha256_file(tmp_path / "r-01.arrow")
    wet[1234] = np.nan
    with pytest.raises(DatasetError, match="wet signal is NaN or infinite at sample 1234"):
        write(tmp_path, table, source(made.frames), dry, wet)
    with pytest.raises(DatasetError, match="the dry signal returned"):
        write(tmp_path, table, source(made.frames), dry[:1000], wet)
    assert sha256_file(tmp_path / "r-01.arrow") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r-01.arrow", "r-01.parquet"]


def test_progress_adds_up_to_the_samples(tmp_path: Path) -> None:
    done: list[float] = []
    made = reel(0)
    origin = source(made.frames)
    table = tile_reel(origin, made.cues, made.entry, SETTINGS)
    write(tmp_path, table, origin, *signals(made.frames), progress=lambda n, note="": done.append(n))
    assert sum(done) == len(table) * SIZE


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_shard_is_rejected(tmp_path: Path, keep: float) -> None:
    written_reel(tmp_path)
    path = tmp_path / "r-01.arrow"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DatasetError, match=r"r-01\.arrow"):
        Shard.open(path)


def test_foreign_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        Shard.open(tmp_path / "none.arrow")
    with pytest.raises(DatasetError, match="not a usable shard"):
        Shard.open(tmp_path)
    (tmp_path / "text.arrow").write_text("ARROW1 but not really " * 100)
    with pytest.raises(DatasetError, match="not a usable shard"):
        Shard.open(tmp_path / "text.arrow")
    foreign = tmp_path / "foreign.arrow"
    batch = pa.record_batch({"x": pa.array([1, 2])})
    with pa.OSFile(str(foreign), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(DatasetError, match="contract none"):
        Shard.open(foreign)


def test_a_shard_with_other_columns_is_rejected(tmp_path: Path) -> None:
    written_reel(tmp_path)
    with pa.memory_map(str(tmp_path / "r-01.arrow")) as mapped:
        batch = pa.ipc.open_file(mapped).get_batch(0)
    other = tmp_path / "other.arrow"
    for fewer in (batch.drop_columns(["wet"]), batch.set_column(8, "wet", pa.array([[0.0]] * len(batch)))):
        with pa.OSFile(str(other), "wb") as sink, pa.ipc.new_file(sink, fewer.schema) as writer:
            writer.write_batch(fewer)
        with pytest.raises(DatasetError, match="not a usable shard"):
            Shard.open(other)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_compressed_shard_is_rejected_before_it_fills_the_memory(tmp_path: Path, compression: str) -> None:
    written_reel(tmp_path)
    path, other = tmp_path / "r-01.arrow", tmp_path / "other.arrow"
    with pa.memory_map(str(path)) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(other), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    before = pa.total_allocated_bytes()
    with pytest.raises(DatasetError, match="it is compressed, and cannot be mapped"):
        Shard.open(other)
    assert pa.total_allocated_bytes() == before


def _peak(folder: Path, frames: int) -> int:
    """Peak memory of numpy, Python and Arrow in bytes while a capture is written."""
    origin = source(frames, "long", sample_rate=RATE, lag=0.0)
    table = tile_pair(origin, "d", Dataset(segment_samples=8192), split="train")
    block = np.random.default_rng(0).uniform(-1, 1, 8192).astype(np.float32)
    arrow = pa.default_memory_pool()
    before = arrow.max_memory()
    tracemalloc.start()
    read = lambda start, stop: block[: stop - start]  # noqa: E731
    write_shard(folder / "long.arrow", table, read, read, shard_metadata(origin, 8192))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + arrow.max_memory() - before


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    short, long = (_peak(tmp_path, frames) for frames in (1 << 20, 1 << 24))
    assert long < short + (1 << 21)
    assert (tmp_path / "long.arrow").stat().st_size > 2 * 4 * (1 << 24)


def test_the_samples_do_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resident() -> int:
        return int(re.findall(r"RssFile:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])

    found: list[int] = []
    # Called when the shard is complete and both signals are still mapped, 32 MB each.
    monkeypatch.setattr(os, "fsync", lambda descriptor: found.append(resident()))
    before = resident()
    _peak(tmp_path, 1 << 23)
    assert found
    assert max(found) < before + 16_000
