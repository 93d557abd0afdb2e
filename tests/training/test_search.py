import random
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("optuna")

from tests.training.factories import MemoryData
from tests.training.search_program import (
    BASE,
    FIRST,
    RECIPE,
    SEARCH,
    SPACE,
    Diverging,
    make_data,
    run_search,
    task,
    timeless,
)
from tests.workflow.project import Program
from twinlib.errors import DatasetError, TrainingError
from twinlib.training.optuna_study import Study, propose
from twinlib.training.search import REDUCTION, finished_trials, is_promoted, open_study, run_worker, study_identity
from twinlib.training.trials import Rung, best_trial, trials_digest


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_search(tmp_path_factory.mktemp("whole"))


def test_base_is_the_first_trial_and_reaches_the_largest_budget(whole):
    assert whole[0].parameters == FIRST
    assert whole[0].outcome == "complete"


def test_all_trials_end_and_only_the_best_are_promoted(whole):
    assert [trial.number for trial in whole] == list(range(SEARCH.trials))
    assert {trial.outcome for trial in whole} == {"complete", "pruned"}
    for trial in whole:
        before = [rival for rival in whole if rival.number < trial.number]
        for index, rung in enumerate(trial.rungs):
            assert rung.steps == SEARCH.steps[index]
            rivals = [rival.rungs[index].score for rival in before if len(rival.rungs) > index]
            last = index + 1 == len(trial.rungs)
            pruned_here = last and trial.outcome == "pruned"
            if index + 1 < len(SEARCH.steps):
                assert is_promoted(rung.score, rivals) == (not pruned_here)
    assert all(len(trial.rungs) == len(SEARCH.steps) for trial in whole if trial.outcome == "complete")


def test_all_trials_are_in_the_search_space(whole):
    for trial in whole:
        for name in ("channels", "kernel_size", "dilations", "activation", "batch", "crop_samples"):
            assert getattr(trial.parameters, name) in getattr(SPACE, name)
        for name in ("muon_rate", "adamw_rate", "preemphasis_weight"):
            low, high = getattr(SPACE, name)
            assert low <= getattr(trial.parameters, name) <= high
    assert len({trial.parameters for trial in whole}) == len(whole)


def test_muon_rate_is_constant_for_adamw(tmp_path):
    adamw = RECIPE.model_copy(update={"optimiser": "adamw"})
    study = open_study(tmp_path, SEARCH, BASE, adamw)
    rates = []
    for _ in range(3):
        with study.claim(3) as claim:
            rates.append(claim.trial.parameters.muon_rate)
            claim.add_rung(Rung(0.5, 1, 1.0))
            claim.finish("complete")
    assert rates == [adamw.muon_rate] * 3


def test_trials_depend_on_the_seed_alone(tmp_path, whole):
    short = SEARCH.model_copy(update={"trials": 6})
    assert timeless(run_search(tmp_path / "same", short)) == timeless(whole[:6])
    other = run_search(tmp_path / "other", short.model_copy(update={"seed": 1}))
    assert other[0].parameters == whole[0].parameters
    assert all(mine.parameters != theirs.parameters for mine, theirs in zip(other[1:], whole[1:6], strict=True))


def test_more_trials_extend_a_study(tmp_path, whole):
    begun = []
    run_search(tmp_path, SEARCH.model_copy(update={"trials": 5}))
    found = run_search(tmp_path, SEARCH, on_trial=lambda trial: begun.append(trial.number))
    assert timeless(found) == timeless(whole)
    assert set(begun) == set(range(5, SEARCH.trials))


class Killed(BaseException):
    """Raised by a test to simulate a kill."""


def dying(count: int):
    """Data that raise `Killed` after `count` batches."""
    left = [count]

    class Dying(MemoryData):
        def batch(self, step):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return super().batch(step)

    return lambda network, recipe: Dying(network.receptive_field, recipe.batch, recipe.crop_samples)


@settings(max_examples=8, deadline=None)
@given(counts=st.lists(st.integers(0, 800), min_size=1, max_size=3))
def test_stopped_search_continues_with_the_same_trials(tmp_path_factory, whole, counts):
    folder, short = tmp_path_factory.mktemp("stopped"), SEARCH.model_copy(update={"trials": 4})
    for count in counts:
        try:
            run_search(folder, short, dying(count))
        except Killed:
            continue
    assert timeless(run_search(folder, short)) == timeless(whole[:4])


@pytest.mark.parametrize("which", range(3))
def test_stopped_trial_is_compared_at_each_budget(tmp_path, whole, which):
    """The errors from before the stop are compared with those of other trials at the same budget."""
    begun = []

    def stopping(network, settings):
        if settings.steps == SEARCH.steps[-1]:
            begun.append(network)
            if len(begun) == which + 1:
                raise Killed
        return make_data(network, settings)

    with pytest.raises(Killed):
        run_search(tmp_path, data=stopping)
    assert timeless(run_search(tmp_path)) == timeless(whole)


def worker(folder: Path, trials: int) -> Program:
    return Program([str(Path(__file__).with_name("search_program.py")), str(folder), str(trials)], folder)


@pytest.mark.slow
def test_killed_workers_are_replaced_with_the_same_trials(tmp_path, whole):
    generator, journal = random.Random(0), tmp_path / "study.journal"
    for _ in range(5):
        process, size = worker(tmp_path, SEARCH.trials), journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and (not journal.exists() or journal.stat().st_size <= size):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert timeless(run_search(tmp_path)) == timeless(whole)


@pytest.mark.slow
def test_workers_share_a_study_and_survive_a_kill(tmp_path):
    workers = [worker(tmp_path, SEARCH.trials) for _ in range(3)]
    while not (tmp_path / "trials" / "4.lock").exists():
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    for process in workers:
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), errors
    found = run_search(tmp_path)
    assert [trial.number for trial in found] == list(range(SEARCH.trials))
    assert all(trial.outcome != "running" for trial in found)
    assert len({trial.parameters for trial in found}) == len(found), "none is tried twice"
    assert found[0].parameters == FIRST


def test_running_trial_stays_with_its_worker(tmp_path):
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with study.claim(3) as mine, open_study(tmp_path, SEARCH, BASE, RECIPE).claim(3) as theirs:
        assert (mine.trial.number, theirs.trial.number) == (0, 1)
        assert mine.trial.parameters != theirs.trial.parameters
        with study.claim(2) as none:
            assert none is None
    with study.claim(2) as orphan:
        assert orphan.trial.number == 0


def test_results_of_an_orphan_are_kept(tmp_path):
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with study.claim(1) as mine:
        mine.add_rung(Rung(0.5, 4, 1.0))
        known = mine.trial
    with open_study(tmp_path, SEARCH, BASE, RECIPE).claim(1) as orphan:
        assert orphan.trial == known


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "wor', b"\x00" * 30, b"{"])
def test_torn_journal_line_is_removed(tmp_path, whole, torn):
    run_search(tmp_path, SEARCH.model_copy(update={"trials": 2}))
    with (tmp_path / "study.journal").open("ab") as stream:
        stream.write(torn)
    assert timeless(run_search(tmp_path, SEARCH.model_copy(update={"trials": 4}))) == timeless(whole[:4])


def test_divergence_ends_its_trial_only(tmp_path):
    def data(network, recipe):
        kind = Diverging if recipe.batch == 1 else MemoryData
        return kind(network.receptive_field, recipe.batch, recipe.crop_samples)

    found = run_search(tmp_path, SEARCH.model_copy(update={"trials": 8}), data)
    diverged = [trial for trial in found if trial.outcome == "diverged"]
    assert {trial.number for trial in diverged} == {trial.number for trial in found if trial.parameters.batch == 1}
    assert diverged
    assert all(trial.rungs == (Rung(1.0, diverged=True),) for trial in diverged)
    assert best_trial(found).parameters.batch == 2


def test_search_with_only_divergent_trials_raises(tmp_path):
    found = run_search(
        tmp_path,
        SEARCH.model_copy(update={"trials": 2}),
        lambda network, recipe: Diverging(network.receptive_field, recipe.batch, recipe.crop_samples),
    )
    with pytest.raises(TrainingError, match="muon_rate"):
        best_trial(found)


def test_other_errors_end_the_worker_and_leave_the_trial_to_the_next(tmp_path, whole):
    def broken(network, recipe):
        if recipe.crop_samples == 32:
            raise TrainingError("the recording is silent")
        return make_data(network, recipe)

    with pytest.raises(TrainingError, match="silent"):
        run_search(tmp_path, SEARCH, broken)
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with pytest.raises(TrainingError, match=r"Only \d+ of the 14 trials"):
        finished_trials(study, SEARCH)
    assert timeless(run_search(tmp_path)) == timeless(whole)


def test_space_that_does_not_fit_the_dataset_raises_before_the_first_trial(tmp_path):
    def short(network, recipe):
        if network.receptive_field > 10:
            raise DatasetError("The longest stretch has 10 samples.")
        return make_data(network, recipe)

    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with pytest.raises(DatasetError, match=r"kernel_size 3 with dilations \[1, 2, 4\].*longest stretch"):
        run_worker(study, task(tmp_path, SEARCH, short))
    assert study.trials(SEARCH.trials) == []


def test_networks_respect_the_limit_of_multiply_adds(tmp_path):
    limit = BASE.network.multiply_adds
    search = SEARCH.model_copy(update={"multiply_adds": limit, "steps": (2, 4)})
    found = run_search(tmp_path, search)
    sizes = [trial.parameters.network(BASE).network.multiply_adds for trial in found]
    assert max(sizes) <= limit
    assert len(set(sizes)) > 2


def test_networks_respect_the_limit_of_the_receptive_field(tmp_path):
    limit = BASE.network.receptive_field
    search = SEARCH.model_copy(update={"receptive_field": limit, "steps": (2, 4)})

    def as_far(network, recipe):
        # The data need only support the maximum receptive field.
        assert network.receptive_field <= limit
        return make_data(network, recipe)

    study = open_study(tmp_path, search, BASE, RECIPE)
    run_worker(study, task(tmp_path, search, as_far))
    reaches = {trial.parameters.network(BASE).network.receptive_field for trial in study.trials(search.trials)}
    assert max(reaches) == limit
    assert len(reaches) > 1


def test_proposal_varies_only_the_recipe_if_no_network_fits():
    assert not {"channels", "dilations"} & propose([], SPACE, lambda found: False, 0).keys()


def test_checkpoints_are_deleted_with_their_trial(tmp_path):
    run_search(tmp_path, SEARCH.model_copy(update={"trials": 3}))
    assert [path.name for path in (tmp_path / "trials").iterdir() if path.is_dir()] == []


@given(st.floats(-9, 0), st.lists(st.floats(-9, 0), max_size=30))
def test_best_third_is_promoted(score, rivals):
    if not rivals or score <= min(rivals):
        assert is_promoted(score, rivals)
    if is_promoted(score, rivals):
        assert all(is_promoted(better, rivals) for better in (score - 1, score - 0.001))
        assert sum(rival < score for rival in rivals) <= len(rivals) / REDUCTION


def test_study_identity_ignores_trials_workers_and_final_budget():
    def identity(search=SEARCH, training=RECIPE, code="code", dataset="data"):
        return study_identity(code, dataset, search, BASE, training)

    same = [
        identity(SEARCH.model_copy(update={"trials": 99, "workers": 3})),
        identity(training=RECIPE.model_copy(update={"steps": None, "cpu_seconds": 3.0})),
    ]
    others = [
        identity(SEARCH.model_copy(update={"seed": 5})),
        identity(SEARCH.model_copy(update={"steps": (4, 12)})),
        identity(training=RECIPE.model_copy(update={"dc_weight": 0.1})),
        identity(code="other"),
        identity(dataset="other"),
    ]
    assert {identity()} == set(same)
    assert len({identity(), *others}) == 6


def test_trials_digest_ignores_times(tmp_path, whole):
    assert trials_digest(run_search(tmp_path, SEARCH.model_copy(update={"trials": 4}))) == trials_digest(whole[:4])
    assert trials_digest(whole[:4]) != trials_digest(whole[:5])


def test_missing_optuna_raises(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "twinlib.training.optuna_study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrainingError, match="optuna is not installed"):
        open_study(tmp_path, SEARCH, BASE, RECIPE)


def test_journal_is_json(tmp_path):
    run_search(tmp_path, SEARCH.model_copy(update={"trials": 2}))
    assert isinstance(open_study(tmp_path, SEARCH, BASE, RECIPE), Study)
    assert (tmp_path / "study.journal").read_text().startswith("{")
