"""A search in MLflow: a run for the study and, below it, one for each trial."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinlib.contracts import TRIALS, WORKER
from twinlib.files import locked, read_json, read_table
from twinlib.tracking.runs import Run, start
from twinlib.training.search import COUNTS, study_folder
from twinlib.training.search_settings import Search
from twinlib.training.trials import Trial, best_trial, from_table

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow puts a run below another."""


def start_study(
    uri: str, device: str, search: str, folder: Path, identity: str, strict: bool = True, started: int | None = None
) -> Run:
    """Resume or start the run of a study, whose id is kept in `folder`; workers that begin together take turns."""
    with locked(folder / "study.lock"):
        tags = {"device": device, "search": search}
        return start(uri, device, search, folder / "study.json", identity, tags, strict, started)


def log_trial(
    uri: str,
    device: str,
    parent: Run,
    folder: Path,
    identity: str,
    trial: Trial,
    strict: bool = True,
    period: tuple[int | None, int | None] = (None, None),
) -> None:
    """Log what is known of a trial: what it tried, a metric a budget, how it ended. It may be repeated.

    The step of a metric is the number of the budget, counted from 1. Nothing is logged if the study has no run.
    `period` is when a new run began and ends, in milliseconds since 1970, where that is not now.
    """
    if parent.run_id is None:
        return
    tags = {PARENT: parent.run_id, "device": device, "outcome": trial.outcome}
    name = f"trial {trial.number}"
    side, about = folder / f"{trial.number}.json", f"{identity} {parent.run_id}"
    run = start(uri, device, name, side, about, tags, strict, period[0])
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
        run.finish("FAILED" if trial.outcome == "diverged" else "FINISHED", period[1])


def log_search(
    uri: str,
    search: str,
    settings: Search,
    workers: Sequence[Path],
    trials: Path,
    files: Sequence[Path],
    period: tuple[int | None, int | None] = (None, None),
) -> dict[str, Any]:
    """Log a finished search, or what is missing of its runs, and return the content of its `run.json`.

    `workers` say which study it was, `trials` is the table, `files` are copied beside it. `period` is when new runs
    began and end, in milliseconds since 1970, where that is not now. Raises `TrackingError` if the store fails.
    """
    identity, device = read_json(workers[0], WORKER)["identity"], settings.device
    folder = study_folder(trials.parent, identity) / "runs"
    parent = start_study(uri, device, search, folder, identity, started=period[0])
    # Trials may be added to a study, so their number is no parameter of it.
    parent.log_params({"search": settings.model_dump(mode="json", exclude=COUNTS)})
    found = from_table(read_table(trials, TRIALS))
    for trial in found:
        log_trial(uri, device, parent, folder, identity, trial, period=period)
    best = best_trial(found)
    numbers = {"valid_esr": best.rungs[-1].valid_esr, "best_trial": best.number, "trials": len(found)}
    parent.log_metrics(numbers, period[1])
    parent.log_files([trials, *files])
    parent.finish(moment=period[1])
    return {"experiment": device, "run_id": parent.run_id, "identity": identity}
