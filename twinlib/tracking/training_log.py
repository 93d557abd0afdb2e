"""Logging of the learning curve while a training runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twinlib.contracts import DATASET
from twinlib.errors import TwinError
from twinlib.files import read_json
from twinlib.tracking.names import network_params, run_name
from twinlib.tracking.runs import Run, run_identity, start_run
from twinlib.tracking.settings import Tracking
from twinlib.tracking.store import store_uri
from twinlib.training import Row, TrainingRun, noop_rows


@contextmanager
def log_training(tracking: Tracking, results: Path, training: TrainingRun) -> Iterator[Callable[[list[Row]], None]]:
    """Log a training to MLflow. The context value is the callback `on_rows` for `run_training`.

    The run starts, or resumes, at the first call, so that a training with unusable data creates no run. `results` is
    the results folder. A failing store does not stop the training.
    """
    if not tracking.enabled:
        yield noop_rows
        return
    run: Run | None = None

    def log_rows(rows: list[Row]) -> None:
        nonlocal run
        run = run or _start(tracking, results, training)
        run.log_curve(rows, by_seed=training.settings.seeds > 1)
        if rows:
            run.log_system_metrics(rows[-1])

    try:
        yield log_rows
    except BaseException as error:
        if run is not None:
            run.finish("FAILED" if isinstance(error, TwinError) else "KILLED")
        raise


def _start(tracking: Tracking, results: Path, training: TrainingRun) -> Run:
    network, settings = training.architecture, training.settings
    identity = run_identity(
        training.identity,
        read_json(training.dataset, DATASET)["digest"],
        network.model_dump_json(),
        settings.model_dump_json(),
        training.warm_start.sha256 if training.warm_start else "",
    )
    run_id_file, uri = training.checkpoints / "run.json", store_uri(tracking, results)
    name = run_name(training.device, training.model)
    run = start_run(uri, training.device, name, run_id_file, identity, strict=False)
    run.log_params({"network": network_params(network), "training": settings.model_dump(mode="json")})
    return run
