"""The memory of a search: an Optuna study in a journal that many processes share and any of them may leave, or die.

A trial is proposed from the history and written into the journal in one line; whoever runs it holds a lock on it, which
the system frees when the process dies. So a trial whose lock is free while it runs is an orphan, and the next process
goes on with it: no trial is lost or run twice, and none has to be declared dead after a time. Workers on several
machines need a file system that knows locks, as NFS 4 does.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from twinlib.files import file_lock
from twinlib.training.search_settings import NETWORK, Parameters, Space
from twinlib.training.trials import Outcome, Rung, Trial

STARTUP = 10
"""Trials that are drawn at random before the sampler learns from them."""

DRAWS = 200
"""Networks that are drawn at most until one is small enough."""

_OUTCOME = "outcome"
_RUNG = "rung {}"
_STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
}


class Claim:
    """A trial that this process runs; made by `Study.claim`."""

    def __init__(self, trial: optuna.Trial, view: Trial) -> None:
        self._trial, self.trial = trial, view

    def add(self, rung: Rung) -> None:
        """Write down how the trial did with the next budget."""
        index = len(self.trial.rungs)
        self._trial.set_user_attr(_RUNG.format(index), vars(rung))
        self._trial.report(rung.score, index)
        self.trial = replace(self.trial, rungs=(*self.trial.rungs, rung))

    def end(self, outcome: Outcome) -> None:
        """Write down how the trial ended."""
        self._trial.set_user_attr(_OUTCOME, outcome)
        value = self.trial.rungs[-1].score if outcome == "complete" else None
        self._trial.study.tell(self._trial, value, _STATES[outcome])
        self.trial = replace(self.trial, outcome=outcome)


class Study:
    """The study of a folder; made if there is none.

    `space` is what is tried, `first` the first trial, `fits` says of parameters whether their network is small enough;
    the three must be the same whenever a folder is opened.
    """

    def __init__(
        self, folder: Path, space: Space, first: Parameters, fits: Callable[[Parameters], bool], seed: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._space, self._first, self._fits, self._seed = folder, space, first, fits, seed
        journal = folder / "study.journal"
        with file_lock(self._lock):
            # Optuna's class for locks is not public; it asks no more of one than ours can.
            backend = JournalFileBackend(str(journal), lock_obj=cast(Any, _Lock(journal)))
            self._study = optuna.create_study(
                storage=JournalStorage(backend), study_name="search", direction="minimize", load_if_exists=True
            )

    @property
    def _lock(self) -> Path:
        return self._folder / "study.lock"

    def trials(self, limit: int) -> list[Trial]:
        """The first `limit` trials that have been begun, by number."""
        begun = [frozen for frozen in self._history()[:limit] if frozen.state != TrialState.WAITING]
        return [_view(frozen) for frozen in begun if len(frozen.params) == len(Parameters.model_fields)]

    def rivals(self, trial: Trial, index: int) -> list[float]:
        """The scores of the other trials at a budget, by its number."""
        others = [frozen for frozen in self._history() if frozen.number != trial.number]
        return [frozen.intermediate_values[index] for frozen in others if index in frozen.intermediate_values]

    @contextmanager
    def claim(self, limit: int) -> Iterator[Claim | None]:
        """A trial to run while the context lasts, one of the first `limit`; None if there is none that nobody runs.

        An orphan, of which some budgets may be done, goes before a new one.
        """
        with ExitStack() as held:
            with file_lock(self._lock):
                trial = self._orphan(limit, held) or self._new(limit, held)
                claim = None if trial is None else Claim(trial, self._begun(trial))
            yield claim

    def _history(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _orphan(self, limit: int, held: ExitStack) -> optuna.Trial | None:
        for frozen in self._history()[:limit]:
            if frozen.state == TrialState.RUNNING and held.enter_context(
                file_lock(self._of(frozen.number), wait=False)
            ):
                return optuna.Trial(self._study, frozen._trial_id)
        return None

    def _new(self, limit: int, held: ExitStack) -> optuna.Trial | None:
        history = self._history()
        if not any(frozen.state == TrialState.WAITING for frozen in history):
            if len(history) >= limit:
                return None
            found = propose(history, self._space, self._fits, self._seed) if history else None
            self._study.enqueue_trial(_encoded(self._first) | (found or {}))
        trial = self._study.ask()
        held.enter_context(file_lock(self._of(trial.number)))
        return trial

    def _begun(self, trial: optuna.Trial) -> Trial:
        # The values are those of the queue; asking for them writes them down.
        for name, distribution in distributions(self._space).items():
            _suggest(trial, name, distribution)
        return _view(next(frozen for frozen in self._history() if frozen.number == trial.number))

    def _of(self, number: int) -> Path:
        return self._folder / "trials" / f"{number}.lock"


def propose(
    history: Sequence[FrozenTrial], space: Space, fits: Callable[[Parameters], bool], seed: int
) -> dict[str, Any]:
    """What to try next: a function of the trials so far, running ones included, and the seed.

    The tree-structured Parzen estimator (Bergstra et al. 2011) over all parameters at once; what others are running
    counts as bad, so that two workers try different things. A network that is too large counts as bad and another is
    drawn. If after `DRAWS` none fits, only the recipe is returned.
    """
    scratch = optuna.create_study(direction="minimize")
    scratch.add_trials(history)
    found: dict[str, Any] = {}
    for draw in range(DRAWS):
        state = np.random.SeedSequence([seed, len(history), draw]).generate_state(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            scratch.sampler = TPESampler(
                n_startup_trials=STARTUP + draw, seed=int(state[0]), multivariate=True, group=True, constant_liar=True
            )
        trial = scratch.ask()
        found = {name: _suggest(trial, name, range_) for name, range_ in distributions(space).items()}
        if fits(_decoded(found)):
            return found
        scratch.tell(trial, state=TrialState.PRUNED)
    return {name: value for name, value in found.items() if name not in NETWORK}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What each parameter is drawn from; dilations as words, for a choice may not be a list."""
    return {
        "channels": CategoricalDistribution(space.channels),
        "kernel_size": CategoricalDistribution(space.kernel_size),
        "dilations": CategoricalDistribution([_words(dilations) for dilations in space.dilations]),
        "activation": CategoricalDistribution(space.activation),
        "muon_rate": FloatDistribution(*space.muon_rate, log=True),
        "adamw_rate": FloatDistribution(*space.adamw_rate, log=True),
        "batch": CategoricalDistribution(space.batch),
        "crop_samples": CategoricalDistribution(space.crop_samples),
        "preemphasis_weight": FloatDistribution(*space.preemphasis_weight),
    }


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _words(dilations: Sequence[int]) -> str:
    return " ".join(map(str, dilations))


def _encoded(parameters: Parameters) -> dict[str, Any]:
    return parameters.model_dump() | {"dilations": _words(parameters.dilations)}


def _decoded(content: dict[str, Any]) -> Parameters:
    dilations = tuple(int(word) for word in content["dilations"].split())
    return Parameters.model_validate({**content, "dilations": dilations})


def _view(frozen: FrozenTrial) -> Trial:
    count = len(frozen.intermediate_values)
    rungs = tuple(Rung(**frozen.user_attrs[_RUNG.format(index)]) for index in range(count))
    outcome = frozen.user_attrs[_OUTCOME] if frozen.state.is_finished() else "running"
    return Trial(frozen.number, _decoded(frozen.params), rungs, cast(Outcome, outcome))


class _Lock:
    """A lock that the system frees when its holder dies, in place of Optuna's, for which others wait half a minute.

    A line that a kill, or a full disk, has torn is cut off before the next one is written.
    """

    def __init__(self, journal: Path) -> None:
        self._journal, self._held = journal, ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(file_lock(self._journal.with_name("journal.lock")))
        with self._journal.open("rb+") as stream:
            size = stream.seek(0, 2)
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":
                    stream.seek(0)
                    stream.truncate(stream.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._held.close()
