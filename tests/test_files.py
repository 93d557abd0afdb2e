"""Atomic writes, and files with contracts."""

import errno
import os
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinlib import files
from twinlib.audio import Writer
from twinlib.dataset.shards import ShardMetadata, write_shard
from twinlib.errors import DiskFullError, TwinError
from twinlib.files import (
    CONTRACT_KEY,
    atomic_path,
    file_lock,
    read_json,
    read_table,
    sha256_file,
    write_json,
    write_table,
    write_text,
)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_deleted_by_its_owner_is_not_acquired(tmp_path: Path) -> None:
    path, exists = tmp_path / "x.lock", []
    ready = threading.Event()

    def wait() -> None:
        ready.set()
        with file_lock(path) as is_locked:
            exists.append(is_locked and path.exists())

    thread = threading.Thread(target=wait)
    with file_lock(path):
        thread.start()
        ready.wait()
        # The thread has opened the file.
        thread.join(0.2)
        path.unlink()
    thread.join()
    assert exists == [True]


def test_json_carries_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, "thing/1", {"b": 1, "a": [1.5, None]})
    assert read_json(path, "thing/1") == {"b": 1, "a": [1.5, None]}
    with pytest.raises(TwinError, match=r"has the contract thing/1, not thing/2: an earlier version"):
        read_json(path, "thing/2")


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "\x00"])
def test_broken_json_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(TwinError, match=r"x\.json"):
        read_json(path, "thing/1")


def test_nan_is_rejected_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", "thing/1", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["b", "a"], "n": [1, 2], "list": [["x"], []]})
    write_table(tmp_path / "1.parquet", "things/1", table)
    write_table(tmp_path / "2.parquet", "things/1", table.copy())
    assert sha256_file(tmp_path / "1.parquet") == sha256_file(tmp_path / "2.parquet")
    back = read_table(tmp_path / "1.parquet", "things/1")
    assert back["id"].tolist() == ["b", "a"]
    assert [list(items) for items in back["list"]] == [["x"], []]


def test_a_flipped_bit_in_a_table_is_reported_or_harmless(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [f"n{k}" for k in range(200)], "n": range(200), "list": [["x", "y"]] * 200})
    path = tmp_path / "x.parquet"
    write_table(path, "things/1", table)
    good, generator = path.read_bytes(), np.random.default_rng(0)
    whole = read_table(path, "things/1")
    # The footer has no checksum, so errors in it may pass; its length precedes the last four bytes.
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    refused = 0
    for place in generator.integers(0, len(good), 400):
        content = bytearray(good)
        content[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(content)
        try:
            found = read_table(path, "things/1")
        except TwinError:
            refused += 1
        else:
            assert place >= footer or found.equals(whole)
    assert refused > 200


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize(
    ("size", "count", "words"),
    [
        (1 << 21, 5, r"column source has a text of 2097152 bytes in row 3"),
        (1 << 20, 5000, r"column source holds \d+ bytes of text; 536870912 are allowed"),
    ],
)
def test_a_column_of_huge_texts_is_refused_before_it_fills_the_memory(
    tmp_path: Path, lists: bool, size: int, count: int, words: str
) -> None:
    indices = np.ones(count, np.int32)
    indices[:3] = 0
    texts = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(["a", "x" * size]))
    if lists:
        texts = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), texts)
    path = tmp_path / "cues.parquet"
    table = pa.table({"source": texts})
    with pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({CONTRACT_KEY: "cues/1"})
    assert path.stat().st_size < 1 << 20
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(TwinError, match=rf"cues\.parquet is not a readable table \({words}"):
        read_table(path, "cues/1", ["source"])
    assert pa.default_memory_pool().max_memory() < before + (1 << 26)


def test_more_values_than_a_table_may_have_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_VALUES", 100)
    write_table(tmp_path / "x.parquet", "x/1", pd.DataFrame({"a": range(50), "b": range(50)}))
    assert len(read_table(tmp_path / "x.parquet", "x/1")) == 50
    write_table(tmp_path / "x.parquet", "x/1", pd.DataFrame({"a": range(51), "b": range(51)}))
    with pytest.raises(TwinError, match="it holds 102 values; 100 are allowed"):
        read_table(tmp_path / "x.parquet", "x/1")


def test_foreign_and_missing_tables_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(TwinError, match="does not exist"):
        read_table(path, "things/1")
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(TwinError, match="not a readable table"):
        read_table(path, "things/1")
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(TwinError, match="contract none"):
        read_table(path, "things/1")


Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The free bytes of every file system, to be set by a test."""
    free = [0]
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage(10**12, 0, free[0]))
    return free


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), RuntimeError("System error.")]
)
def test_a_full_disk_is_named_with_the_file(tmp_path: Path, free: list[int], error: Exception) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old")
    free[0] = 4096
    with (
        pytest.raises(DiskFullError, match=rf"x\.json does not fit: 4\.1 kB is free in .*{tmp_path.name}"),
        atomic_path(path),
    ):
        raise error
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "x"), TwinError("bad input")])
def test_other_errors_stay_themselves(tmp_path: Path, free: list[int], error: Exception) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "x.json"):
        raise error
    assert caught.value is error


def test_a_sound_file_that_does_not_fit_is_refused_before_it_is_made(tmp_path: Path, free: list[int]) -> None:
    free[0] = 1_200_000_000
    with pytest.raises(DiskFullError, match=r"reel\.wav needs 3\.9 GB, but only 1\.2 GB is free"):
        Writer(tmp_path / "new" / "reel.wav", 44100, 1, "PCM_24", 1_300_000_000)
    assert not list(tmp_path.rglob("*.part"))


def test_a_sound_file_on_a_disk_that_fills_up_is_named(tmp_path: Path, free: list[int]) -> None:
    free[0] = 10**9
    limited = Writer(tmp_path / "x.wav", 44100, 1, "FLOAT", 1000)

    def fail(samples: object) -> None:
        free[0] = 0
        raise RuntimeError("System error.")

    limited._file.write = fail
    with pytest.raises(DiskFullError, match=r"x\.wav does not fit: 0 bytes"), limited:
        limited.write(np.zeros(1000, np.float32))
    assert not list(tmp_path.iterdir())


def test_a_shard_that_does_not_fit_is_refused_before_it_is_cut(tmp_path: Path, free: list[int]) -> None:
    free[0] = 10**6
    rows = pd.DataFrame({"flags": [[]] * 100, "start": range(100)})
    metadata = ShardMetadata("amp", "one", 44100, 8192, 12, "f" * 64, False)
    with pytest.raises(DiskFullError, match=r"one\.arrow needs 13\.1 MB, but only 1\.0 MB"):
        write_shard(tmp_path / "one.arrow", rows, pytest.fail, pytest.fail, metadata)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_small_file_system_that_fills_up(tmp_path: Path) -> None:
    """Needs the right to mount; all file formats of the library on a real full disk."""
    if os.system(f"mount -t tmpfs -o size=256k tmpfs {tmp_path} 2>/dev/null"):
        pytest.skip("may not mount")
    try:
        (tmp_path / "other").write_bytes(bytes(200_000))
        table = pd.DataFrame({"x": np.random.default_rng(0).uniform(size=50_000)})
        with pytest.raises(DiskFullError, match=r"x\.parquet does not fit"):
            write_table(tmp_path / "x.parquet", "things/1", table)
        with pytest.raises(DiskFullError, match=r"x\.json does not fit"):
            write_json(tmp_path / "x.json", "things/1", {"x": "y" * 100_000})
        with (
            pytest.raises(DiskFullError, match=r"x\.wav does not fit"),
            Writer(tmp_path / "x.wav", 44100, 1, "FLOAT") as out,
        ):
            out.write(np.zeros(100_000, np.float32))
        assert [each.name for each in tmp_path.iterdir()] == ["other"]
    finally:
        os.system(f"umount {tmp_path}")
