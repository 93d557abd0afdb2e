import math

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from tests.model.factories import networks
from twinlib.model.architecture import PRESETS, STRETCHED, Architecture, Network, Stack, parameter_shapes
from twinlib.model.wavenet import WaveNet

PUBLISHED = {
    "nam-standard": (13801, 4093),
    "nam-lite": (6553, 4093),
    "nam-feather": (3025, 4093),
    "nam-nano": (841, 4093),
    "nam-a2": (12145, 6347),
}


def check_parameters(network: Network) -> None:
    found = [(name, tuple(weight.shape)) for name, weight in WaveNet(network).named_parameters()]
    assert list(parameter_shapes(network).items()) == found
    assert sum(math.prod(shape) for _, shape in found) == network.parameters


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_preset_sizes_match_publications(name):
    assert (PRESETS[name].parameters, PRESETS[name].receptive_field) == PUBLISHED[name]


def test_receptive_fields_of_damskagg_and_original_match_their_sources():
    assert PRESETS["damskagg-2019"].receptive_field == 2045
    assert PRESETS["original"].receptive_field == 2048


def test_default_is_the_small_preset():
    network = Architecture().network
    assert network == Architecture(preset="small").network
    assert network == Architecture(channels=16, kernel_size=3, dilations=STRETCHED).network
    assert network.receptive_field == 4087


@pytest.mark.parametrize(("name", "cost"), [("small", 10_432), ("medium", 29_088), ("large", 72_064)])
def test_multiply_adds_of_our_presets(name, cost):
    assert PRESETS[name].multiply_adds == cost


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_parameters_match_the_torch_module(name):
    check_parameters(Architecture(preset=name).network)


@settings(deadline=None)
@given(networks())
def test_any_network_has_the_right_parameters_and_a_json_round_trip(network):
    check_parameters(network)
    assert Network.model_validate_json(network.model_dump_json()) == network


def test_invalid_head_convolutions_raise():
    wide = Stack(channels=2, kernel_sizes=[2], dilations=[1], head_kernel_size=3)
    with pytest.raises(ValidationError, match="only the last stack"):
        Network(stacks=[wide, wide])
    with pytest.raises(ValidationError, match="the mixer is the head"):
        Network(stacks=[wide], skip="mixed")
    narrow = Stack(channels=2, kernel_sizes=[2], dilations=[1])
    with pytest.raises(ValidationError, match="the mixer is the head"):
        Network(stacks=[narrow, narrow], skip="mixed")


@pytest.mark.parametrize(
    "entry",
    [
        {"preset": "nam-gigantic"},
        {"preset": "nam-a2", "channels": 8},
        {"channels": 0},
        {"kernel_size": 0},
        {"dilations": []},
        {"dilations": [1, 0]},
        {"dilations": [1.5]},
        {"activation": "sine"},
        {"layers": 5},
    ],
)
def test_invalid_entries_raise(entry):
    with pytest.raises(ValidationError):
        Architecture.model_validate(entry)


def test_stack_needs_one_kernel_size_per_dilation():
    with pytest.raises(ValidationError, match="2 kernel sizes for 3 dilations"):
        Stack(channels=2, kernel_sizes=(2, 2), dilations=(1, 2, 3))


@pytest.mark.parametrize("entry", [{}, {"channels": 8}, *({"preset": name} for name in PRESETS)])
def test_entries_have_a_json_round_trip(entry):
    # The workflow passes entries to its programs as JSON.
    before = Architecture(**entry)
    assert Architecture.model_validate_json(before.model_dump_json()) == before
