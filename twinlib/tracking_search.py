"""A search in MLflow: a run for the study and, below it, one for each trial."""

from pathlib import Path

from twinlib.files import locked
from twinlib.tracking import Run, start
from twinlib.training.trials import Trial

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow puts a run below another."""


def start_study(uri: str, device: str, search: str, folder: Path, identity: str, strict: bool = True) -> Run:
    """Resume or start the run of a study, whose id is kept in `folder`; workers that begin together take turns."""
    with locked(folder / "study.lock"):
        tags = {"device": device, "search": search}
        return start(uri, device, search, folder / "study.json", identity, tags, strict)


def log_trial(
    uri: str, device: str, parent: Run, folder: Path, identity: str, trial: Trial, strict: bool = True
) -> None:
    """Log what is known of a trial: what it tried, a metric a budget, how it ended. It may be repeated.

    The step of a metric is the number of the budget, counted from 1. Nothing is logged if the study has no run.
    """
    if parent.run_id is None:
        return
    tags = {PARENT: parent.run_id, "device": device, "outcome": trial.outcome}
    name = f"trial {trial.number}"
    run = start(uri, device, name, folder / f"{trial.number}.json", f"{identity} {parent.run_id}", tags, strict)
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
        run.finish("FAILED" if trial.outcome == "diverged" else "FINISHED")
