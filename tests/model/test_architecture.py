import subprocess
import sys

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from tests.model.factories import networks
from twinlib.model.architecture import PRESETS, STRETCHED, Architecture, Network, Stack
from twinlib.model.wavenet import WaveNet

PUBLISHED = {
    "nam-standard": (13801, 4093),
    "nam-lite": (6553, 4093),
    "nam-feather": (3025, 4093),
    "nam-nano": (841, 4093),
    "nam-a2": (12145, 6347),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_presets_have_the_published_size(name):
    assert (PRESETS[name].parameters, PRESETS[name].receptive_field) == PUBLISHED[name]


def test_damskagg_has_the_published_receptive_field_and_the_original_that_of_its_notebook():
    assert PRESETS["damskagg-2019"].receptive_field == 2045
    assert PRESETS["original"].receptive_field == 2048


def test_the_default_is_the_small_network():
    network = Architecture().network
    assert network == Architecture(preset="small").network
    assert network == Architecture(channels=16, kernel_size=3, dilations=STRETCHED).network
    assert network.receptive_field == 4087


@pytest.mark.parametrize(("name", "cost"), [("small", 10_432), ("medium", 29_088), ("large", 72_064)])
def test_ours_cost_what_is_said(name, cost):
    assert PRESETS[name].multiply_adds == cost


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_parameters_are_those_of_the_torch_module(name):
    network = Architecture(preset=name).network
    assert sum(weight.numel() for weight in WaveNet(network).parameters()) == network.parameters


@settings(deadline=None)
@given(networks())
def test_any_network_counts_its_parameters_and_survives_json(network):
    assert sum(weight.numel() for weight in WaveNet(network).parameters()) == network.parameters
    assert Network.model_validate_json(network.model_dump_json()) == network


def test_head_convolutions_that_mean_nothing_are_refused():
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
def test_wrong_entries_are_refused(entry):
    with pytest.raises(ValidationError):
        Architecture.model_validate(entry)


def test_a_stack_needs_a_kernel_for_each_dilation():
    with pytest.raises(ValidationError, match="2 kernel sizes for 3 dilations"):
        Stack(channels=2, kernel_sizes=(2, 2), dilations=(1, 2, 3))


def test_describing_networks_takes_no_torch():
    code = "import sys, twinlib.model.architecture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("entry", [{}, {"channels": 8}, *({"preset": name} for name in PRESETS)])
def test_an_entry_that_was_written_can_be_read_again(entry):
    # The workflow hands entries to its programs as JSON.
    before = Architecture(**entry)
    assert Architecture.model_validate_json(before.model_dump_json()) == before
