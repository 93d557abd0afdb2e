"""The records of a results folder in any location: makers of files, and upstream records."""

import json
import shutil
from pathlib import Path

import pytest

from twinlib.provenance.record import record_path, stage_record
from twinlib.provenance.results import Results

PROGRAM = Path(__file__).parents[2] / "scripts" / "build_summary.py"
MADE = {
    "corpus/tracks.parquet": ["outside/song.wav"],
    "devices/a/dataset.json": ["results/corpus/tracks.parquet"],
    "devices/b/dataset.json": ["results/corpus/tracks.parquet"],
    "twins/a/one/twin.safetensors": ["results/devices/a/dataset.json"],
    "twins/b/two/twin.safetensors": ["results/devices/b/dataset.json", "results/twins/a/one/twin.safetensors"],
}
"""A twin that starts from another device's, and what everything was made of."""


@pytest.fixture(params=["results", "another/name"])
def results(request, tmp_path, monkeypatch):
    """The results in their original folder or moved."""
    monkeypatch.chdir(tmp_path)
    Path("outside").mkdir()
    Path("outside/song.wav").write_text("song")
    for name, inputs in MADE.items():
        output = Path("results") / name
        output.parent.mkdir(parents=True)
        with stage_record(PROGRAM, map(Path, inputs), [output, output.with_name("second")], {}):
            output.write_text(name)
            output.with_name("second").write_text(name)
    if request.param != "results":
        shutil.move("results", tmp_path / request.param)
    return Path(request.param)


def upstream(results: Path, name: str) -> list[str]:
    known = Results(results)
    stage = known.maker(name)
    assert stage is not None
    return sorted(one.name.removesuffix(".prov.json") for one in known.history(stage))


def makers(results: Path) -> dict[str, str]:
    """The record that made each file."""
    return {name: stage.name for stage in Results(results).stages for name in stage.outputs}


def test_every_output_has_a_maker(results: Path) -> None:
    found = makers(results)
    assert found == {
        name: f"{first}.prov.json" for first in MADE for name in (first, Path(first).with_name("second").as_posix())
    }


def test_the_chain_includes_all_paths_to_the_corpus(results: Path) -> None:
    assert upstream(results, "twins/b/two/twin.safetensors") == sorted(MADE)
    assert upstream(results, "twins/a/one/twin.safetensors") == [
        "corpus/tracks.parquet",
        "devices/a/dataset.json",
        "twins/a/one/twin.safetensors",
    ]


def test_copies_in_the_store_and_broken_records_are_ignored(results: Path) -> None:
    before = makers(results)
    shutil.copytree(results / "corpus", results / "mlflow" / "artifacts" / "corpus")
    (results / "devices" / "broken.prov.json").write_text("{")
    (results / "devices" / "other.prov.json").write_text(json.dumps({"contract": "other/1"}))
    assert makers(results) == before


def test_a_cycle_of_records_terminates(results: Path) -> None:
    path = record_path(results / "corpus/tracks.parquet")
    text = path.read_text().replace("outside/song.wav", "results/twins/a/one/twin.safetensors")
    path.write_text(text)
    assert "twins/a/one/twin.safetensors" in upstream(results, "corpus/tracks.parquet")
