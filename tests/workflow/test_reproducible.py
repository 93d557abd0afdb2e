"""The same configuration, corpus and pairs give the same bytes in any environment."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.project import TINY, Project, Run, make_project
from twinlib.files import read_json, read_table, sha256_file
from twinlib.provenance.record import SUFFIX

pytestmark = pytest.mark.slow

MEASURED = ("realtime_factor",)
"""Keys of a metrics file that depend on the machine."""

VOLATILE = (
    *("metrics.json", "training.parquet", "learning.svg", "twin.nam", "twin.onnx"),
    *("summary.txt", "comparison.html", "index.html"),
)
"""Outputs that contain speeds or dates; `stable_content` returns their other content for comparison."""


def elsewhere(folder: Path) -> Project:
    """Run the project with one core instead of two and another time zone, language, umask and hash seed.

    These are the ones of the fork servers of this run, because an interpreter reads them when it starts.
    """
    project = make_project(folder / "ein anderer Ort")
    project.write({**TINY, "tracking": {"enabled": False}})
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    language = next((name for name in known if name.startswith("de_DE")), "C")
    variables = {"TZ": "Asia/Kathmandu", "LC_ALL": language, "LANG": language, "PYTHONHASHSEED": "4711"}
    run = project.run("--cores", "1", variables=tuple(variables.items()), umask=0o077)
    assert run.code == 0, run.text[-4000:]
    first = project.folder / "results" / "corpus" / "tracks.parquet"
    assert first.stat().st_mode & 0o777 == 0o600
    return project


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return elsewhere(tmp_path_factory.mktemp("second"))


def sums(project: Project) -> dict[str, str]:
    """The sha256 of every result file that does not depend on time."""
    results = project.folder / "results"
    return {
        path.relative_to(results).as_posix(): sha256_file(path)
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0] not in ("logs", "benchmarks", "mlflow")
        and "checkpoints" not in path.parts
        and not path.name.startswith(".")
        and not path.name.endswith(SUFFIX)
        and path.name not in (*VOLATILE, "run.json")
    }


def without_speed(content: Any) -> Any:
    """A JSON value without keys that depend on the machine, at any depth."""
    if isinstance(content, dict):
        return {key: without_speed(value) for key, value in content.items() if key not in MEASURED}
    return [without_speed(value) for value in content] if isinstance(content, list) else content


def stable_content(path: Path, metrics: list[Path]) -> Any:
    """The content of a volatile file without dates and speeds; `metrics` are the files that hold the speeds."""
    if path.name == "metrics.json":
        return without_speed(read_json(path, "metrics/1"))
    if path.name == "training.parquet":
        return read_table(path, "training/1").drop(columns="cpu_seconds")
    if path.name == "learning.svg":
        # Its axis is CPU time.
        return [word for word in re.findall(r"<!-- (.*?) -->", path.read_text()) if not re.search(r"\d", word)]
    if path.name == "twin.nam":
        content = json.loads(path.read_text())
        assert content["metadata"].pop("date")
        assert content["metadata"]["twin"].pop("date")
        return content
    if path.name == "twin.onnx":
        date = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
        content, count = date.subn(b"", path.read_bytes())
        assert count == 1, "the date, in UTC"
        return content
    # Remove rounded speeds, the plot of error against speed, and dates.
    text = re.sub(r"<svg.*?</svg>", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"\d{4}-\d\d-\d\d", "", text)
    text = re.sub(r"\d+(\.\d+)? ?(x|×|times|seconds of audio)", "", re.sub(r" +|-{3,}", " ", text))
    for speed in (str(read_json(one, "metrics/1")["realtime_factor"]) for one in metrics):
        text = text.replace(speed, "")
    return text


def compared(first: Project, second: Project, name: str) -> None:
    one, other = (
        stable_content(project.folder / "results" / name, sorted((project.folder / "results").rglob("metrics.json")))
        for project in (first, second)
    )
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    else:
        assert one == other, name


def test_files_without_times_have_the_same_bytes(first: tuple[Project, Run], second: Project) -> None:
    found = sums(first[0])
    assert sums(second) == found
    kinds = {Path(name).suffix for name in found}
    assert kinds >= {".parquet", ".json", ".wav", ".arrow", ".svg", ".safetensors", ".flac", ".md", ".html"}


def test_volatile_files_differ_only_in_dates_and_speeds(first: tuple[Project, Run], second: Project) -> None:
    results = first[0].folder / "results"
    names = [path.relative_to(results).as_posix() for path in sorted(results.rglob("*")) if path.name in VOLATILE]
    names = [name for name in names if not name.startswith("mlflow/")]
    assert {Path(name).name for name in names} == set(VOLATILE)
    for name in names:
        compared(first[0], second, name)


def test_records_differ_only_in_times(first: tuple[Project, Run], second: Project) -> None:
    def record_content(project: Project) -> dict[str, Any]:
        results = project.folder / "results"
        records = {}
        for path in sorted(results.rglob(f"*{SUFFIX}")):
            name = path.relative_to(results).as_posix()
            if name.startswith("mlflow/") or path.name.startswith("run.json"):
                continue
            content = read_json(path, "record/1")
            files = {
                kind: {file: digest for file, digest in content[kind].items() if not file.endswith((*VOLATILE, SUFFIX))}
                for kind in ("inputs", "outputs")
            }
            places = {kind: sorted(content[kind]) for kind in ("inputs", "outputs")}
            records[name] = (content["program"], content["params"], content["code"], files, places)
        return records

    assert record_content(second) == record_content(first[0])


def test_a_deleted_file_is_made_again_with_the_same_bytes(project: Project) -> None:
    """Dependent stages are therefore not rerun: their inputs are unchanged."""
    before = sums(project)
    (project.folder / "results/devices/box/shards/one.parquet").unlink()
    run = project.run("dataset")
    assert run.code == 0, run.text[-4000:]
    assert run.rules == {"cut_shard": 1, "build_manifest": 1, "check_leaks": 1}
    assert sums(project) == before
    assert set(project.plan()) <= {"log_run"}, "only times in its records differ"
