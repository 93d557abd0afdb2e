"""A probe reel that is asked for after everything else has been made."""

import copy

import pytest

from tests.workflow.project import TINY, Project, Run
from twinlib.files import read_json, sha256_file

MEASURED = {"probe", "simulate", "ingest", "align", "measure", "measure_twin"}


@pytest.mark.slow
def test_it_is_made_recorded_and_measured_and_no_other_reel_or_training_is_made_again(project: Project) -> None:
    content = copy.deepcopy(TINY)
    content["excitations"]["tiny"]["probe_reel"] = True
    before = {path: sha256_file(path) for path in (project.folder / "results").rglob("*.wav")}
    project.write(content)
    run = project.run()
    assert run.code == 0, run.text[-4000:]
    assert set(run.rules) == MEASURED | {"guide", "evaluate", "page", "summary", "comparison", "track"}
    assert run.rules["evaluate"] == 1, "the device of pairs has no probe reel"
    assert {path: sha256_file(path) for path in before} == before
    results = project.folder / "results"
    device = read_json(results / "devices/amp/tiny-probe/measurements.json", "measurements/1")["device"]
    beside = read_json(results / "twins/amp/tiny/evaluation/measurements.json", "measurements/1")
    metrics = read_json(results / "twins/amp/tiny/evaluation/metrics.json", "metrics/1")
    assert beside["device"] == device
    assert metrics["harmonics"]["compared"] > 20
    assert 0 < metrics["esr_floor"] == device["esr_floor"] < metrics["esr"]
    assert "H3 of" in (results / "twins/amp/tiny/evaluation/index.html").read_text()
    assert "harmonics" not in read_json(results / "twins/box/tiny/evaluation/metrics.json", "metrics/1")
    assert "tiny-probe" in (results / "excitations/tiny/recording.md").read_text()
    segments = read_json(results / "devices/amp/dataset.json", "dataset/1")
    assert "tiny-probe" not in str(segments), "nothing is learnt from measuring signals"
    assert project.plan() == {}
    tracked = "results/twins/amp/tiny/run.json"
    assert project.declared(tracked) - project.read(tracked) == {"results/mlflow/store.json"}
    assert project.read(tracked) <= project.declared(tracked)


def test_a_recorded_device_is_asked_for_its_probe_take_too(first: tuple[Project, Run], tmp_path) -> None:
    project = first[0].copy(tmp_path / "project", metadata=True)
    content = copy.deepcopy(TINY)
    content["excitations"]["tiny"]["probe_reel"] = True
    content["devices"]["amp"] = {"excitation": "tiny", "takes": "takes/{reel}.wav"}
    project.write(content)
    shown = project.dry()
    assert shown.code == 0
    assert {"probe", "guide"} <= set(shown.rules)
    content["allow_missing_takes"] = True
    takes = project.folder / "takes"
    takes.mkdir()
    (takes / "tiny-01.wav").write_bytes((project.folder / "results/devices/amp/tiny-01/take.wav").read_bytes())
    project.write(content)
    planned = project.plan()
    assert "ingest" in planned
    assert "measure" not in planned, "what was not recorded is not measured"
