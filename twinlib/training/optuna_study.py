"""The study of a search: an Optuna journal shared by several worker processes, any of which may be killed.

The worker of a trial holds a file lock, which the system releases when the process dies. A running trial with a free
lock is an orphan, and the next worker continues it: no trial is lost, repeated or declared dead by timeout. Optuna's
heartbeat is no alternative: it needs an SQL storage, waits for a grace period, and replaces the trial by a new trial.
Workers on several machines need a file system with locks, such as NFS 4.
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

STARTUP_TRIALS = 10
"""Random trials before the TPE sampler takes over."""

MAX_DRAWS = 200
"""Maximum number of proposals until a network fits the limits."""

_OUTCOME = "outcome"
_RUNG = "rung {}"
_STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
}


class Claim:
    """A trial that this process runs; returned by `Study.claim`."""

    def __init__(self, trial: optuna.Trial, view: Trial) -> None:
        self._trial, self.trial = trial, view

    def add_rung(self, rung: Rung) -> None:
        """Add the result for the next budget."""
        index = len(self.trial.rungs)
        self._trial.set_user_attr(_RUNG.format(index), vars(rung))
        self._trial.report(rung.score, index)
        self.trial = replace(self.trial, rungs=(*self.trial.rungs, rung))

    def finish(self, outcome: Outcome) -> None:
        """Record the outcome."""
        self._trial.set_user_attr(_OUTCOME, outcome)
        value = self.trial.rungs[-1].score if outcome == "complete" else None
        self._trial.study.tell(self._trial, value, _STATES[outcome])
        self.trial = replace(self.trial, outcome=outcome)


class Study:
    """The study of a folder, created if missing.

    `first` holds the parameters of the first trial; `fits` returns whether a network is within the limits. `space`,
    `first` and `fits` must be the same whenever a folder is opened.
    """

    def __init__(
        self, folder: Path, space: Space, first: Parameters, fits: Callable[[Parameters], bool], seed: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._space, self._first, self._fits, self._seed = folder, space, first, fits, seed
        journal = folder / "study.journal"
        with file_lock(self._lock):
            # Optuna's base class of locks is not public; its interface is `acquire` and `release`.
            backend = JournalFileBackend(str(journal), lock_obj=cast(Any, _JournalLock(journal)))
            self._study = optuna.create_study(
                storage=JournalStorage(backend), study_name="search", direction="minimize", load_if_exists=True
            )

    @property
    def _lock(self) -> Path:
        return self._folder / "study.lock"

    def trials(self, limit: int) -> list[Trial]:
        """Return the started trials among the first `limit`, by number."""
        started = [frozen for frozen in self._history()[:limit] if frozen.state != TrialState.WAITING]
        return [_to_trial(frozen) for frozen in started if len(frozen.params) == len(Parameters.model_fields)]

    def rival_scores(self, trial: Trial, index: int) -> list[float]:
        """Return the scores of all other trials with the budget of this index."""
        others = [frozen for frozen in self._history() if frozen.number != trial.number]
        return [frozen.intermediate_values[index] for frozen in others if index in frozen.intermediate_values]

    @contextmanager
    def claim(self, limit: int) -> Iterator[Claim | None]:
        """Claim one of the first `limit` trials for the duration of the context; None if all are taken.

        Orphans, possibly with some budgets done, come before new trials.
        """
        with ExitStack() as locks:
            with file_lock(self._lock):
                trial = self._claim_orphan(limit, locks) or self._claim_new(limit, locks)
                claim = None if trial is None else Claim(trial, self._with_parameters(trial))
            yield claim

    def _history(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _claim_orphan(self, limit: int, locks: ExitStack) -> optuna.Trial | None:
        for frozen in self._history()[:limit]:
            lock = file_lock(self._lock_path(frozen.number), wait=False)
            if frozen.state == TrialState.RUNNING and locks.enter_context(lock):
                return optuna.Trial(self._study, frozen._trial_id)
        return None

    def _claim_new(self, limit: int, locks: ExitStack) -> optuna.Trial | None:
        history = self._history()
        if not any(frozen.state == TrialState.WAITING for frozen in history):
            if len(history) >= limit:
                return None
            proposed = propose(history, self._space, self._fits, self._seed) if history else {}
            self._study.enqueue_trial(_encode(self._first) | proposed)
        trial = self._study.ask()
        locks.enter_context(file_lock(self._lock_path(trial.number)))
        return trial

    def _with_parameters(self, trial: optuna.Trial) -> Trial:
        # Suggesting returns the enqueued values and records them in the journal.
        for name, distribution in distributions(self._space).items():
            _suggest(trial, name, distribution)
        return _to_trial(next(frozen for frozen in self._history() if frozen.number == trial.number))

    def _lock_path(self, number: int) -> Path:
        return self._folder / "trials" / f"{number}.lock"


def propose(
    history: Sequence[FrozenTrial], space: Space, fits: Callable[[Parameters], bool], seed: int
) -> dict[str, Any]:
    """Propose the parameters of the next trial: a pure function of the history, running trials included, and the seed.

    Multivariate tree-structured Parzen estimator (Bergstra et al. 2011). Running trials count as bad, so that workers
    explore different points. Networks over the limits also count as bad and are redrawn; if none fits in `MAX_DRAWS`,
    only recipe parameters are returned.
    """
    scratch = optuna.create_study(direction="minimize")
    scratch.add_trials(history)
    proposed: dict[str, Any] = {}
    for draw in range(MAX_DRAWS):
        state = np.random.SeedSequence([seed, len(history), draw]).generate_state(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            scratch.sampler = TPESampler(
                n_startup_trials=STARTUP_TRIALS + draw,
                seed=int(state[0]),
                multivariate=True,
                group=True,
                constant_liar=True,
            )
        trial = scratch.ask()
        proposed = {name: _suggest(trial, name, range_) for name, range_ in distributions(space).items()}
        if fits(_decode(proposed)):
            return proposed
        scratch.tell(trial, state=TrialState.PRUNED)
    return {name: value for name, value in proposed.items() if name not in NETWORK}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each parameter; dilations are text, because a choice cannot be a list."""
    return {
        "channels": CategoricalDistribution(space.channels),
        "kernel_size": CategoricalDistribution(space.kernel_size),
        "dilations": CategoricalDistribution([_join(dilations) for dilations in space.dilations]),
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


def _join(dilations: Sequence[int]) -> str:
    return " ".join(map(str, dilations))


def _encode(parameters: Parameters) -> dict[str, Any]:
    return parameters.model_dump() | {"dilations": _join(parameters.dilations)}


def _decode(content: dict[str, Any]) -> Parameters:
    dilations = tuple(int(word) for word in content["dilations"].split())
    return Parameters.model_validate({**content, "dilations": dilations})


def _to_trial(frozen: FrozenTrial) -> Trial:
    count = len(frozen.intermediate_values)
    rungs = tuple(Rung(**frozen.user_attrs[_RUNG.format(index)]) for index in range(count))
    outcome = frozen.user_attrs[_OUTCOME] if frozen.state.is_finished() else "running"
    return Trial(frozen.number, _decode(frozen.params), rungs, cast(Outcome, outcome))


class _JournalLock:
    """A file lock that the system releases when its holder dies; Optuna's own lock blocks others for 30 s.

    Acquisition removes an incomplete last line, such as after a kill or on a full disk.
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
