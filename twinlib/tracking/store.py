"""The store of MLflow: a SQLite database in the results folder, or a server. Telemetry is off.

The schema and the experiments are created under a lock, because concurrent creation corrupts a database.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.errors import TrackingError
from twinlib.files import file_lock
from twinlib.tracking.outage import require_server, store_error
from twinlib.tracking.settings import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow reads these. A server that hangs costs a request 2 x 8 s plus a pause of 1 to 3 s.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")

STORE_LOCK = ".store.lock"
"""Name of the file that is locked while the schema or an experiment is created."""

_SQLITE = "sqlite:///"


def store_uri(settings: Tracking, results: Path) -> str:
    """Return the store URI: MLFLOW_TRACKING_URI, else the settings, else `mlflow/mlflow.db` in the results folder.

    The path of a SQLite database is absolute.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.uri
    return absolute_uri(_SQLITE + str(results / "mlflow" / "mlflow.db") if uri is None else uri)


def absolute_uri(uri: str) -> str:
    """Return the URI with an absolute database path, so that it does not depend on the working directory."""
    database = database_path(uri)
    return uri if database is None else _SQLITE + str(database.absolute())


def make_store(results: Path, uri: str, experiments: Sequence[str]) -> dict[str, str]:
    """Create the store and the missing experiments; return the experiment ids by name.

    Idempotent, and safe to call from several processes of one machine: a file lock serialises them, because concurrent
    schema creation corrupts an MLflow database. Artifacts of a SQLite store go to `mlflow/artifacts/` in the results
    folder, those of a server to its own artifact root. Raises `TrackingUnreachableError` if a server does not answer
    within seconds, `TrackingError` for any other failure.
    """
    try:
        database = database_path(uri)
        with file_lock((database.parent if database is not None else results / "mlflow") / STORE_LOCK):
            client = open_store(uri)
            artifacts = results / "mlflow" / "artifacts"
            return {name: make_experiment(client, name, artifacts, database is not None) for name in experiments}
    except Exception as error:
        raise store_error(f"cannot open or create the MLflow store {uri}", error, uri) from error


def store_exists(uri: str) -> bool:
    """Whether the URI is a server or an existing database file. MLflow creates missing databases."""
    database = database_path(uri)
    return database is None or database.is_file()


def open_client(uri: str) -> "MlflowClient":
    """Return an MLflow client. It creates a missing SQLite database: check `store_exists` first."""
    for name in ("mlflow.store.db.utils", "alembic", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The import takes seconds; a run without tracking does not need it.
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def open_store(uri: str) -> "MlflowClient":
    """Open the store, creating a missing SQLite database. The caller holds the lock of the store."""
    database = database_path(uri)
    if database is None:
        require_server(uri)
    elif not database.exists():
        make_database(database)
    return open_client(uri)


def require_shared_store(uri: str) -> None:
    """Raise `TrackingError` for a store that several hosts must not write: a SQLite database."""
    if (database := database_path(uri)) is not None:
        raise TrackingError(
            f"the jobs of this run may write {database} from several hosts, which damages a SQLite database. Start "
            "an MLflow server and set `tracking.uri` or MLFLOW_TRACKING_URI to its address (see "
            "docs/how-to/cluster.md). Or set `tracking.enabled: false`: a later run can log the twins"
        )


def database_path(uri: str) -> Path | None:
    """Return the path of a SQLite database; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def make_database(database: Path) -> None:
    """Create an MLflow database atomically. The caller holds the lock of the store."""
    # MLflow cannot repair a database after an interrupted migration, so create it under a temporary name.
    database.parent.mkdir(parents=True, exist_ok=True)
    aside = database.with_name(f".{database.name}.{os.getpid()}.part")
    aside.unlink(missing_ok=True)
    try:
        open_client(_SQLITE + str(aside)).search_experiments(max_results=1)
        aside.replace(database)
    finally:
        aside.unlink(missing_ok=True)


def make_experiment(client: "MlflowClient", name: str, artifacts: Path, local: bool) -> str:
    """Return the id of an experiment, created or restored if needed. `local` artifacts are files in `artifacts`."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = (artifacts / name).absolute().as_uri() if local else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            # A file lock does not reach the other clients of a server.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
