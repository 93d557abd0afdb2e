"""MLflow logging: one experiment per device, one run per twin.

MLflow never holds the only copy: learning curves, metrics and figures are files in the results folder, and
`twin audit mlflow` rebuilds a lost store from them. Metrics are logged in batches, and a killed run is resumed instead
of duplicated.
"""

import getpass
import json
import math
import secrets
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from twinlib.contracts import RUN
from twinlib.errors import TrackingUnreachableError, TwinError
from twinlib.files import file_lock, read_json, sha256_bytes, write_json
from twinlib.tracking.outage import is_outage, store_error
from twinlib.tracking.store import STORE_LOCK, database_path, make_experiment, open_client, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH = 1000
"""MLflow's limit of metric values per call. A full batch takes 0.2 s, a call per value a hundred times as long."""

_PARAMS_PER_BATCH = 100
_PARAM_LENGTH = 6000
_DIGEST_LENGTH = 32
_TOKEN = "run.token"


def run_identity(code: str, dataset: str, network: str, settings: str, start: str = "") -> str:
    """Return the identity of a training run: a sha256 over code digest, dataset digest, network and settings (JSON).

    `start` is the sha256 of the initial twin of a warm start, else empty.
    """
    return sha256_bytes("\0".join((code, dataset, network, settings, start)).encode())


class Run:
    """An open MLflow run, returned by `start_run`.

    If the store fails, a `strict` run raises `TrackingError`, or `TrackingUnreachableError` if a server does not answer
    or answers with a server error. Any other run warns, unless a process of this run of the workflow has warned of the
    server before, and stops logging, so that the training continues. `run_id` is None if there is no run to log to.
    """

    def __init__(self, uri: str, file: Path, identity: str, strict: bool) -> None:
        self._uri, self._file, self._identity, self._strict = uri, file, identity, strict
        self._client: MlflowClient | None = None
        self._start_time = 0
        self._last_steps: dict[str, int] = {}
        self.run_id: str | None = None

    @property
    def uri(self) -> str:
        """The store."""
        return self._uri

    def log(self, what: str, action: "Callable[[MlflowClient, str], None]") -> None:
        """Call `action` with a client and the id of the run; if the store fails, act as the class says."""
        self._guarded(what, action)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings; joins nested keys with dots and truncates values to 6000 characters. Idempotent."""

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Param

            flat = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in _flat(params, ".")]
            for start in range(0, len(flat), _PARAMS_PER_BATCH):
                client.log_batch(run_id, params=flat[start : start + _PARAMS_PER_BATCH])

        self._guarded("parameters", log)

    def log_curve(self, rows: Sequence[Mapping[str, Any]], by_seed: bool = False) -> None:
        """Log the rows of a learning curve: each has an integer `step`; its other finite numbers are metrics.

        With `by_seed`, each `seed` has its own curve, with metric names such as `seed-1/loss`. Skips rows up to
        the last logged step of a curve, also in a resumed run, so that the complete curve can be logged again at the
        end. The timestamp of a row is the start of the run plus its `cpu_seconds`. A row logged twice, such as before
        and after a kill, is therefore identical, and MLflow stores it once.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            for name, curve in _curves(rows, by_seed).items():
                before = self._last_steps.get(name, -1)
                new = sorted((row for row in curve if row["step"] > before), key=lambda row: row["step"])
                for batch, last in _batches([(int(row["step"]), self._metrics(row, name)) for row in new]):
                    client.log_batch(run_id, metrics=batch)
                    self._last_steps[name] = last
                    self._write_side_file()

        self._guarded("curves", log)

    def log_metrics(self, metrics: Mapping[str, Any], timestamp_ms: int | None = None) -> None:
        """Log final metrics. Joins nested keys with slashes (`splits/test/esr`); skips non-finite values.

        `timestamp_ms` is in milliseconds since 1970, by default the current time.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Metric

            logged, now = client.get_run(run_id).data.metrics, timestamp_ms or int(1000 * time.time())
            numbers = [(key, float(value)) for key, value in _flat(metrics, "/") if _is_finite_number(value)]
            new = [Metric(key, value, now, 0) for key, value in numbers if logged.get(key) != value]
            for start in range(0, len(new), BATCH):
                client.log_batch(run_id, metrics=new[start : start + BATCH])

        self._guarded("metrics", log)

    def log_system_metrics(self, row: Mapping[str, Any]) -> None:
        """Log the load of the machine and the memory of this process, at the step of a row of the learning curve.

        The names are those of MLflow's system metrics.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Metric

            now, step = int(1000 * time.time()), int(row["step"])
            client.log_batch(run_id, [Metric(name, value, now, step) for name, value in _system_metrics().items()])

        self._guarded("system metrics", log)

    def log_dataset(
        self,
        digest: str,
        name: str,
        source: Path,
        schema: Mapping[str, str] | None = None,
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        """Log the dataset: its sha256, its name, the path of its description, its columns and counts. Copies no data.

        `schema` maps columns to types; `profile` holds counts. MLflow limits digests to 36 characters, so
        `dataset.digest` holds the first 32; the tag `dataset.sha256` holds all 64.
        """

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            uri = json.dumps({"uri": str(source.absolute())})
            columns = [{"name": key, "type": str(kind), "required": True} for key, kind in (schema or {}).items()]
            dataset = Dataset(
                name=name,
                digest=digest[:_DIGEST_LENGTH],
                source_type="local",
                source=uri,
                schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
                profile=json.dumps(profile) if profile is not None else None,
            )
            tags = [InputTag("mlflow.data.context", "training"), InputTag("sha256", digest)]
            client.log_inputs(run_id, [DatasetInput(dataset, tags)])
            client.set_tag(run_id, "dataset.sha256", digest)

        self._guarded("the dataset", log)

    def log_files(self, paths: Sequence[Path], folder: str | None = None) -> None:
        """Copy small files (figures, clips, models, manifests; never shards) to the artifacts of the run."""

        def log(client: "MlflowClient", run_id: str) -> None:
            for path in paths:
                client.log_artifact(run_id, str(path), folder)

        self._guarded("files", log)

    def finish(
        self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED", timestamp_ms: int | None = None
    ) -> None:
        """Set the final status and the end time, by default now. A run can be resumed and finished again."""
        self._guarded("the status", lambda client, run_id: client.set_terminated(run_id, status, timestamp_ms))

    def _open(self, experiment: str, run_name: str, tags: Mapping[str, str], start_time_ms: int | None) -> None:
        database = database_path(self._uri)
        folder = database.parent if database is not None else self._file.parent
        with file_lock(folder / STORE_LOCK):
            client = open_store(self._uri)
            found = client.get_experiment_by_name(experiment)
            if found is None or found.lifecycle_stage != "active":
                made = make_experiment(client, experiment, folder / "artifacts", database is not None)
                found = client.get_experiment(made)
        run = self._resumed(client, found.experiment_id)
        if run is None:
            # The token finds the run again if this process dies before it notes the id.
            self._last_steps, token = {}, secrets.token_hex(16)
            self._write_side_file(token)
            tags = {**_mlflow_tags(), **tags, _TOKEN: token}
            run = client.create_run(found.experiment_id, start_time=start_time_ms, tags=tags, run_name=run_name)
        else:
            client.update_run(run.info.run_id, status="RUNNING", name=run_name)
            for key, value in tags.items():
                client.set_tag(run.info.run_id, key, value)
        self._client, self.run_id, self._start_time = client, run.info.run_id, run.info.start_time
        self._write_side_file()

    def _resumed(self, client: "MlflowClient", experiment_id: str) -> Any:
        """Return the run in the side file if it has this identity and is still in the store, else None.

        A run of another identity that its process has left unfinished is ended.
        """
        from mlflow.exceptions import MlflowException

        try:
            side = read_json(self._file, RUN)
            run = _find_run(client, experiment_id, side)
            last_steps = {str(name): int(step) for name, step in side["last_steps"].items()}
            same = side["identity"] == self._identity
        except (TwinError, KeyError, AttributeError, MlflowException) as error:
            if is_outage(self._uri, error):
                raise
            # The side file is missing or damaged, or the store was deleted: start a new run.
            return None
        if run is None or run.info.lifecycle_stage != "active" or run.info.experiment_id != experiment_id:
            return None
        if not same:
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")
            return None
        self._last_steps = last_steps
        return run

    def _write_side_file(self, token: str = "") -> None:
        side = {"run_id": self.run_id, "identity": self._identity, "last_steps": self._last_steps}
        write_json(self._file, RUN, side | ({"token": token} if token else {}))

    def _metrics(self, row: Mapping[str, Any], curve: str = "") -> "list[Metric]":
        from mlflow.entities import Metric

        step = int(row["step"])
        # The timestamp depends on the row alone.
        seconds: Any = row.get("cpu_seconds")
        time_ms = self._start_time + (int(1000 * seconds) if _is_finite_number(seconds) else step)
        values = ((key, value) for key, value in row.items() if key not in ("step", "seed"))
        return [Metric(curve + key, float(value), time_ms, step) for key, value in values if _is_finite_number(value)]

    def _guarded(self, what: str, action: "Callable[[MlflowClient, str], None]") -> None:
        if self._client is None or self.run_id is None:
            return
        try:
            action(self._client, self.run_id)
        except Exception as error:
            self._stop_logging(f"cannot log {what} to the MLflow store {self._uri}", error)

    def _stop_logging(self, what: str, error: Exception) -> None:
        self._client = None
        failure = store_error(what, error, self._uri)
        if self._strict:
            raise failure from error
        if not isinstance(failure, TrackingUnreachableError) or failure.is_news:
            warnings.warn(f"{failure} Continuing without MLflow: all results are in the results folder.", stacklevel=4)


def start_run(
    uri: str,
    experiment: str,
    run_name: str,
    run_id_file: Path,
    identity: str,
    tags: Mapping[str, str] | None = None,
    strict: bool = True,
    start_time_ms: int | None = None,
) -> Run:
    """Resume the run in `run_id_file`, or start a new run in the experiment and write its id to that file.

    `identity` is a digest of the content of the run. If the file has another identity, or if the run was deleted from
    the store, a new run starts at `start_time_ms` (milliseconds since 1970, by default now). Creates a missing store or
    experiment. If the store fails, `strict` raises `TrackingError`; otherwise the returned run logs nothing.
    """
    run = Run(uri, run_id_file, identity, strict)
    try:
        run._open(experiment, run_name, tags or {}, start_time_ms)
    except Exception as error:
        run._stop_logging(f"cannot start the run {run_name} of {experiment} in the MLflow store {uri}", error)
    return run


def log_if_reachable(log: Callable[[], dict[str, Any]], uri: str, experiment: str) -> dict[str, Any]:
    """Return the content of `run.json` from `log`, or one without a run if the server does not answer.

    Warns, unless a process of this run of the workflow has warned before. `find_unlogged_runs` finds the file later.
    """
    try:
        return log()
    except TrackingUnreachableError as error:
        if error.is_news:
            print(f"warning: {error} The run is not logged; the same command logs it later.", file=sys.stderr)
        return {"experiment": experiment, "run_id": None, "identity": ""}


def find_unlogged_runs(results: Path) -> list[Path]:
    """Return each `run.json` of a results folder that was written while the server did not answer, sorted."""
    paths = sorted((*results.glob("twins/*/*/run.json"), *results.glob("searches/*/run.json")))
    return [path for path in paths if not _names_a_run(path)]


def _names_a_run(path: Path) -> bool:
    try:
        return read_json(path, RUN).get("run_id", "") is not None
    except TwinError:
        # Damage is the business of the stage records.
        return True


def has_finished_run(uri: str, run_id: str, experiment: str) -> bool:
    """Whether the store holds this run, with status FINISHED, in the experiment of this name."""
    from mlflow.exceptions import MlflowException

    client = open_client(uri)
    try:
        info = client.get_run(run_id).info
        found = client.get_experiment(info.experiment_id)
    except MlflowException:
        return False
    active = info.lifecycle_stage == found.lifecycle_stage == "active"
    return bool(active and info.status == "FINISHED" and found.name == experiment)


def _mlflow_tags() -> dict[str, str]:
    """Return the tags by which MLflow shows who ran what."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may have no name for its user.
        user = ""
    tags = {"mlflow.user": user, "mlflow.source.name": program, "mlflow.source.type": "LOCAL"}
    return {name: value for name, value in tags.items() if value}


def _system_metrics() -> dict[str, float]:
    import psutil

    memory, process = psutil.virtual_memory(), psutil.Process()
    return {
        "system/cpu_utilization_percentage": float(psutil.cpu_percent()),
        "system/system_memory_usage_percentage": float(memory.percent),
        "system/process_memory_usage_megabytes": process.memory_info().rss / 1e6,
    }


def _find_run(client: "MlflowClient", experiment_id: str, side: Mapping[str, Any]) -> Any:
    """Return the run of a side file, which may hold only the token of a run that was about to be created; else None."""
    if side["run_id"] is not None:
        return client.get_run(side["run_id"])
    found = client.search_runs([experiment_id], f"tags.`{_TOKEN}` = '{side['token']}'", max_results=1)
    return found[0] if found else None


def _curves(rows: Sequence[Mapping[str, Any]], by_seed: bool) -> dict[str, list[Mapping[str, Any]]]:
    """Group rows by the prefix of their metric names."""
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        curves.setdefault(f"seed-{row['seed']}/" if by_seed else "", []).append(row)
    return curves


def _batches(rows: "Sequence[tuple[int, list[Metric]]]") -> "Iterator[tuple[list[Metric], int]]":
    """Yield batches of complete rows, at most `BATCH` metrics each, with the last step of the batch."""
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


def _is_finite_number(value: Any) -> bool:
    # NumPy scalars are not numbers for isinstance, but convert to float.
    if value is None or isinstance(value, str | bool):
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
