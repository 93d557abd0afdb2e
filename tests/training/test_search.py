import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("optuna")

from tests.training.factories import MemoryData
from tests.training.searching import (
    BASE,
    FIRST,
    RECIPE,
    SEARCH,
    SPACE,
    Diverging,
    data_for,
    searched,
    task,
    timeless,
)
from twinlib.errors import DatasetError, TrainingError
from twinlib.training.optuna_study import Study, propose
from twinlib.training.search import REDUCTION, finished_trials, goes_on, identity_of, open_study, work
from twinlib.training.trials import Rung, best_trial, summary

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("whole"))


def test_the_base_is_tried_first_and_reaches_the_largest_budget(whole):
    assert whole[0].parameters == FIRST
    assert whole[0].outcome == "complete"


def test_every_trial_ends_and_only_the_best_go_on(whole):
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
                assert goes_on(rung.score, rivals) == (not pruned_here)
    assert all(len(trial.rungs) == len(SEARCH.steps) for trial in whole if trial.outcome == "complete")


def test_all_that_is_tried_lies_in_the_space(whole):
    for trial in whole:
        for name in ("channels", "kernel_size", "dilations", "activation", "batch", "crop_samples"):
            assert getattr(trial.parameters, name) in getattr(SPACE, name)
        for name in ("muon_rate", "adamw_rate", "preemphasis_weight"):
            low, high = getattr(SPACE, name)
            assert low <= getattr(trial.parameters, name) <= high
    assert len({trial.parameters for trial in whole}) == len(whole)


def test_muons_rate_is_not_searched_where_it_changes_nothing(tmp_path):
    adamw = RECIPE.model_copy(update={"optimiser": "adamw"})
    study = open_study(tmp_path, SEARCH, BASE, adamw)
    rates = []
    for _ in range(3):
        with study.claim(3) as claim:
            rates.append(claim.trial.parameters.muon_rate)
            claim.add(Rung(0.5, 1, 1.0))
            claim.end("complete")
    assert rates == [adamw.muon_rate] * 3


def test_the_same_seed_gives_the_same_trials_and_another_gives_others(tmp_path, whole):
    short = SEARCH.model_copy(update={"trials": 6})
    assert timeless(searched(tmp_path / "same", short)) == timeless(whole[:6])
    other = searched(tmp_path / "other", short.model_copy(update={"seed": 1}))
    assert other[0].parameters == whole[0].parameters
    assert all(mine.parameters != theirs.parameters for mine, theirs in zip(other[1:], whole[1:6], strict=True))


def test_more_trials_are_added_to_those_that_are_done(tmp_path, whole):
    begun = []
    searched(tmp_path, SEARCH.model_copy(update={"trials": 5}))
    found = searched(tmp_path, SEARCH, on_trial=lambda trial: begun.append(trial.number))
    assert timeless(found) == timeless(whole)
    assert set(begun) == set(range(5, SEARCH.trials))


class Killed(BaseException):
    """What a test throws in place of a kill."""


def dying(count: int):
    """Data that are gone after so many batches, as the process is."""
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
def test_stopped_anywhere_it_goes_on_to_the_same_trials(tmp_path_factory, whole, counts):
    folder, short = tmp_path_factory.mktemp("stopped"), SEARCH.model_copy(update={"trials": 4})
    for count in counts:
        try:
            searched(folder, short, dying(count))
        except Killed:
            continue
    assert timeless(searched(folder, short)) == timeless(whole[:4])


@pytest.mark.parametrize("which", range(3))
def test_stopped_in_the_last_budget_a_trial_is_not_judged_by_another(tmp_path, whole, which):
    """Of what was done before the stop, each budget is held against that of the rivals."""
    begun = []

    def stopping(network, settings):
        if settings.steps == SEARCH.steps[-1]:
            begun.append(network)
            if len(begun) == which + 1:
                raise Killed
        return data_for(network, settings)

    with pytest.raises(Killed):
        searched(tmp_path, data=stopping)
    assert timeless(searched(tmp_path)) == timeless(whole)


def worker(folder: Path, trials: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.training.searching", str(folder), str(trials)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_instant_the_next_worker_goes_on_to_the_same_trials(tmp_path, whole, seed):
    generator, journal = random.Random(seed), tmp_path / "study.journal"
    for _ in range(4):
        process, size = worker(tmp_path, SEARCH.trials), journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and (not journal.exists() or journal.stat().st_size <= size):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert timeless(searched(tmp_path)) == timeless(whole)


@pytest.mark.slow
def test_two_workers_share_a_study_and_one_may_die(tmp_path):
    workers = [worker(tmp_path, SEARCH.trials) for _ in range(3)]
    while not (tmp_path / "trials" / "4.lock").exists():
        time.sleep(0.01)
    workers[0].kill()
    for process in workers:
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    found = searched(tmp_path)
    assert [trial.number for trial in found] == list(range(SEARCH.trials))
    assert all(trial.outcome != "running" for trial in found)
    assert len({trial.parameters for trial in found}) == len(found), "none is tried twice"
    assert found[0].parameters == FIRST


def test_a_running_trial_is_not_taken_from_its_worker(tmp_path):
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with study.claim(3) as mine, open_study(tmp_path, SEARCH, BASE, RECIPE).claim(3) as theirs:
        assert (mine.trial.number, theirs.trial.number) == (0, 1)
        assert mine.trial.parameters != theirs.trial.parameters
        with study.claim(2) as none:
            assert none is None
    with study.claim(2) as orphan:
        assert orphan.trial.number == 0


def test_what_is_known_of_an_orphan_is_kept(tmp_path):
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with study.claim(1) as mine:
        mine.add(Rung(0.5, 4, 1.0))
        known = mine.trial
    with open_study(tmp_path, SEARCH, BASE, RECIPE).claim(1) as orphan:
        assert orphan.trial == known


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "wor', b"\x00" * 30, b"{"])
def test_a_torn_line_of_the_journal_does_no_harm(tmp_path, whole, torn):
    searched(tmp_path, SEARCH.model_copy(update={"trials": 2}))
    with (tmp_path / "study.journal").open("ab") as stream:
        stream.write(torn)
    assert timeless(searched(tmp_path, SEARCH.model_copy(update={"trials": 4}))) == timeless(whole[:4])


def test_a_training_that_diverges_ends_its_trial_only(tmp_path):
    def data(network, recipe):
        kind = Diverging if recipe.batch == 1 else MemoryData
        return kind(network.receptive_field, recipe.batch, recipe.crop_samples)

    found = searched(tmp_path, SEARCH.model_copy(update={"trials": 8}), data)
    diverged = [trial for trial in found if trial.outcome == "diverged"]
    assert {trial.number for trial in diverged} == {trial.number for trial in found if trial.parameters.batch == 1}
    assert diverged
    assert all(trial.rungs == (Rung(1.0, diverged=True),) for trial in diverged)
    assert best_trial(found).parameters.batch == 2


def test_a_search_of_which_all_diverges_says_so(tmp_path):
    found = searched(
        tmp_path,
        SEARCH.model_copy(update={"trials": 2}),
        lambda network, recipe: Diverging(network.receptive_field, recipe.batch, recipe.crop_samples),
    )
    with pytest.raises(TrainingError, match="muon_rate"):
        best_trial(found)


def test_other_errors_end_the_worker_and_the_trial_waits_for_the_next(tmp_path, whole):
    def broken(network, recipe):
        if recipe.crop_samples == 32:
            raise TrainingError("the recording is silent")
        return data_for(network, recipe)

    with pytest.raises(TrainingError, match="silent"):
        searched(tmp_path, SEARCH, broken)
    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with pytest.raises(TrainingError, match=r"Only \d+ of the 14 trials"):
        finished_trials(study, SEARCH)
    assert timeless(searched(tmp_path)) == timeless(whole)


def test_a_space_that_the_dataset_does_not_fit_is_refused_before_the_first_trial(tmp_path):
    def short(network, recipe):
        if network.receptive_field > 10:
            raise DatasetError("The longest stretch has 10 samples.")
        return data_for(network, recipe)

    study = open_study(tmp_path, SEARCH, BASE, RECIPE)
    with pytest.raises(DatasetError, match=r"kernel_size 3 with dilations \[1, 2, 4\].*longest stretch"):
        work(study, task(tmp_path, SEARCH, short))
    assert study.trials(SEARCH.trials) == []


def test_no_network_is_larger_than_allowed(tmp_path):
    limit = BASE.network.multiply_adds
    search = SEARCH.model_copy(update={"multiply_adds": limit, "steps": (2, 4)})
    found = searched(tmp_path, search)
    sizes = [trial.parameters.network(BASE).network.multiply_adds for trial in found]
    assert max(sizes) <= limit
    assert len(set(sizes)) > 2


def test_no_network_looks_further_than_allowed(tmp_path):
    limit = BASE.network.receptive_field
    search = SEARCH.model_copy(update={"receptive_field": limit, "steps": (2, 4)})

    def as_far(network, recipe):
        # What is allowed at most is all that the data must hold.
        assert network.receptive_field <= limit
        return data_for(network, recipe)

    study = open_study(tmp_path, search, BASE, RECIPE)
    work(study, task(tmp_path, search, as_far))
    reaches = {trial.parameters.network(BASE).network.receptive_field for trial in study.trials(search.trials)}
    assert max(reaches) == limit
    assert len(reaches) > 1


def test_if_nothing_else_fits_the_base_is_varied_in_its_recipe():
    assert not {"channels", "dilations"} & propose([], SPACE, lambda found: False, 0).keys()


def test_checkpoints_do_not_outlive_their_trial(tmp_path):
    searched(tmp_path, SEARCH.model_copy(update={"trials": 3}))
    assert [path.name for path in (tmp_path / "trials").iterdir() if path.is_dir()] == []


@given(st.floats(-9, 0), st.lists(st.floats(-9, 0), max_size=30))
def test_the_best_third_goes_on(score, rivals):
    if not rivals or score <= min(rivals):
        assert goes_on(score, rivals)
    if goes_on(score, rivals):
        assert all(goes_on(better, rivals) for better in (score - 1, score - 0.001))
        assert sum(rival < score for rival in rivals) <= len(rivals) / REDUCTION


def test_only_trials_workers_and_the_final_budget_may_change_within_a_study():
    def identity(search=SEARCH, training=RECIPE, code="code", dataset="data"):
        return identity_of(code, dataset, search, BASE, training)

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


def test_the_summary_is_of_what_was_found_and_not_of_when(tmp_path, whole):
    assert summary(searched(tmp_path, SEARCH.model_copy(update={"trials": 4}))) == summary(whole[:4])
    assert summary(whole[:4]) != summary(whole[:5])


def test_optuna_missing_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "twinlib.training.optuna_study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrainingError, match="needs Optuna"):
        open_study(tmp_path, SEARCH, BASE, RECIPE)


def test_the_journal_is_text_that_names_no_pickle(tmp_path):
    searched(tmp_path, SEARCH.model_copy(update={"trials": 2}))
    assert isinstance(open_study(tmp_path, SEARCH, BASE, RECIPE), Study)
    assert (tmp_path / "study.journal").read_text().startswith("{")
