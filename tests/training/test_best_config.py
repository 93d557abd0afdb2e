import pytest
import yaml

from twinlib import contracts
from twinlib.errors import TrainingError
from twinlib.files import read_table, write_table
from twinlib.model.architecture import Architecture
from twinlib.training.best_config import resolve_model, write_best
from twinlib.training.search_settings import RECIPE, Parameters
from twinlib.training.settings import Training
from twinlib.training.trials import Rung, Trial, best_trial, format_trials, from_table, to_table

BASE, TRAINING = Architecture(), Training(steps=100, dc_weight=0.2)
FIRST = Parameters.from_base(BASE, TRAINING)
FOUND = FIRST.model_copy(update={"channels": 8, "dilations": (1, 2, 4), "muon_rate": 0.0123456789012345, "batch": 8})


def trial(number, errors, outcome="complete", parameters=FIRST):
    return Trial(number, parameters, tuple(Rung(error, 10, 1.5) for error in errors), outcome)


TRIALS = [
    trial(0, [0.5, 0.2]),
    trial(1, [0.1], "pruned", FOUND),
    trial(2, [0.4, 0.1], parameters=FOUND),
    trial(3, [0.4, 0.1]),
    Trial(4, FIRST, (Rung(1.0, diverged=True),), "diverged"),
]


@pytest.fixture
def best(tmp_path):
    path = tmp_path / "best.yaml"
    write_best(path, "tuned", 2, 0.1, FOUND.network(BASE), FOUND.model_dump(include=set(RECIPE)))
    return path


def test_resolve_model_reads_the_result_of_a_search(best):
    network, training = resolve_model("null", TRAINING.model_dump_json(), [best])
    assert network == FOUND.network(BASE)
    assert training == FOUND.recipe(TRAINING), "budget and the rest of the recipe are the configuration's"


def test_resolve_model_without_a_search_returns_the_configuration():
    for entry in (BASE, Architecture(preset="nam-lite")):
        assert resolve_model(entry.model_dump_json(), TRAINING.model_dump_json(), []) == (entry, TRAINING)


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "contract: best/1", "!!python/object/apply:os.getcwd []", "- 1"],
)
def test_invalid_file_raises_with_its_name(best, text):
    best.write_text(text)
    with pytest.raises(TrainingError, match=r"best\.yaml is not the result of a search"):
        resolve_model("null", TRAINING.model_dump_json(), [best])
    best.write_text("contract: best/2")
    with pytest.raises(TrainingError, match=r"best\.yaml has the contract best/2, not best/1"):
        resolve_model("null", TRAINING.model_dump_json(), [best])
    best.unlink()
    with pytest.raises(TrainingError, match=r"best\.yaml does not exist"):
        resolve_model("null", TRAINING.model_dump_json(), [best])


def test_value_out_of_range_raises_with_its_name(best):
    content = yaml.safe_load(best.read_text())
    content["training"]["batch"] = 0
    best.write_text(yaml.safe_dump(content))
    with pytest.raises(TrainingError, match="batch"):
        resolve_model("null", TRAINING.model_dump_json(), [best])


def test_best_trial_has_the_lowest_error_with_the_largest_budget():
    assert best_trial(TRIALS).number == 2
    assert best_trial([TRIALS[1], TRIALS[0]]).number == 0


def test_table_of_trials_round_trips(tmp_path):
    write_table(tmp_path / "trials.parquet", contracts.TRIALS, to_table(TRIALS, BASE))
    assert from_table(read_table(tmp_path / "trials.parquet", contracts.TRIALS)) == TRIALS


def test_text_shows_the_best_trials_and_the_base():
    many = [trial(0, [0.9], "pruned"), *(trial(number, [0.5, number / 100]) for number in range(1, 40))]
    lines = format_trials(many, BASE, ["20 CPU-s", "60 CPU-s"]).splitlines()
    numbers = [int(line.split()[0]) for line in lines[2:-1]]
    assert numbers == [*range(1, 11), 0]
    assert "39 complete, 1 pruned, 0 diverged" in lines[-1]
