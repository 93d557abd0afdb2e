"""Twins as MLflow models: what they predict, their file, their versions and the alias of the best."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from tests.model.factories import loud_twin
from tests.workflow.project import noise
from twinlib import audio
from twinlib.errors import TrackingError
from twinlib.model import PRESETS, Twin, render_file
from twinlib.tracking import store as tracking_store
from twinlib.tracking.logged_model import _move_alias, best_version, log_model, registered_name
from twinlib.tracking.runs import Run, start_run
from twinlib.tracking.store import make_store
from twinlib.tracking.ui import comparison_page

pytestmark = pytest.mark.slow

RATE = 44100


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    uri = f"sqlite:///{results}/mlflow/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking_store, "make_database", lambda database: shutil.copy(empty_store, database))
        make_store(results, uri, ["box"])
    return uri


@pytest.fixture(scope="module", autouse=True)
def no_file_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The working directory, in which MLflow must not make a store of its own."""
    folder = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield
    assert list(folder.iterdir()) == []


def log(
    store: str, folder: Path, device: str, seed: int, esr: float, dataset: str = "d" * 64
) -> tuple[Run, Twin, Path]:
    twin = replace(loud_twin(PRESETS["small"], seed), device=device, model="small")
    twin.save(folder / "twin.safetensors")
    run = start_run(store, "box", f"{device}/small", folder / "run.json", f"{seed}")
    log_model(run, folder / "twin.safetensors", {"device": device, "dataset.sha256": dataset}, esr)
    return run, twin, folder / "twin.safetensors"


def test_a_loaded_model_renders_like_the_command(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    _, twin, file = log(store, tmp_path, "box: a/b", 1, 0.1)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{registered_name('box: a/b')}@best")
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{registered_name('box: a/b')}@best"))
    finally:
        mlflow.set_tracking_uri(before)
    dry = noise(1.0, 3)
    for rate in (RATE, 48000):
        audio.write(tmp_path / "dry.wav", dry, rate, "FLOAT")
        render_file(twin, tmp_path / "dry.wav", tmp_path / "wet.wav")
        wet = loaded.predict(dry, params={"sample_rate": rate})
        np.testing.assert_allclose(wet, audio.read(tmp_path / "wet.wav")[:, 0], atol=1e-6)
    assert np.array_equal(loaded.predict(dry), loaded.predict(dry, params={"sample_rate": RATE}))
    assert loaded.metadata.metadata["device"] == "box: a/b"
    assert loaded.input_example.shape == (8,)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert "data/twin.safetensors" in names
    assert not [name for name in names if Path(name).suffix in (".pkl", ".pickle", ".cloudpickle", ".pt", ".bin")]
    assert (folder / "data" / "twin.safetensors").read_bytes() == file.read_bytes()


def test_the_scoring_server_takes_samples(store: str, tmp_path: Path) -> None:
    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    from twinlib.tracking.logged_model import save_model

    _, twin, file = log(store, tmp_path, "served", 2, 0.1)
    save_model(twin, file, tmp_path / "model")
    loaded = pyfunc.load_model(str(tmp_path / "model"))
    samples = noise(0.1, 4)
    body = json.dumps({"inputs": samples.tolist(), "params": {"sample_rate": RATE}})
    answer = scoring_server.invocations(body, "application/json", loaded, loaded.metadata.get_input_schema())
    assert answer.status == 200
    np.testing.assert_allclose(json.loads(answer.response)["predictions"], loaded.predict(samples), atol=1e-6)


def test_a_model_is_logged_and_registered_once(store: str, tmp_path: Path) -> None:
    run, _, file = log(store, tmp_path, "twice", 3, 0.1)
    client = tracking_store.open_client(store)
    (output,) = client.get_run(run.run_id).outputs.model_outputs
    log_model(run, file, {"device": "twice"}, 0.1)
    assert [one.model_id for one in client.get_run(run.run_id).outputs.model_outputs] == [output.model_id]
    assert len(client.search_model_versions("name = 'twice'")) == 1


def test_a_killed_logging_is_completed(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "finalize_logged_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log(store, tmp_path, "killed", 4, 0.1)
    run, _, _ = log(store, tmp_path, "killed", 4, 0.1)
    client = tracking_store.open_client(store)
    experiment = client.get_run(run.run_id).info.experiment_id
    models = client.search_logged_models([experiment], f"source_run_id = '{run.run_id}'")
    assert [str(one.status) for one in models] == ["READY"]
    (output,) = client.get_run(run.run_id).outputs.model_outputs
    assert output.model_id == models[0].model_id


def test_the_alias_follows_the_best_twin(store: str, tmp_path: Path) -> None:
    client = tracking_store.open_client(store)

    def best() -> str:
        return str(client.get_model_version_by_alias("ranked", "best").tags["esr"])

    for seed, (esr, dataset, expected) in enumerate(
        [(0.2, "d", "0.2"), (0.1, "d", "0.1"), (0.15, "d", "0.1"), (0.3, "e", "0.3"), (0.4, "e", "0.3")], 10
    ):
        folder = tmp_path / str(seed)
        folder.mkdir()
        log(store, folder, "ranked", seed, esr, dataset * 64)
        assert best() == expected


def version(number: int, **tags: str) -> SimpleNamespace:
    return SimpleNamespace(version=str(number), tags={key.replace("_", "."): value for key, value in tags.items()})


class Registry:
    """Stands in for a server at which another job registers a better version while this one moves the alias."""

    def __init__(self) -> None:
        self.versions, self.aliases = [version(1, esr="0.3")], list[str]()

    def search_model_versions(self, _: str) -> list[SimpleNamespace]:
        return list(self.versions)

    def set_registered_model_alias(self, _name: str, _alias: str, number: str) -> None:
        if len(self.versions) == 1:
            self.versions.append(version(2, esr="0.2"))
            self.aliases.append("2")
        self.aliases.append(number)


def test_the_alias_names_the_best_of_parallel_jobs() -> None:
    registry: Any = Registry()
    _move_alias(registry, "box")
    assert registry.aliases == ["2", "1", "2"]


def test_versions_without_an_error_are_never_the_best() -> None:
    assert best_version([]) is None
    assert best_version([version(1, esr="nan"), version(2)]) == "2"
    assert best_version([version(2, esr="0.3"), version(10, esr="nan"), version(9, esr="0.2")]) == "9"
    assert best_version([version(1, esr="0.2"), version(2, esr="0.2")]) == "1"


def test_the_interface_opens_with_all_devices(empty_store: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    uri = f"sqlite:///{database}"
    with pytest.raises(TrackingError, match="does not exist: run the workflow first"):
        comparison_page(uri)
    assert not database.exists()
    shutil.copy(empty_store, database)
    assert comparison_page(uri) == "/"
    make_store(tmp_path, uri, ["box"])
    assert comparison_page(uri) == "/#/experiments/1/runs"
    make_store(tmp_path, uri, ["fuzz"])
    assert unquote(comparison_page(uri)) == '/#/compare-experiments/s?experiments=["1","2"]'
