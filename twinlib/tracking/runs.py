"""MLflow: one store, one experiment a device, one run a twin; telemetry off.

Nothing here is the only copy of anything: learning curves, metrics and figures are files of the results, and a lost
store is filled again from them. The rules that keep a store whole were paid for: one process makes the schema and all
experiments before any other opens it, rows go in batches, and a run that was killed is resumed, not doubled.
"""

import fcntl
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twinlib.contracts import RUN
from twinlib.errors import TrackingError, TwinError
from twinlib.files import read_json, sha256_bytes, write_json
from twinlib.tracking.settings import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

# Before MLflow is imported anywhere: it reads these once. An unreachable server must not hold up a training.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


BATCH = 1000
"""The most metric values that MLflow takes in one call (0.2 s; one by one they take a hundred times as long)."""

_PARAMS_A_BATCH = 100
_PARAM_LENGTH = 6000
_DIGEST_LENGTH = 32
_SQLITE = "sqlite:///"


def store_uri(settings: Tracking, results: Path) -> str:
    """The URI of MLFLOW_TRACKING_URI, else of the settings, else `mlflow/mlflow.db` in the results; never relative."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.uri
    return absolute(_SQLITE + str(results / "mlflow" / "mlflow.db") if uri is None else uri)


def absolute(uri: str) -> str:
    """A URI that means the same in every working directory."""
    database = _database(uri)
    return uri if database is None else _SQLITE + str(database.absolute())


def identity_of(code: str, dataset: str, network: str, settings: str, start: str = "") -> str:
    """What a run is about: the digests of code and dataset, the network and the training settings as JSON.

    `start` is the sha256 of the twin that the training starts from, if there is one.
    """
    return sha256_bytes("\0".join((code, dataset, network, settings, start)).encode())


def make_store(results: Path, uri: str, experiments: Sequence[str]) -> dict[str, str]:
    """Open the store, make every experiment that is missing, and return their ids by name.

    Call it once, before any run starts: processes that make a schema or an experiment at the same time break the store
    or put runs into the wrong one. Calling it again changes nothing. Artifacts of a SQLite store go to
    `mlflow/artifacts/` in the results, those of a server where the server wants them. Raises `TrackingError`.
    """
    try:
        database = _database(uri)
        if database is not None and not database.exists():
            _make_database(database)
        client = client_of(uri)
        artifacts = results / "mlflow" / "artifacts"
        return {name: _make_experiment(client, name, artifacts, database is not None) for name in experiments}
    except Exception as error:
        raise _failure(f"the store {uri} cannot be opened or made", error) from error


class Run:
    """A run that is being written. Made by `start`.

    With `strict` a failing store raises `TrackingError`; without, it is warned of once and the rest is not logged, so
    that no training is lost to it. `run_id` is None if there is no run to log to.
    """

    def __init__(self, uri: str, file: Path, identity: str, strict: bool) -> None:
        self._uri, self._file, self._identity, self._strict = uri, file, identity, strict
        self._client: MlflowClient | None = None
        self._start_time = 0
        self._last_steps: dict[str, int] = {}
        self.run_id: str | None = None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings, nested ones with dotted names; values are cut at 6000 characters. May be repeated."""

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Param

            flat = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in _flat(params, ".")]
            for start in range(0, len(flat), _PARAMS_A_BATCH):
                client.log_batch(run_id, params=flat[start : start + _PARAMS_A_BATCH])

        self._guarded("parameters", log)

    def log_curve(self, rows: Sequence[Mapping[str, Any]], several: bool = False) -> None:
        """Log rows of a learning curve: each has an integer `step`, at which its other finite numbers are logged.

        With `several` seeds there is a curve for each `seed` of the rows, with names such as `seed-1/loss`. Rows up to
        the last step already logged of a curve are passed over, in a resumed run too: logging a whole curve again at
        the end of a training only adds what is missing. Rows have the time `cpu_seconds` after the start of the run, so
        that a row that was logged just before a kill is the same row when it comes again, and MLflow keeps one.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            for name, curve in _curves(rows, several).items():
                before = self._last_steps.get(name, -1)
                fresh = sorted((row for row in curve if row["step"] > before), key=lambda row: row["step"])
                for batch, last in _batches([(int(row["step"]), self._metrics(row, name)) for row in fresh]):
                    client.log_batch(run_id, metrics=batch)
                    self._last_steps[name] = last
                    self._remember()

        self._guarded("curves", log)

    def log_metrics(self, metrics: Mapping[str, Any], moment: int | None = None) -> None:
        """Log final numbers, nested ones with names such as `splits/test/esr`; what is no finite number is left out.

        `moment` is when they were found, in milliseconds since 1970; without it that is now.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Metric

            known, now = client.get_run(run_id).data.metrics, moment or int(1000 * time.time())
            numbers = [(key, float(value)) for key, value in _flat(metrics, "/") if _is_number(value)]
            fresh = [Metric(key, value, now, 0) for key, value in numbers if known.get(key) != value]
            for start in range(0, len(fresh), BATCH):
                client.log_batch(run_id, metrics=fresh[start : start + BATCH])

        self._guarded("metrics", log)

    def log_dataset(self, digest: str, name: str, source: Path) -> None:
        """Log which data set was used: its sha256, its name, and the file that describes it; nothing is copied.

        MLflow's digests end at 36 characters: it gets the first 32, by which runs can be searched
        (`dataset.digest = '...'`), and the full sum as the tag `dataset.sha256`.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            place = json.dumps({"uri": str(source.absolute())})
            dataset = Dataset(name=name, digest=digest[:_DIGEST_LENGTH], source_type="local", source=place)
            tags = [InputTag("mlflow.data.context", "training"), InputTag("sha256", digest)]
            client.log_inputs(run_id, [DatasetInput(dataset, tags)])
            client.set_tag(run_id, "dataset.sha256", digest)

        self._guarded("the data set", log)

    def log_files(self, paths: Sequence[Path], folder: str | None = None) -> None:
        """Copy small files (figures, clips, models, manifests; never shards) to the run's artifacts."""

        def log(client: "MlflowClient", run_id: str) -> None:
            for path in paths:
                client.log_artifact(run_id, str(path), folder)

        self._guarded("files", log)

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED", moment: int | None = None) -> None:
        """Say how the run ended, and when if not now. A run may be resumed and finished again."""
        self._guarded("the end", lambda client, run_id: client.set_terminated(run_id, status, moment))

    def _open(self, experiment: str, run_name: str, tags: Mapping[str, str], started: int | None) -> None:
        database = _database(self._uri)
        if database is not None and not database.exists():
            # MLflow would make it here, and break it if another run starts at the same time.
            raise TrackingError(f"the store {self._uri} does not exist: make the store first")
        client = client_of(self._uri)
        found = client.get_experiment_by_name(experiment)
        if found is None or found.lifecycle_stage != "active":
            found = self._new_experiment(client, experiment)
        run = self._resumed(client, found.experiment_id)
        if run is None:
            run = client.create_run(found.experiment_id, start_time=started, tags=dict(tags), run_name=run_name)
            self._last_steps = {}
        else:
            client.update_run(run.info.run_id, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(run.info.run_id, key, value)
        self._client, self.run_id, self._start_time = client, run.info.run_id, run.info.start_time
        self._remember()

    def _new_experiment(self, client: "MlflowClient", name: str) -> Any:
        """Make an experiment that is not there yet; processes on one machine take turns."""
        database = _database(self._uri)
        folder = database.parent if database is not None else self._file.parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".experiments.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return client.get_experiment(_make_experiment(client, name, folder / "artifacts", database is not None))

    def _resumed(self, client: "MlflowClient", experiment_id: str) -> Any:
        """The run that the side file names, if it is of this identity and still in the store."""
        from mlflow.exceptions import MlflowException

        try:
            side = read_json(self._file, RUN)
            if side["identity"] != self._identity:
                return None
            run = client.get_run(side["run_id"])
            last_steps = {str(name): int(step) for name, step in side["last_steps"].items()}
        except (TwinError, KeyError, AttributeError, MlflowException):
            # No file, a broken one, or a store that was deleted: a new run takes its place.
            return None
        if run.info.lifecycle_stage != "active" or run.info.experiment_id != experiment_id:
            return None
        self._last_steps = last_steps
        return run

    def _remember(self) -> None:
        side = {"run_id": self.run_id, "identity": self._identity, "last_steps": self._last_steps}
        write_json(self._file, RUN, side)

    def _metrics(self, row: Mapping[str, Any], curve: str = "") -> "list[Metric]":
        from mlflow.entities import Metric

        step = int(row["step"])
        # An integer of milliseconds that depends on the row alone.
        moment = self._start_time + int(1000 * row["cpu_seconds"] if _is_number(row.get("cpu_seconds")) else step)
        numbers = ((key, value) for key, value in row.items() if key not in ("step", "seed") and _is_number(value))
        return [Metric(curve + key, float(value), moment, step) for key, value in numbers]

    def _guarded(self, what: str, action: "Callable[[MlflowClient, str], None]") -> None:
        if self._client is None or self.run_id is None:
            return
        try:
            action(self._client, self.run_id)
        except Exception as error:
            self._give_up(f"{what} cannot be logged to the store {self._uri}", error)

    def _give_up(self, what: str, error: Exception) -> None:
        self._client = None
        if self._strict:
            raise _failure(what, error) from error
        warnings.warn(f"{_failure(what, error)} Going on without logging: no result is lost.", stacklevel=4)


def start(
    uri: str,
    experiment: str,
    run_name: str,
    run_id_file: Path,
    identity: str,
    tags: Mapping[str, str] | None = None,
    strict: bool = True,
    started: int | None = None,
) -> Run:
    """Resume the run that `run_id_file` names, or start one in the experiment, and note it there.

    `identity` is a digest of what the run is about: another identity in the file, or a run that the store no longer
    has, means a new run, which began at `started`, in milliseconds since 1970, or now. Where the store fails, `strict`
    raises `TrackingError`; else the returned run logs nothing.
    """
    run = Run(uri, run_id_file, identity, strict)
    try:
        run._open(experiment, run_name, tags or {}, started)
    except Exception as error:
        run._give_up(f"the run {run_name} of {experiment} cannot be started in the store {uri}", error)
    return run


def exists(uri: str) -> bool:
    """Whether there may be a store: a database that is no file yet is none, and asking MLflow would make it."""
    database = _database(uri)
    return database is None or database.is_file()


def held(uri: str, run_id: str, experiment: str) -> bool:
    """Whether the store holds a run that has ended well, in the experiment of that name."""
    from mlflow.exceptions import MlflowException

    client = client_of(uri)
    try:
        info = client.get_run(run_id).info
        found = client.get_experiment(info.experiment_id)
    except MlflowException:
        return False
    active = info.lifecycle_stage == found.lifecycle_stage == "active"
    return bool(active and info.status == "FINISHED" and found.name == experiment)


def client_of(uri: str) -> "MlflowClient":
    """MLflow's own way into a store. With a database that is no file yet it makes one: ask `exists` first."""
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Here and not above: the import takes seconds, and a run that is not tracked need not wait for it.
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _make_database(database: Path) -> None:
    # A schema that was made by half is broken for good, so it is made aside; it takes about ten seconds.
    database.parent.mkdir(parents=True, exist_ok=True)
    aside = database.with_name(f".{database.name}.{os.getpid()}.part")
    aside.unlink(missing_ok=True)
    try:
        client_of(_SQLITE + str(aside)).search_experiments(max_results=1)
        aside.replace(database)
    finally:
        aside.unlink(missing_ok=True)


def _make_experiment(client: "MlflowClient", name: str, artifacts: Path, local: bool) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        place = (artifacts / name).absolute().as_uri() if local else None
        return str(client.create_experiment(name, artifact_location=place))
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _curves(rows: Sequence[Mapping[str, Any]], several: bool) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by what stands in front of their metrics' names."""
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        curves.setdefault(f"seed-{row['seed']}/" if several else "", []).append(row)
    return curves


def _batches(rows: "Sequence[tuple[int, list[Metric]]]") -> "Iterator[tuple[list[Metric], int]]":
    """The metrics of whole rows in batches that MLflow takes at once, each with its last step."""
    batch: list[Metric] = []
    last = -1
    for step, metrics in rows:
        if batch and len(batch) + len(metrics) > BATCH:
            yield batch, last
            batch = []
        batch = batch + metrics
        last = step
    if last >= 0:
        yield batch, last


def _flat(content: Mapping[str, Any], separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, separator, f"{prefix}{key}{separator}")
        else:
            yield f"{prefix}{key}", value


def _is_number(value: object) -> bool:
    # NumPy's scalars are no numbers to isinstance, but know how to become one.
    if value is None or isinstance(value, str | bool):
        return False
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _failure(what: str, error: Exception) -> TrackingError:
    if isinstance(error, TrackingError):
        return error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return TrackingError(
        f"{what} ({reason}). Check `tracking.uri` and MLFLOW_TRACKING_URI, or set `tracking.enabled: false`."
    )
