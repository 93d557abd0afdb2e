"""The search for a network and a recipe: many trials trained for a short time, the best of them for longer.

Each budget is a whole training from the first weights, with its own warm-up and decay: its error is what that budget
gives, so that trials are compared as they would be used. To go on from the state before the decay would save an eighth
of the processor time (with budgets that grow threefold a trial costs 60 s in place of 52 s on average), and cost a
second kind of training that nothing else uses.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.errors import DatasetError, DivergedError, TrainingError
from twinlib.model.architecture import Architecture, Network
from twinlib.progress import Progress, no_progress
from twinlib.training.data import TrainingData
from twinlib.training.search_settings import Parameters, Search
from twinlib.training.settings import Training
from twinlib.training.trials import Rung, Trial

if TYPE_CHECKING:
    from twinlib.training.optuna_study import Claim, Study


COUNTS = {"trials", "workers"}
"""The settings of a search that may change while its study goes on."""

REDUCTION = 3
"""One trial of so many goes on to the next budget."""

DataFor = Callable[[Network, Training], TrainingData]
"""The dataset cut for a network and a recipe."""


def identity_of(code: str, dataset: str, search: Search, base: Architecture, training: Training) -> str:
    """What a study is about; another number of trials or workers, or another final budget, is the same study."""
    content = [
        code,
        dataset,
        search.model_dump(mode="json", exclude=COUNTS),
        base.model_dump(mode="json"),
        training.model_dump(mode="json", exclude={"steps", "cpu_seconds"}),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def study_folder(results: Path, identity: str) -> Path:
    """Where a study lies among the results of its search; another identity, another study, and the old one stays."""
    return results / f"study-{identity[:12]}"


def open_study(folder: Path, search: Search, base: Architecture, training: Training) -> "Study":
    """The study of a folder, made if there is none; raises `TrainingError` if Optuna is not installed."""
    try:
        from twinlib.training.optuna_study import Study
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise TrainingError(
            "A search needs Optuna, which is not installed: install the extra `search` (`pip install -e '.[search]'`)"
        ) from None
    first, space = Parameters.of(base, training), search.space
    if training.optimiser == "adamw":
        # Muon's rate changes nothing then: what is drawn for it would only mislead what learns from the trials.
        space = space.model_copy(update={"muon_rate": (training.muon_rate, training.muon_rate)})
    return Study(folder, space, first, lambda found: search.fits(found.network(base)), search.seed)


@dataclass(frozen=True)
class Task:
    """What workers of a search share."""

    search: Search
    """How it searches."""
    base: Architecture
    """What it varies."""
    training: Training
    """The recipe that it varies; its budget is not used."""
    data_for: DataFor
    """What it trains on."""
    folder: Path
    """Where trials keep their checkpoints."""
    identity: str
    """The digest of the code."""


def work(
    study: "Study", task: Task, on_trial: Callable[[Trial], None] = lambda trial: None, progress: Progress = no_progress
) -> None:
    """Run trials until the study has as many as it is to have, or others run the last of them.

    Any number of processes may do so at once, and each may be killed at any instant: the next one goes on with its
    trial. `on_trial` gets a trial when it begins, after each budget and when it ends, some of it twice after a kill;
    `progress` counts trials. A training that diverges ends its trial only; other errors of `train` and of the data are
    raised, and the trial is left for the next process.
    """
    # A network that looks less far than the guard, or further than the segments reach, must not stop it half-way.
    _check_reach(task)
    reported, limit = 0, task.search.trials
    while True:
        with study.claim(limit) as claim:
            if claim is None:
                break
            place = task.folder / "trials" / str(claim.trial.number)
            _run(study, claim, task, place, on_trial)
            shutil.rmtree(place, ignore_errors=True)
            ended = claim.trial
        finished = sum(trial.outcome != "running" for trial in study.trials(limit))
        progress(finished - reported, f"trial {ended.number} {ended.outcome}, ESR {ended.rungs[-1].valid_esr:.3%}")
        reported = finished


def _run(study: "Study", claim: "Claim", task: Task, place: Path, on_trial: Callable[[Trial], None]) -> None:
    # Who only reads what a search has found needs no torch.
    from twinlib.training.loop import train

    network, budgets = claim.trial.parameters.network(task.base).network, task.search.budgets
    on_trial(claim.trial)
    for index, budget in enumerate(budgets):
        if index >= len(claim.trial.rungs):
            settings = claim.trial.parameters.trial(task.training, **budget)
            name = f"trial {claim.trial.number}"
            try:
                data = task.data_for(network, settings)
                trained = train(data, network, settings, place / str(index), task.identity, model_name=name)
                claim.add(Rung(trained.valid_esr, trained.steps, trained.cpu_seconds))
            except DivergedError:
                claim.add(Rung(1.0, diverged=True))
            on_trial(claim.trial)
        if claim.trial.rungs[index].diverged:
            claim.end("diverged")
            break
        if index + 1 == len(budgets):
            claim.end("complete")
        elif not goes_on(claim.trial.rungs[index].score, study.rivals(claim.trial, index)):
            claim.end("pruned")
            break
    on_trial(claim.trial)


def goes_on(score: float, rivals: Sequence[float]) -> bool:
    """Whether a trial is among the best third of those that have had its budget; the best so far always is.

    Asynchronous successive halving (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020), as a
    function of the results alone: asked again after a kill it says the same, where Optuna's pruner would not.
    """
    return sum(rival < score for rival in rivals) < max(1, (len(rivals) + 1) // REDUCTION)


def finished_trials(study: "Study", search: Search) -> list[Trial]:
    """All trials that the search is to have; raises `TrainingError` if some are not finished."""
    finished = [trial for trial in study.trials(search.trials) if trial.outcome != "running"]
    if len(finished) < search.trials:
        raise TrainingError(
            f"Only {len(finished)} of the {search.trials} trials are finished, for a worker was stopped: delete its "
            "file `worker-*.json` and run again"
        )
    return finished


def _check_reach(task: Task) -> None:
    """Try to cut the data for the networks of the search that look least and furthest; the error names them."""
    space = task.search.space
    entries = [
        task.base.model_copy(update={"kernel_size": kernel_size, "dilations": dilations})
        for kernel_size in (min(space.kernel_size), max(space.kernel_size))
        for dilations in space.dilations
    ]
    # The base is one of them: it fits, or the configuration would have been refused.
    found = [entry for entry in [task.base, *entries] if task.search.reaches(entry)]
    for choose in (min, max):
        entry = choose(found, key=lambda entry: entry.network.receptive_field)
        try:
            task.data_for(entry.network, task.training)
        except DatasetError as error:
            words = f"kernel_size {entry.kernel_size} with dilations {list(entry.dilations)}"
            raise DatasetError(f"The space of the search allows {words}. {error}") from None
