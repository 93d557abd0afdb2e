"""Eight jobs log to one MLflow store at once: a server with PostgreSQL, and the embedded SQLite database."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import postgres
from tests.cluster.eight_jobs import DEVICES, JOBS, ROWS
from tests.cluster.plugins import environment, require
from tests.workflow.project import REPOSITORY
from twinlib.errors import TrackingError
from twinlib.tracking.store import open_client, require_shared_store

pytestmark = pytest.mark.slow


def log_and_check(uri: str, folder: Path) -> None:
    program = [sys.executable, "-m", "tests.cluster.eight_jobs", uri, str(folder)]
    # By default a job gives up a server that does not answer for 8 s, as this one may on a busy machine.
    variables = environment(MLFLOW_HTTP_REQUEST_TIMEOUT="120")
    done = subprocess.run(
        program, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    client = open_client(uri)
    experiments = {found.name: found.experiment_id for found in client.search_experiments()}
    assert set(experiments) == {"Default", *DEVICES}
    runs = {run.info.run_name: run for name in DEVICES for run in client.search_runs([experiments[name]])}
    assert len(runs) == JOBS
    for number in range(JOBS):
        run = runs[f"model-{number}"]
        assert run.info.experiment_id == experiments[DEVICES[number % 2]]
        assert run.info.status == "FINISHED"
        assert run.data.params == {"number": str(number), **{f"key{index}": str(index) for index in range(120)}}
        for key in ("loss", "esr"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert sorted(steps) == list(range(ROWS)), (number, key)
        assert run.data.metrics["final"] == number
        path = client.download_artifacts(run.info.run_id, "twin/model.bin", str(folder / str(number)))
        assert Path(path).read_bytes() == bytes([number]) * 1000


def test_a_server_with_postgresql(tmp_path: Path) -> None:
    require(postgres.missing())
    for name in ("mlflow", "jobs"):
        (tmp_path / name).mkdir()
    with (
        postgres.postgres() as database,
        postgres.mlflow_server(tmp_path / "mlflow", database) as uri,
    ):
        require_shared_store(uri)
        log_and_check(uri, tmp_path / "jobs")


def test_the_embedded_database_with_local_jobs(tmp_path: Path) -> None:
    """The first job creates it."""
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    log_and_check(uri, tmp_path / "jobs")
    with pytest.raises(TrackingError, match=r"from several hosts.*Start an MLflow server.*tracking.uri"):
        require_shared_store(uri)
