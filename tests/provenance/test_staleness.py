"""Staleness is decided by content, not by modification times, and without writing files."""

import os
import shutil
import time
from pathlib import Path

import pytest

from twinlib.files import sha256_file
from twinlib.provenance.record import record_path, stage_record
from twinlib.provenance.staleness import CACHE_FILE, ChecksumCache, find_stale_outputs

PROGRAM = Path(__file__).parents[2] / "scripts" / "join_clips.py"


def stage(inputs: list[Path], output: Path, content: str = "", **params: str) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    with stage_record(PROGRAM, inputs, [output], params):
        output.write_text(content or output.name)
    return output


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source file and two stages in `results/demo`, the second in a subfolder."""
    monkeypatch.chdir(tmp_path)
    Path("source").write_text("source")
    first = stage([Path("source")], Path("results/demo/corpus/first"))
    stage([first], Path("results/demo/devices/amp/second"))
    return Path("results/demo")


def find(results: Path) -> set[str]:
    """The names of stale files, without records."""
    found = find_stale_outputs(results, ChecksumCache(results / CACHE_FILE))
    return {Path(name).name for name in found if not name.endswith(".prov.json")}


def age(path: Path, seconds: float = 100) -> None:
    """Give a file an older modification time."""
    moment = path.stat().st_mtime_ns - int(seconds * 10**9)
    os.utime(path, ns=(moment, moment))


def test_a_finished_folder_has_no_stale_output(results: Path) -> None:
    assert find(results) == set()


def test_modification_times_do_not_matter(results: Path) -> None:
    for number, path in enumerate(sorted(Path().rglob("*"))):
        os.utime(path, ns=(10**18 - number * 10**9, 10**18 - number * 10**9))
    assert find(results) == set()


@pytest.mark.parametrize("seconds", [0, 100, -100])
def test_a_replaced_source_makes_its_reader_stale_at_any_modification_time(results: Path, seconds: float) -> None:
    before = Path("source").stat()
    shutil.copy("source", "other")
    Path("other").write_text("SOURCE")
    os.utime("other", ns=(before.st_atime_ns, before.st_mtime_ns + int(seconds * 10**9)))
    Path("other").rename("source")
    assert find(results) == {"first"}, "what follows is decided when that has been made again"


def test_a_damaged_output_and_its_reader_are_stale(results: Path) -> None:
    path = results / "corpus/first"
    before = path.stat()
    path.write_text("FIRST")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find(results) == {"first", "second"}


def test_a_changed_upstream_stage_makes_its_reader_stale(results: Path) -> None:
    stage([Path("source")], results / "corpus/first")
    assert find(results) == set(), "the same stage, run again"
    stage([Path("source")], results / "corpus/first", x="2")
    assert find(results) == {"second"}, "its record has the old chain hash"


def test_a_damaged_record_makes_its_stage_stale(results: Path) -> None:
    record_path(results / "corpus/first").write_text("{")
    assert set(find_stale_outputs(results, ChecksumCache(results / CACHE_FILE))) == {
        "results/demo/corpus/first.prov.json"
    }


def test_a_missing_output_is_stale(results: Path) -> None:
    (results / "corpus/first").unlink()
    assert find(results) == {"first"}


def test_missing_inputs_are_left_to_snakemake(results: Path) -> None:
    Path("source").unlink()
    assert find(results) == set()
    assert find(Path("none")) == set()


@pytest.mark.parametrize("name", ["results/other", "other", "results/demo/again", "results/demo2"])
def test_a_renamed_results_folder_is_compared_with_its_own_files(results: Path, name: str) -> None:
    results.rename("aside")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path("aside").rename(name)
    assert find(Path(name)) == set()
    Path(name, "corpus/first").write_text("edited")
    assert find(Path(name)) == {"first", "second"}


def test_a_copy_is_not_compared_with_the_original(results: Path) -> None:
    shutil.copytree(results, "copy")
    Path("copy/corpus/first").write_text("edited")
    assert find(Path("copy")) == {"first", "second"}
    assert find(results) == set()


def test_an_absolute_results_folder_may_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "source").write_text("source")
    made = stage([tmp_path / "source"], tmp_path / "far/results/corpus/made")
    stage([made], tmp_path / "far/results/devices/b")
    (tmp_path / "far").rename(tmp_path / "near")
    assert find(tmp_path / "near/results") == set()
    (tmp_path / "near/results/corpus/made").write_text("edited")
    assert find(tmp_path / "near/results") == {"made", "b"}


# --- the checksum cache


def test_checksums_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = tmp_path / "file", tmp_path / CACHE_FILE
    path.write_text("content")
    age(path)
    # Simulate an old change, because the change time cannot be set.
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10**10)
    cache = ChecksumCache(store)
    assert cache.sha256(path) == sha256_file(path)
    cache.save()
    monkeypatch.setattr("twinlib.provenance.staleness.sha256_file", lambda path: "hashed again")
    assert ChecksumCache(store).sha256(path) != "hashed again"
    before = path.stat()
    path.write_text("CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ChecksumCache(store).sha256(path) == "hashed again", "size and modification time are the same"
    assert ChecksumCache(store).sha256(tmp_path / "none") is None


def test_a_recently_changed_file_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = tmp_path / "file", tmp_path / CACHE_FILE
    path.write_text("content")
    cache = ChecksumCache(store)
    cache.sha256(path)
    cache.save()
    monkeypatch.setattr("twinlib.provenance.staleness.sha256_file", lambda path: "hashed again")
    assert ChecksumCache(store).sha256(path) == "hashed again"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"file": 3}', '{"file": [1, 2, "sum"]}'])
def test_a_damaged_or_outdated_cache_is_ignored(tmp_path: Path, content: str) -> None:
    path, store = tmp_path / "file", tmp_path / CACHE_FILE
    path.write_text("content")
    store.write_text(content.replace("file", path.as_posix()))
    assert ChecksumCache(store).sha256(path) == sha256_file(path)


def test_a_read_only_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10**10)
    (tmp_path / "no folder").write_text("")
    cache = ChecksumCache(tmp_path / "no folder" / CACHE_FILE)
    cache.sha256(path)
    cache.save()
