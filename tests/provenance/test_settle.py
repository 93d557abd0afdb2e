"""Results that lie elsewhere than when they were made, and outputs that are to be made again."""

import os
import shutil
from pathlib import Path

import pytest

from twinlib.provenance.record import recorded
from twinlib.provenance.settle import outdate, settle

PROGRAM = Path(__file__).parents[2] / "scripts" / "join_clips.py"


def stage(inputs: list[Path], output: Path) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    with recorded(PROGRAM, inputs, [output], {}):
        output.write_text(output.name)
    return output


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of the user and two stages in `results/demo`, the second in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("source").write_text("source")
    first = stage([Path("source")], Path("results/demo/first"))
    stage([first], Path("results/demo/devices/amp/second"))
    return Path("results/demo")


def touch(*files: Path) -> int:
    later = max(file.stat().st_mtime_ns for file in (*Path().rglob("*"), *files)) + 10**9
    for file in files:
        os.utime(file, ns=(later, later))
    return later


@pytest.mark.parametrize("name", ["results/other", "other", "results/demo/again", "results/demo2"])
def test_results_with_another_name_are_settled_by_what_lies_there_now(results: Path, name: str) -> None:
    results.rename("aside")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path("aside").rename(name)
    later = touch(Path("source"))
    assert settle(Path(name))
    assert Path(name, "first").stat().st_mtime_ns == later
    assert Path(name, "devices/amp/second").stat().st_mtime_ns == later
    assert settle(Path(name)) == []


def test_the_old_folder_is_not_read_though_it_is_there(results: Path) -> None:
    shutil.copytree(results, "copy")
    Path("copy/first").write_text("edited")
    touch(Path("source"))
    settle(Path("copy"))
    assert Path("copy/first").stat().st_mtime_ns < Path("source").stat().st_mtime_ns, "not what the record says"
    assert Path("copy/devices/amp/second").stat().st_mtime_ns < Path("copy/first").stat().st_mtime_ns


def test_a_project_that_was_moved_with_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "source").write_text("source")
    made = stage([tmp_path / "source"], tmp_path / "far" / "results" / "a" / "made")
    stage([made], tmp_path / "far" / "results" / "b")
    (tmp_path / "far").rename(tmp_path / "near")
    later = touch(tmp_path / "source", tmp_path / "near/results/a/made")
    settle(tmp_path / "near" / "results")
    assert (tmp_path / "near/results/b").stat().st_mtime_ns == later


def test_what_is_outdated_is_older_than_its_inputs_until_it_is_settled(results: Path) -> None:
    touch(results / "first")
    settle(results)
    outdate(results / "first")
    assert (results / "first").stat().st_mtime_ns < Path("source").stat().st_mtime_ns
    assert settle(results) == ["results/demo/first"]
    assert (results / "first").stat().st_mtime_ns >= Path("source").stat().st_mtime_ns
