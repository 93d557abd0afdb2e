import pytest
from pydantic import ValidationError

from twinlib.model.architecture import PRESETS, Architecture
from twinlib.training.search_settings import Parameters, Search, Space
from twinlib.training.settings import Training

RECIPE = Training(steps=100)


def test_defaults_of_all_sections_are_compatible():
    search = Search(device="box", base="small")
    assert search.objection(Architecture(), RECIPE) is None
    assert [budget["cpu_seconds"] for budget in search.budgets] == [20, 60, 180]
    assert search.budget_labels == ["20 CPU-s", "60 CPU-s", "180 CPU-s"]


def test_settings_have_a_json_round_trip():
    search = Search(device="box", base="small", steps=(1, 2), space=Space(channels=(16,)))
    assert Search.model_validate_json(search.model_dump_json()) == search


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"steps": [10, 10]}, "larger than the one before"),
        ({"steps": [10], "cpu_seconds": [10]}, "only one of"),
        ({"cpu_seconds": []}, "at least 1"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"space": {"muon_rate": [0.1, 0.01]}}, "a range is"),
        ({"space": {"muon_rate": [0, 0.01]}}, "greater than 0"),
        ({"space": {"channels": []}}, "at least 1"),
        ({"space": {"activation": ["sine"]}}, "tanh"),
        ({"space": {"layers": [3]}}, "unknown key 'layers'"),
    ],
)
def test_invalid_settings_raise(content, word):
    with pytest.raises(ValidationError, match=word):
        Search(device="box", base="small", **content)


@pytest.mark.parametrize(
    ("search", "base", "training", "words"),
    [
        ({}, Architecture(preset="nam-lite"), RECIPE, ["base", "preset"]),
        (
            {"space": {"crop_samples": [256, 1024]}},
            Architecture(),
            Training(steps=1, stft_weight=0.1),
            ["space.crop_samples", "stft_weight", "256"],
        ),
        ({"multiply_adds": 10000}, Architecture(), RECIPE, ["multiply_adds", "10432"]),
        ({"receptive_field": 4086}, Architecture(), RECIPE, ["receptive_field", "4087"]),
    ],
)
def test_incompatible_base_is_reported(search, base, training, words):
    objection = Search(device="box", base="small", **search).objection(base, training)
    assert objection.startswith(words[0])
    for word in words:
        assert word in objection


def test_the_first_trial_is_added_to_the_space():
    search = Search(device="box", base="small", space=Space(channels=(8,), muon_rate=(0.02, 0.02)))
    base, training = Architecture(channels=5, dilations=(1, 2)), Training(steps=1, batch=6, muon_rate=0.5)
    space = search.including(base, training).space
    assert (space.channels, space.batch, space.muon_rate) == ((8, 5), (2, 4, 8, 16, 6), (0.02, 0.5))
    assert space.dilations == (*search.space.dilations, (1, 2))
    assert (space.adamw_rate, space.activation) == (search.space.adamw_rate, search.space.activation)
    assert Search(device="box", base="small").including(Architecture(), RECIPE) == Search(device="box", base="small")


def test_parameters_change_searched_settings_only():
    base, training = Architecture(head_kernel_size=4), Training(steps=9, dc_weight=0.3, seed=5)
    first = Parameters.from_base(base, training)
    assert first.network(base) == base
    assert first.recipe(training) == training
    other = first.model_copy(update={"channels": 8, "dilations": (1, 2), "batch": 2})
    assert other.network(base).network.stacks[0].head_kernel_size == 4
    assert other.network(base).network.stacks[0].dilations == (1, 2)
    changed = other.recipe(training, steps=None, cpu_seconds=20.0)
    assert (changed.batch, changed.dc_weight, changed.seed, changed.cpu_seconds) == (2, 0.3, 5, 20.0)


def test_trial_is_a_single_training_from_random_weights():
    training = Training(steps=9, seeds=3, processes=2, warm_start="twins/box")
    found = Parameters.from_base(Architecture(), training).trial_settings(training, steps=5)
    assert found == Training(steps=5, batch=8), "the crops of both processes make its step, as in the final training"


@pytest.mark.parametrize("name", PRESETS)
def test_multiply_adds_equal_the_weights_of_the_convolutions(name):
    torch = pytest.importorskip("torch")
    from twinlib.model.wavenet import WaveNet

    network = PRESETS[name]
    weights = WaveNet(network, 0, 0).state_dict()
    matrices = sum(weight.numel() for weight in weights.values() if weight.dim() > 1)
    assert isinstance(next(iter(weights.values())), torch.Tensor)
    assert network.multiply_adds == matrices
