import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.model.factories import networks
from twinlib.model.architecture import PRESETS, Architecture, Network
from twinlib.model.wavenet import WaveNet, activate, convolve

ACTIVATIONS = ["tanh", "relu", "leaky_relu", "gated", "adaptive"]


def by_conv1d(model: WaveNet, x: torch.Tensor) -> torch.Tensor:
    """Reference with `conv1d`, `(B, T)` to `(B, T - receptive_field + 1)`."""
    network, conv = model.network, nn.functional.conv1d
    dry = x[:, None]
    signal, total = dry, None
    for stack in model.stacks:
        signal = conv(signal, stack.rechannel[:, :, None])
        for layer, dilation in zip(stack.layers, stack.description.dilations, strict=True):
            z = conv(signal, layer.kernel, layer.bias, dilation=dilation)
            if layer.mix is not None:
                z = z + conv(dry[:, :, -z.shape[2] :], layer.mix[:, :, None])
            active = by_name(stack.description.activation, z, layer.slopes)
            residual = conv(active, layer.residual[:, :, None], layer.residual_bias)
            signal = signal[:, :, -z.shape[2] :] + residual
            skip = {"activation": active, "residual": residual}.get(network.skip)
            if skip is None:
                skip = conv(active, layer.skip[:, :, None])
            total = skip if total is None else total[:, :, -skip.shape[2] :] + skip
        if stack.head is not None:
            total = conv(total, stack.head)
        if stack.head_bias is not None:
            total = total + stack.head_bias[:, None]
    wet = network.head_scale * total[:, 0]
    if network.dry_path:
        stop = x.shape[1] - model.dry_delay
        wet = wet + x[:, stop - wet.shape[1] : stop]
    return wet


def by_name(name: str, z: torch.Tensor, alpha: torch.Tensor | None) -> torch.Tensor:
    plain = {"tanh": torch.tanh, "relu": torch.relu, "leaky_relu": nn.LeakyReLU(0.01)}
    if name in plain:
        return plain[name](z)
    signal, gate = z.chunk(2, dim=1)
    if alpha is None:
        return torch.tanh(signal) * torch.sigmoid(gate)
    return torch.tanh(10 * alpha[0] * signal) * torch.sigmoid(10 * alpha[1] * gate)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def assert_matches_conv1d(network: Network, dry_delay: int = 0, batch: int = 3) -> None:
    model = WaveNet(network, seed=1, dry_delay=dry_delay).double()
    x = noise(batch, network.receptive_field + 20)
    found, wanted = model(x), by_conv1d(model, x)
    assert found.shape == wanted.shape == (batch, 21)
    torch.testing.assert_close(found, wanted)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), weights, allow_unused=True),
        torch.autograd.grad(wanted.square().sum(), weights, allow_unused=True),
        strict=True,
    ):
        zero = torch.zeros(())
        torch.testing.assert_close(zero if mine is None else mine, zero if theirs is None else theirs)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_match_conv1d_and_its_gradients(name):
    assert_matches_conv1d(PRESETS[name], dry_delay=5, batch=2)


@settings(max_examples=25, deadline=None)
@given(networks(), st.integers(1, 4))
def test_any_network_matches_conv1d_and_its_gradients(network, batch):
    assert_matches_conv1d(network, dry_delay=min(1, network.receptive_field - 1), batch=batch)


def test_convolution_passes_gradcheck():
    x, kernel = noise(12, 3).requires_grad_(), noise(2, 3, 3, seed=1).requires_grad_()
    start = noise(4, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, c: convolve(a, b, c.clone(), 4), (x, kernel, start))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    z, slopes = noise(7, 4), torch.full((2,), 0.1, dtype=torch.float64)
    chosen = slopes if name == "adaptive" else None
    wanted = by_name(name, z.t()[None], chosen)[0].t()
    torch.testing.assert_close(activate(name, z.clone(), chosen), wanted)


def test_adaptive_activations_start_as_gated_activations():
    adaptive = Architecture(channels=3, dilations=[1, 2], activation="adaptive").network
    gated = Architecture(channels=3, dilations=[1, 2], activation="gated").network
    x = noise(2, 40).float()
    torch.testing.assert_close(WaveNet(adaptive, 3)(x), WaveNet(gated, 3)(x))


@pytest.mark.parametrize("name", ["small", *sorted(PRESETS)])
def test_the_receptive_field_is_exact(name):
    network = Architecture().network if name == "small" else PRESETS[name]
    x = noise(1, network.receptive_field + 5).requires_grad_()
    wet = WaveNet(network, seed=2).double()(x)[0]
    for place, sample in enumerate(wet):
        (slope,) = torch.autograd.grad(sample, x, retain_graph=True)
        first, last = place, place + network.receptive_field - 1
        assert slope[0, first] != 0
        assert slope[0, last] != 0
        assert not slope[0, :first].any()
        assert not slope[0, last + 1 :].any()


def test_a_changed_sample_changes_exactly_the_outputs_in_its_receptive_field():
    network = Architecture(channels=3, kernel_size=2, dilations=[1, 2, 4], head_kernel_size=3).network
    model, field = WaveNet(network, seed=2).double(), network.receptive_field
    x = noise(1, field + 30)
    for place in range(x.shape[1]):
        moved = x.clone()
        moved[0, place] += 1
        changed = torch.nonzero((model(x) != model(moved))[0])[:, 0].tolist()
        assert changed == list(range(max(0, place - field + 1), min(31, place + 1)))


def test_weights_depend_only_on_the_seed():
    network = PRESETS["nam-nano"]
    torch.manual_seed(5)
    first = WaveNet(network, seed=7).state_dict()
    torch.manual_seed(6)
    again, other = WaveNet(network, seed=7).state_dict(), WaveNet(network, seed=8).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stacks.0.rechannel"], other["stacks.0.rechannel"])


def test_building_a_network_keeps_the_global_random_state():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    WaveNet(PRESETS["nam-nano"], seed=7)
    assert torch.equal(torch.rand(1), wanted)


def test_dry_path_is_delayed():
    network = Architecture(channels=2, kernel_size=3, dilations=[1, 4], dry_path=True).network
    model = WaveNet(network, dry_delay=4)
    nn.init.zeros_(model.stacks[0].head)
    nn.init.zeros_(model.stacks[0].head_bias)
    x = noise(2, 30).float()
    assert torch.equal(model(x), x[:, network.receptive_field - 1 - 4 : -4])
