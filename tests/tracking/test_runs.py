"""Runs in a real SQLite store, shared by all tests of the module: creating its schema takes seconds."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import pytest

from twinlib.errors import TrackingError, TrackingUnreachableError
from twinlib.files import read_json
from twinlib.model import Architecture
from twinlib.tracking import runs as tracking
from twinlib.tracking import store as tracking_store
from twinlib.tracking.names import network_params
from twinlib.tracking.runs import BATCH, start_run
from twinlib.tracking.settings import Tracking
from twinlib.tracking.store import make_store, store_uri

pytestmark = pytest.mark.slow

IDENTITY = "i" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory, empty_store):
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(tracking_store, "make_database", lambda database: shutil.copy(empty_store, database))
        uri = store_uri(Tracking(), results)
        return results, uri, make_store(results, uri, ["silk", "klon"])


@pytest.fixture
def store(made, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return made[1]


@pytest.fixture
def side(tmp_path):
    return tmp_path / "run.json"


def begin(store, side, **changes):
    given = {"experiment": "silk", "run_name": "small", "run_id_file": side, "identity": IDENTITY, **changes}
    return start_run(store, **given)


def client(store):
    return tracking_store.open_client(store)


def history(store, run, key):
    return sorted((m.step, m.value) for m in client(store).get_metric_history(run.run_id, key))


def rows(first, last, **more):
    return [{"step": step, "cpu_seconds": 0.1 * step, "loss": 1.0 / (step + 1), **more} for step in range(first, last)]


def count(store, run):
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        return database.execute("select count(*) from metrics where run_uuid = ?", (run.run_id,)).fetchone()[0]


def test_uri(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert store_uri(Tracking(), Path("results")) == f"sqlite:///{tmp_path}/results/mlflow/mlflow.db"
    assert store_uri(Tracking(uri="sqlite:///a/b.db"), Path("results")) == f"sqlite:///{tmp_path}/a/b.db"
    assert store_uri(Tracking(uri="http://host:5000"), Path("results")) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert store_uri(Tracking(uri="http://host:5000"), Path("results")) == f"sqlite:///{tmp_path}/other.db"


def test_telemetry_is_off():
    code = "import twinlib.tracking.runs, os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], os.environ['DO_NOT_TRACK'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["true", "true"]


def test_settings_do_not_import_mlflow():
    code = "import twinlib.tracking, twinlib.tracking.settings, sys; print('mlflow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_experiments_have_their_own_artifact_folder(made, store):
    results, _, ids = made
    assert set(ids) == {"silk", "klon"}
    assert len(set(ids.values())) == 2
    for name, number in ids.items():
        experiment = client(store).get_experiment(number)
        assert experiment.name == name
        assert experiment.artifact_location == (results / "mlflow" / "artifacts" / name).as_uri()
    assert sorted(path.name for path in (results / "mlflow").iterdir() if "part" in path.name) == []


def test_make_store_is_idempotent_and_adds_experiments(made, store):
    results, _, ids = made
    assert make_store(results, store, ["klon", "silk"]) == ids
    more = make_store(results, store, ["silk", "fuzz"])
    assert more["silk"] == ids["silk"]
    client(store).delete_experiment(more["fuzz"])
    assert make_store(results, store, ["fuzz"]) == {"fuzz": more["fuzz"]}
    assert client(store).get_experiment(more["fuzz"]).lifecycle_stage == "active"


def test_a_damaged_database_is_refused_and_kept(tmp_path):
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    database.write_bytes(b"this is no database" * 1000)
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        make_store(tmp_path, f"sqlite:///{database}", ["silk"])
    assert database.read_bytes().startswith(b"this is no database")


def test_a_run_holds_the_logged_values(store, side, tmp_path):
    run = begin(store, side, tags={"twin.simulated": "true"})
    run.log_params({"model": {"channels": 16, "dilations": [1, 5]}, "long": "x" * 10_000, "nothing": None})
    run.log_params({f"p{k}": k for k in range(250)})
    run.log_curve(rows(0, 5, valid_esr=float("nan"), note="text", flag=True))
    run.log_metrics({"esr": 0.01, "device": "silk", "mr_stft": None, "splits": {"test": {"esr": 0.01}}})
    run.log_dataset("f" * 64, "silk", tmp_path / "dataset.json")
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    run.log_files([figure], "figures")
    run.finish()
    found = client(store).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "small"
    assert found.data.params["model.channels"] == "16"
    assert found.data.params["long"] == "x" * 6000
    assert found.data.params["p249"] == "249"
    assert found.data.metrics == {"loss": 0.2, "cpu_seconds": 0.4, "esr": 0.01, "splits/test/esr": 0.01}
    assert history(store, run, "loss") == [(k, 1 / (k + 1)) for k in range(5)]
    assert found.data.tags["twin.simulated"] == "true"
    assert found.data.tags["dataset.sha256"] == "f" * 64
    assert found.inputs.dataset_inputs[0].dataset.digest == "f" * 32
    assert [file.path for file in client(store).list_artifacts(run.run_id, "figures")] == ["figures/figure.svg"]
    searched = client(store).search_runs([found.info.experiment_id], f"dataset.digest = '{'f' * 32}'")
    assert run.run_id in [one.info.run_id for one in searched]


def test_long_curves_are_logged_in_batches_of_complete_rows(store, side):
    run = begin(store, side)
    many = rows(0, 2 * BATCH + 7, valid_esr=0.5)
    run.log_curve(many)
    assert count(store, run) == 3 * len(many)
    assert history(store, run, "loss") == [(row["step"], row["loss"]) for row in many]
    batches = list(tracking._batches([(row["step"], run._metrics(row)) for row in many]))
    assert all(len(batch) <= BATCH for batch, _ in batches)
    assert all({m.step for m in a}.isdisjoint({m.step for m in b}) for (a, _), (b, _) in pairwise(batches))


def test_a_killed_run_is_resumed_without_duplicate_rows(store, side):
    first = begin(store, side)
    first.log_curve(rows(0, 10))
    # Killed: no end is logged. The training resumes from its checkpoint at step 6 and logs its rows again.
    second = begin(store, side)
    assert second.run_id == first.run_id
    second.log_curve(rows(6, 15))
    second.log_curve(rows(0, 20))
    second.finish()
    third = begin(store, side)
    assert client(store).get_run(third.run_id).info.status == "RUNNING"
    third.log_curve(rows(0, 20))
    third.log_metrics({"esr": 0.5})
    third.log_metrics({"esr": 0.5})
    third.finish()
    assert third.run_id == first.run_id
    assert history(store, third, "loss") == [(k, 1 / (k + 1)) for k in range(20)]
    assert history(store, third, "esr") == [(0, 0.5)]


def test_a_row_logged_just_before_a_kill_is_not_duplicated(store, side):
    run = begin(store, side)
    run.log_curve(rows(0, 5))
    before = side.read_bytes()
    run.log_curve(rows(5, 10))
    # Killed after logging the rows, before writing the side file.
    side.write_bytes(before)
    again = begin(store, side)
    again.log_curve(rows(0, 12))
    assert history(store, again, "loss") == [(k, 1 / (k + 1)) for k in range(12)]


def test_a_new_metric_value_replaces_the_old_one(store, side):
    run = begin(store, side)
    run.log_metrics({"esr": 0.5})
    run.log_metrics({"esr": 0.1})
    assert client(store).get_run(run.run_id).data.metrics["esr"] == 0.1


@pytest.mark.parametrize("change", [{"identity": "other"}, {"experiment": "klon"}])
def test_another_identity_or_experiment_starts_a_new_run(store, side, change):
    first = begin(store, side)
    first.log_curve(rows(0, 3))
    second = begin(store, side, **change)
    assert second.run_id != first.run_id
    second.log_curve(rows(0, 3))
    assert len(history(store, second, "loss")) == 3


def test_a_deleted_run_or_a_damaged_side_file_starts_a_new_run(store, side):
    first = begin(store, side)
    client(store).delete_run(first.run_id)
    second = begin(store, side)
    assert second.run_id != first.run_id
    side.write_text("{")
    third = begin(store, side)
    assert third.run_id not in (first.run_id, second.run_id)
    assert read_json(side, "run/1")["run_id"] == third.run_id


def test_a_run_without_a_noted_id_is_found_again(store, side, monkeypatch):
    """The process is killed between the creation of the run and the note of its id."""
    experiment = client(store).get_experiment_by_name("silk").experiment_id
    before = {run.info.run_id for run in client(store).search_runs([experiment])}
    note = tracking.Run._write_side_file

    def killed(run, token=""):
        if not token:
            raise KeyboardInterrupt
        note(run, token)

    with monkeypatch.context() as patch:
        patch.setattr(tracking.Run, "_write_side_file", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(store, side)
    assert read_json(side, "run/1")["run_id"] is None
    run = begin(store, side)
    run.finish()
    after = {run.info.run_id: run.info.status for run in client(store).search_runs([experiment])}
    assert {run_id: status for run_id, status in after.items() if run_id not in before} == {run.run_id: "FINISHED"}


def test_an_unfinished_run_of_other_settings_is_ended(store, side):
    first = begin(store, side)
    second = begin(store, side, identity="j" * 64)
    assert second.run_id != first.run_id
    assert client(store).get_run(first.run_id).info.status == "KILLED"
    second.finish()
    third = begin(store, side, identity="k" * 64)
    third.finish()
    assert client(store).get_run(second.run_id).info.status == "FINISHED"


def test_start_run_creates_a_missing_experiment(made, store, side):
    run = begin(store, side, experiment="new")
    found = client(store).get_experiment(client(store).get_run(run.run_id).info.experiment_id)
    assert found.name == "new"
    assert found.artifact_location == (made[0] / "mlflow" / "artifacts" / "new").as_uri()


def test_start_run_creates_a_missing_store(empty_store, monkeypatch, tmp_path, side):
    monkeypatch.setattr(tracking_store, "make_database", lambda database: shutil.copy(empty_store, database))
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    run = begin(uri, side, experiment="tape")
    experiment = client(uri).get_experiment(client(uri).get_run(run.run_id).info.experiment_id)
    assert experiment.artifact_location == (tmp_path / "new" / "artifacts" / "tape").as_uri()


def test_a_failing_store_raises_or_warns_once(store, side, tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database" * 1000)
    with pytest.raises(TrackingError, match=r"cannot start the run small of silk"):
        begin(f"sqlite:///{damaged}", side)
    with pytest.warns(UserWarning, match="all results are in the results folder"):
        unlogged = begin(f"sqlite:///{damaged}", side, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unlogged.log_curve(rows(0, 3))
        unlogged.finish()
    assert unlogged.run_id is None

    lenient = begin(store, side, strict=False)
    with pytest.warns(UserWarning, match="all results are in the results folder"):
        lenient.log_files([tmp_path / "missing.svg"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lenient.log_curve(rows(0, 3))
    # A strict run adds the missing rows later.
    strict = begin(store, side)
    strict.log_curve(rows(0, 3))
    assert len(history(store, strict, "loss")) == 3
    with pytest.raises(TrackingError, match="files"):
        strict.log_files([tmp_path / "missing.svg"])


def test_an_unreachable_server_is_reported_within_seconds(tmp_path, side):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(TrackingUnreachableError, match=r"does not answer .* Start it"):
            make_store(tmp_path, uri, ["silk"])
        with pytest.warns(UserWarning, match="all results are in the results folder"):
            assert begin(uri, side, strict=False).run_id is None


def test_a_changed_parameter_is_refused(store, side):
    run = begin(store, side)
    run.log_params({"a": 1})
    run.log_params({"a": 1})
    with pytest.raises(TrackingError, match="parameters"):
        run.log_params({"a": 2})


CHILD = """
import sys
from pathlib import Path
from twinlib.tracking.runs import start_run
run = start_run(sys.argv[1], "fresh", sys.argv[2], Path(sys.argv[3]), "i")
run.log_curve([{"step": k, "loss": float(k)} for k in range(300)])
run.finish()
print(run.run_id)
"""


def test_two_processes_can_log_at_once(store, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(tracking.__file__).parents[2])}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, store, name, str(tmp_path / f"{name}.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        for name in ("one", "two")
    ]
    for child in children:
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        run = client(store).get_run(out.split()[-1])
        assert run.info.status == "FINISHED"
        assert client(store).get_experiment(run.info.experiment_id).name == "fresh"
        assert len(client(store).get_metric_history(run.info.run_id, "loss")) == 300
    # The store and its artifacts are in the results folder, not in the working directory.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_a_moved_store_can_be_opened(made, store, tmp_path):
    shutil.copytree(made[0] / "mlflow", tmp_path / "mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert make_store(tmp_path, uri, ["silk"])["silk"] == made[2]["silk"]


def test_curves_of_several_seeds_do_not_collide(store, side):
    run = begin(store, side)
    both = [{**row, "seed": seed} for seed in (3, 4) for row in rows(0, 6)]
    run.log_curve(both[:8], by_seed=True)
    again = begin(store, side)
    again.log_curve(both, by_seed=True)
    for name in ("seed-3/loss", "seed-4/loss"):
        assert history(store, again, name) == [(k, 1 / (k + 1)) for k in range(6)]
    assert history(store, again, "loss") == history(store, again, "seed-3/seed") == []


def test_a_run_names_its_user_and_program_and_the_load_of_the_machine(store, side, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/scripts/train_twin.py", "--device", "silk"])
    monkeypatch.setenv("LOGNAME", "somebody")
    run = begin(store, side, run_name="silk/small", tags={"mlflow.source.git.commit": "c0ffee"})
    run.log_system_metrics({"step": 7})
    found = client(store).get_run(run.run_id)
    tags = found.data.tags
    assert (tags["mlflow.user"], tags["mlflow.source.name"]) == ("somebody", "train_twin.py")
    assert (tags["mlflow.source.type"], tags["mlflow.source.git.commit"]) == ("LOCAL", "c0ffee")
    assert found.data.metrics["system/process_memory_usage_megabytes"] > 10
    assert [step for step, _ in history(store, run, "system/cpu_utilization_percentage")] == [7]
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid not found")))
    nobody = begin(store, side.with_name("other.json"))
    assert "mlflow.user" not in client(store).get_run(nobody.run_id).data.tags


def test_a_dataset_has_columns_and_counts(store, side, tmp_path):
    run = begin(store, side)
    columns, counts = {"segment_id": "string", "start": "int64"}, {"splits": {"train": {"segments": 3}}}
    run.log_dataset("f" * 64, "columns", tmp_path / "dataset.json", columns, counts)
    found = client(store).get_run(run.run_id).inputs.dataset_inputs[0].dataset
    assert json.loads(found.profile) == counts
    assert [one["name"] for one in json.loads(found.schema)["mlflow_colspec"]] == ["segment_id", "start"]


def test_parameters_of_a_preset_are_those_of_its_network():
    custom, preset = Architecture(channels=4, dilations=(1, 3, 9)), Architecture(preset="nam-standard")
    assert network_params(custom) == custom.model_dump(mode="json")
    found = dict(tracking._flat(network_params(preset), "."))
    assert found["preset"] == "nam-standard"
    assert (found["stacks.0.channels"], found["stacks.1.channels"]) == (16, 8)
    assert found["receptive_field"] == preset.network.receptive_field
