"""A search in the workflow: outputs, training of its result, reruns, and recovery after a kill."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.project import SEARCH, SEARCHED, TINY, Project
from twinlib.files import read_json, read_table, sha256_file
from twinlib.model.twin import load_twin
from twinlib.provenance import read_record, record_path

pytest.importorskip("optuna")
pytestmark = pytest.mark.slow

RESULTS = ("results/searches/tuned/best.yaml", "results/searches/tuned/trials.txt")


def edited(**search: Any) -> dict[str, Any]:
    return {**SEARCHED, "search": {"tuned": {**SEARCH, **search}}}


def found(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((project.folder / "results/searches/tuned/best.yaml").read_text())
    return content


def test_the_best_model_is_trained_and_tracked(searched: Project) -> None:
    best = found(searched)
    twin = load_twin(searched.folder / "results/twins/box/tuned")
    assert twin.network.stacks[0].channels == best["network"]["channels"]
    assert list(twin.network.stacks[0].dilations) == best["network"]["dilations"]
    trials = read_table(searched.folder / "results/searches/tuned/trials.parquet", "trials/1").set_index("number")
    assert len(trials) == SEARCH["trials"]
    complete = trials[trials["outcome"] == "complete"]
    assert best["valid_esr"] == complete["valid_esr"].map(lambda errors: errors[-1]).min()
    assert best["valid_esr"] == trials.loc[best["trial"], "valid_esr"][-1]
    assert trials.loc[0, "channels"] == TINY["models"]["tiny"]["channels"], "the base is tried first"
    run = client(searched).get_run(run_of(searched, "results/twins/box/tuned"))
    for name, value in best["training"].items():
        assert run.data.params[f"training.{name}"] == str(value)
    assert run.data.params["network.channels"] == str(best["network"]["channels"])


def test_a_project_without_kernels_computes_with_torch(searched: Project) -> None:
    """The project `searched` sets `kernels: false`; see `test_records_name_the_kernels` for the default."""
    twin = searched.folder / "results/twins/box/tuned"
    records = [twin / "twin.safetensors", twin / "evaluation/metrics.json", twin / "twin.nam"]
    records.append(searched.folder / "results/searches/tuned/worker-0.json")
    assert {read_record(record_path(path))["environment"]["kernels"] for path in records} == {"torch"}
    assert load_twin(twin).metadata["kernels"] == "torch"


def client(project: Project) -> Any:
    from twinlib.tracking import store as tracking_store
    from twinlib.tracking.settings import Tracking

    return tracking_store.open_client(tracking_store.store_uri(Tracking(), project.folder / "results"))


def run_of(project: Project, folder: str) -> str:
    return str(read_json(project.folder / folder / "run.json", "run/1")["run_id"])


def test_the_study_has_an_mlflow_run_with_a_child_run_per_trial(searched: Project) -> None:
    store, parent = client(searched), run_of(searched, "results/searches/tuned")
    study = store.get_run(parent)
    assert study.info.status == "FINISHED"
    assert study.data.metrics["trials"] == SEARCH["trials"]
    assert {item.path for item in store.list_artifacts(parent)} == {"best.yaml", "trials.parquet", "trials.txt"}
    children = store.search_runs([study.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert len(children) == SEARCH["trials"]
    trials = read_table(searched.folder / "results/searches/tuned/trials.parquet", "trials/1").set_index("number")
    for child in children:
        row = trials.loc[int(child.info.run_name.split()[1])]
        assert child.data.tags["outcome"] == row["outcome"]
        assert child.info.status == "FINISHED"
        assert child.data.params["channels"] == str(row["channels"])
        history = store.get_metric_history(child.info.run_id, "valid_esr")
        by_step = sorted(history, key=lambda metric: metric.step)
        assert [metric.value for metric in by_step] == list(row["valid_esr"])


def test_a_lost_store_is_rebuilt_with_all_trials(
    searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twinlib.audit.mlflow import rebuild_runs

    tracked = "results/twins/box/tuned/run.json"
    assert searched.declared(tracked) <= searched.read(tracked)
    assert "results/searches/tuned/worker-0.json.prov.json" in searched.read(tracked)
    project = searched.copy(tmp_path / "project", metadata=True)
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store, parent = client(project), run_of(project, "results/searches/tuned")
    study = store.get_run(parent)

    def trials(parent: str) -> dict[str, Any]:
        found = store.search_runs([study.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
        return {run.info.run_name: (run.info.status, run.data.params, run.data.metrics) for run in found}

    before = trials(parent)
    for run in store.search_runs([study.info.experiment_id]):
        store.delete_run(run.info.run_id)
    assert {(one.kind, one.name): one.outcome for one in rebuild_runs(Path("results"))} == {
        ("search", "tuned"): "logged",
        ("twin", "amp/tiny"): "kept",
        ("twin", "box/tiny"): "logged",
        ("twin", "box/tuned"): "logged",
    }
    again = store.get_run(run_of(project, "results/searches/tuned"))
    assert again.info.run_id != parent
    assert (again.data.params, again.data.metrics) == (study.data.params, study.data.metrics)
    assert trials(again.info.run_id) == before
    assert {item.path for item in store.list_artifacts(again.info.run_id)} == {
        "best.yaml",
        "trials.parquet",
        "trials.txt",
    }
    assert {one.outcome for one in rebuild_runs(Path("results"))} == {"kept"}
    assert project.plan() == {}


def test_a_finished_search_has_nothing_to_do(searched: Project) -> None:
    assert searched.plan() == {}


def test_a_killed_search_ends_with_the_same_bytes(searched: Project, tmp_path: Path) -> None:
    """The fifth trial is killed with Snakemake; tests/training/test_search.py kills workers repeatedly."""
    before = {path: sha256_file(searched.folder / path) for path in RESULTS}
    project = searched.copy(tmp_path / "project", metadata=True)
    folder = project.folder / "results/searches/tuned"
    shutil.rmtree(folder)
    command, environment = project.command("results/searches/tuned/best.yaml")
    started = subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("study-*/trials/4.lock")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert list(folder.glob("study-*/trials/4.lock"))
    assert not (folder / "worker-0.json").exists()
    run = project.run("searches")
    assert run.code == 0, run.text[-4000:]
    assert {path: sha256_file(project.folder / path) for path in RESULTS} == before
    assert project.plan("searches") == {}


def test_more_trials_and_workers_continue_the_study(searched: Project, tmp_path: Path) -> None:
    project = searched.copy(tmp_path / "project", metadata=True)
    before = read_table(project.folder / "results/searches/tuned/trials.parquet", "trials/1")
    project.write(edited(trials=14, workers=2))
    run = project.run("searches", "results/searches/tuned/run.json")
    assert run.code == 0, run.text[-4000:]
    after = read_table(project.folder / "results/searches/tuned/trials.parquet", "trials/1")
    assert list(after["number"]) == list(range(14))
    assert after[:8].to_json() == before.to_json(), "finished trials are not repeated"
    assert project.plan("searches") == {}
    study = client(project).get_run(run_of(project, "results/searches/tuned"))
    assert study.info.run_id == run_of(searched, "results/searches/tuned")
    assert study.data.metrics["trials"] == 14
