"""Search for a network and a recipe: many trials with a small budget, the best of them with larger budgets.

Each budget is a complete training with its own warm-up and decay, so that trials are compared by the error of a
finished training. Resuming from the state before the decay would save an eighth of the CPU time (52 s instead of 60 s
per trial on average, with budgets that triple), but would need a second kind of training.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.errors import DatasetError, DivergedError, TrainingError
from twinlib.extras import describe_missing_modules
from twinlib.model import Architecture, Network
from twinlib.progress import Progress, no_progress
from twinlib.training.data import TrainingData
from twinlib.training.search_settings import Parameters, Search
from twinlib.training.settings import Training
from twinlib.training.trials import Rung, Trial

if TYPE_CHECKING:
    from twinlib.training.optuna_study import Claim, Study

COUNTS = {"trials", "workers"}
"""Settings of a search that may change without starting a new study."""

REDUCTION = 3
"""Ratio of the trials with a budget to the trials promoted to the next budget."""

MakeData = Callable[[Network, Training], TrainingData]
"""Returns the dataset for a network and a recipe."""


def study_identity(code: str, dataset: str, search: Search, base: Architecture, training: Training) -> str:
    """Return the identity of a study; independent of the numbers of trials and workers and of the final budget."""
    content = [
        code,
        dataset,
        search.model_dump(mode="json", exclude=COUNTS),
        base.model_dump(mode="json"),
        training.model_dump(mode="json", exclude={"steps", "cpu_seconds"}),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def study_folder(results: Path, identity: str) -> Path:
    """Return the folder of a study in the results of its search; other identities have other folders."""
    return results / f"study-{identity[:12]}"


def open_study(folder: Path, search: Search, base: Architecture, training: Training) -> "Study":
    """Open or create the study of a folder; raise `TrainingError` if Optuna is not installed."""
    try:
        from twinlib.training.optuna_study import Study
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise TrainingError(describe_missing_modules(["optuna"])) from None
    first, space = Parameters.from_base(base, training), search.space
    if training.optimiser == "adamw":
        # Without Muon its rate has no effect; random values would mislead the sampler.
        space = space.model_copy(update={"muon_rate": (training.muon_rate, training.muon_rate)})
    return Study(folder, space, first, lambda found: search.fits(found.network(base)), search.seed)


@dataclass(frozen=True)
class SearchTask:
    """Settings and data that the workers of a search share."""

    search: Search
    """Settings of the search."""
    base: Architecture
    """Network to vary."""
    training: Training
    """Recipe to vary; its budget is not used."""
    make_data: MakeData
    """Training data."""
    folder: Path
    """Folder of the trials' checkpoints."""
    identity: str
    """Digest of the code."""


def run_worker(
    study: "Study",
    task: SearchTask,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    progress: Progress = no_progress,
) -> None:
    """Run trials until the study has all of them, or until other workers run the last trials.

    Any number of processes may run at once, and each may be killed at any time: the next process continues its trial.
    `on_trial` receives a trial at its start, after each budget and at its end; calls may repeat after a kill;
    `progress` counts trials. A divergent training ends its trial only. Other errors of `train` and of the data
    propagate, and the trial is left to the next process.
    """
    _check_receptive_fields(task)
    reported, limit = 0, task.search.trials
    while True:
        with study.claim(limit) as claim:
            if claim is None:
                break
            folder = task.folder / "trials" / str(claim.trial.number)
            _run_trial(study, claim, task, folder, on_trial)
            shutil.rmtree(folder, ignore_errors=True)
            ended = claim.trial
        finished = sum(trial.outcome != "running" for trial in study.trials(limit))
        progress(finished - reported, f"trial {ended.number} {ended.outcome}, ESR {ended.rungs[-1].valid_esr:.3%}")
        reported = finished


def _run_trial(
    study: "Study", claim: "Claim", task: SearchTask, folder: Path, on_trial: Callable[[Trial], None]
) -> None:
    # Imported here: readers of the results of a search need no torch.
    from twinlib.training.loop import train

    network, budgets = claim.trial.parameters.network(task.base).network, task.search.budgets
    on_trial(claim.trial)
    for index, budget in enumerate(budgets):
        if index >= len(claim.trial.rungs):
            settings = claim.trial.parameters.trial_settings(task.training, **budget)
            name = f"trial {claim.trial.number}"
            try:
                data = task.make_data(network, settings)
                trained = train(data, network, settings, folder / str(index), task.identity, model_name=name)
                claim.add_rung(Rung(trained.valid_esr, trained.steps, trained.cpu_seconds))
            except DivergedError:
                claim.add_rung(Rung(1.0, diverged=True))
            on_trial(claim.trial)
        if claim.trial.rungs[index].diverged:
            claim.finish("diverged")
            break
        if index + 1 == len(budgets):
            claim.finish("complete")
        elif not is_promoted(claim.trial.rungs[index].score, study.rival_scores(claim.trial, index)):
            claim.finish("pruned")
            break
    on_trial(claim.trial)


def is_promoted(score: float, rivals: Sequence[float]) -> bool:
    """Whether a trial is among the best third of all trials with its budget; the best trial so far always is.

    Asynchronous successive halving (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020) as a
    pure function of the results, so that the decision is the same after a kill, unlike that of Optuna's pruner.
    """
    return sum(rival < score for rival in rivals) < max(1, (len(rivals) + 1) // REDUCTION)


def finished_trials(study: "Study", search: Search) -> list[Trial]:
    """Return all trials of the search; raise `TrainingError` if some are not finished."""
    finished = [trial for trial in study.trials(search.trials) if trial.outcome != "running"]
    if len(finished) < search.trials:
        raise TrainingError(
            f"Only {len(finished)} of the {search.trials} trials are finished: a worker was stopped. Delete its file "
            "`worker-*.json` and run again"
        )
    return finished


def _check_receptive_fields(task: SearchTask) -> None:
    """Create the data for the shortest and the longest receptive field, so that a search fails early, at its start."""
    space = task.search.space
    entries = [
        task.base.model_copy(update={"kernel_size": kernel_size, "dilations": dilations})
        for kernel_size in (min(space.kernel_size), max(space.kernel_size))
        for dilations in space.dilations
    ]
    # The base is within the limits: the configuration has been checked.
    allowed = [entry for entry in [task.base, *entries] if task.search.fits_receptive_field(entry)]
    for choose in (min, max):
        entry = choose(allowed, key=lambda entry: entry.network.receptive_field)
        try:
            task.make_data(entry.network, task.training)
        except DatasetError as error:
            layers = f"kernel_size {entry.kernel_size} with dilations {list(entry.dilations)}"
            raise DatasetError(f"The space of the search allows {layers}. {error}") from None
