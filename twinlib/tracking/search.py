"""A hyperparameter search in MLflow: one parent run for the study and a child run for each trial."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinlib.contracts import TRIALS, WORKER
from twinlib.files import file_lock, read_json, read_table
from twinlib.tracking.names import run_name
from twinlib.tracking.runs import Run, start_run
from twinlib.training import COUNTS, Search, Trial, best_trial, from_table, study_folder

PARENT = "mlflow.parentRunId"
"""The tag that makes a run the child of another in MLflow."""


def start_study(
    uri: str,
    device: str,
    search: str,
    folder: Path,
    identity: str,
    strict: bool = True,
    start_time_ms: int | None = None,
) -> Run:
    """Start or resume the run of a study. Its id is stored in `folder`; a lock serialises concurrent workers."""
    with file_lock(folder / "study.lock"):
        tags = {"device": device, "search": search}
        return start_run(
            uri, device, run_name(device, search), folder / "study.json", identity, tags, strict, start_time_ms
        )


def log_trial(
    uri: str,
    device: str,
    parent: Run,
    folder: Path,
    identity: str,
    trial: Trial,
    strict: bool = True,
    period_ms: tuple[int | None, int | None] = (None, None),
) -> None:
    """Log a trial: its parameters, one metric row per budget, its outcome. Idempotent.

    The step of a metric is the index of the budget, counted from 1. Logs nothing if the study has no run.
    `period_ms` is the start and end of a new run in milliseconds since 1970, by default now.
    """
    if parent.run_id is None:
        return
    tags = {PARENT: parent.run_id, "device": device, "outcome": trial.outcome}
    name = run_name(device, f"trial {trial.number}")
    side, trial_identity = folder / f"{trial.number}.json", f"{identity} {parent.run_id}"
    run = start_run(uri, device, name, side, trial_identity, tags, strict, period_ms[0])
    run.log_params(trial.parameters.model_dump())
    run.log_curve(
        [
            {
                "step": index,
                "valid_esr": rung.valid_esr,
                "log10_valid_esr": rung.score,
                "steps": rung.steps,
                "cpu_seconds": rung.cpu_seconds,
            }
            for index, rung in enumerate(trial.rungs, 1)
        ]
    )
    if trial.outcome != "running":
        run.finish("FAILED" if trial.outcome == "diverged" else "FINISHED", period_ms[1])


def log_search(
    uri: str,
    search: str,
    settings: Search,
    workers: Sequence[Path],
    trials: Path,
    files: Sequence[Path],
    period_ms: tuple[int | None, int | None] = (None, None),
) -> dict[str, Any]:
    """Log a finished search, or the missing part of its runs; return the content of its `run.json`.

    `workers` identify the study, `trials` is the table of trials, `files` become artifacts. `period_ms` is the start
    and end of new runs in milliseconds since 1970, by default now. Raises `TrackingError` if the store fails.
    """
    identity, device = read_json(workers[0], WORKER)["identity"], settings.device
    folder = study_folder(trials.parent, identity) / "runs"
    parent = start_study(uri, device, search, folder, identity, start_time_ms=period_ms[0])
    # A study can be extended, so the number of trials is not one of its parameters.
    parent.log_params({"search": settings.model_dump(mode="json", exclude=COUNTS)})
    logged = from_table(read_table(trials, TRIALS))
    for trial in logged:
        log_trial(uri, device, parent, folder, identity, trial, period_ms=period_ms)
    best = best_trial(logged)
    metrics = {"valid_esr": best.rungs[-1].valid_esr, "best_trial": best.number, "trials": len(logged)}
    parent.log_metrics(metrics, period_ms[1])
    parent.log_files([trials, *files])
    parent.finish(timestamp_ms=period_ms[1])
    return {"experiment": device, "run_id": parent.run_id, "identity": identity}
