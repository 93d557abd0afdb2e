import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from twinlib.errors import TrainingError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.wavenet import WaveNet
from twinlib.training.optimiser import Optimiser, is_hidden_matrix, orthogonalise

NETWORK = Architecture(channels=4, kernel_size=3, dilations=(1, 4)).network


def model_with_gradients(network=NETWORK, seed: int = 0) -> WaveNet:
    model = WaveNet(network, seed)
    dry = torch.randn(2, network.receptive_field + 40, generator=torch.Generator().manual_seed(seed))
    model(dry).square().sum().backward()
    return model


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("name", ["nam-nano", "damskagg-2019", "original"])
def test_hidden_matrices_are_those_between_hidden_channels(name):
    named = dict(WaveNet(PRESETS[name]).named_parameters())
    hidden = {key for key in named if is_hidden_matrix(key)}
    assert {key.rsplit(".", 1)[1] for key in hidden} == {"kernel", "residual"}
    assert all(named[key].ndim >= 2 and min(named[key].shape[:2]) > 1 for key in hidden)


def test_muon_updates_hidden_matrices_only():
    model = model_with_gradients()
    before = weights(model)
    Optimiser(model, True, muon_rate=0.1, adamw_rate=1e-30).step(1.0)
    for name, weight in model.named_parameters():
        moved = not torch.equal(weight, before[name])
        # The residual path of the last layer is unused and has no gradient.
        assert moved == (is_hidden_matrix(name) and name != "stacks.0.layers.1.residual"), name


def test_adamw_updates_all_other_weights():
    model = model_with_gradients()
    before = weights(model)
    Optimiser(model, True, muon_rate=1e-30, adamw_rate=0.1).step(1.0)
    for name, weight in model.named_parameters():
        if not name.startswith("stacks.0.layers.1.residual"):
            assert torch.equal(weight, before[name]) == is_hidden_matrix(name), name


def test_zero_factor_updates_nothing():
    model = model_with_gradients()
    before = weights(model)
    Optimiser(model, True, 0.1, 0.1).step(0.0)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 24), (2, 24, 4)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(1))))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_orthogonalisation_is_scale_invariant_and_handles_zeros():
    matrices = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalise(1e3 * matrices), orthogonalise(matrices))
    assert not orthogonalise(torch.zeros(1, 4, 4)).any()


def test_muon_matches_torch():
    model, generator = WaveNet(NETWORK), torch.Generator().manual_seed(0)
    mine = {name: weight for name, weight in model.named_parameters() if is_hidden_matrix(name)}
    theirs = {name: nn.Parameter(weight.detach().flatten(1).clone()) for name, weight in mine.items()}
    optimiser = Optimiser(model, True, 0.02, 0.004)
    oracle = torch.optim.Muon(list(theirs.values()), 0.02, weight_decay=0, momentum=0.95)
    before = {name: weight.detach().clone() for name, weight in mine.items()}
    for _ in range(5):
        for name, weight in mine.items():
            weight.grad = torch.randn(weight.shape, generator=generator)
            theirs[name].grad = weight.grad.flatten(1)
        optimiser.step(1.0)
        oracle.step()
    for name, weight in mine.items():
        moved = (weight - before[name]).flatten(1)
        wanted = theirs[name] - before[name].flatten(1)
        assert (moved - wanted).norm() < 0.02 * wanted.norm()  # torch iterates in bfloat16


def test_adamw_matches_torch_bit_for_bit():
    model, other = model_with_gradients(), model_with_gradients()
    optimiser = Optimiser(model, False, 0.02, 0.004)
    oracle = torch.optim.AdamW(other.parameters(), 0.004, betas=(0.9, 0.99), weight_decay=0, fused=True)
    for step in range(5):
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            if mine.grad is not None:
                generator = torch.Generator().manual_seed(step)
                mine.grad = theirs.grad = torch.randn(mine.shape, generator=generator)
        oracle.param_groups[0]["lr"] = 0.004 * (1 - step / 5)
        optimiser.step(1 - step / 5)
        oracle.step()
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in model.state_dict().items())
    assert sum(name.endswith("/step") for name in optimiser.state()) == len(oracle.state)


def test_optimiser_does_not_import_the_compiler():
    words = (
        "import sys, torch; from twinlib.training.optimiser import Optimiser; "
        "layer = torch.nn.Linear(2, 2); layer(torch.ones(2)).sum().backward(); "
        "Optimiser(layer, True, 0.1, 0.1).step(1.0); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


@pytest.mark.parametrize("muon", [True, False])
def test_restored_state_continues_exactly(muon):
    model, other = model_with_gradients(), model_with_gradients()
    first = Optimiser(model, muon, 0.02, 0.004)
    first.step(1.0)
    state = {name: value.clone() for name, value in first.state().items()}
    other.load_state_dict(model.state_dict())
    second = Optimiser(other, muon, 0.02, 0.004)
    second.load(state)
    first.step(0.5)
    second.step(0.5)
    assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in other.state_dict().items())


@pytest.mark.parametrize("clip_norm", [0.3, 1e9, float("inf")])
def test_clipping_matches_torch(clip_norm):
    model, other = model_with_gradients(), model_with_gradients()
    norm = torch.nn.utils.clip_grad_norm_(other.parameters(), clip_norm)
    first, second = Optimiser(model, True, 0.02, 0.004), Optimiser(other, True, 0.02, 0.004)
    for _ in range(2):
        assert first.step(1.0, clip_norm) == pytest.approx(norm.item())
        second.step(1.0)
    for name, moment in second.state().items():
        torch.testing.assert_close(first.state()[name], moment)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_updates_nothing(bad):
    model = model_with_gradients()
    optimiser = Optimiser(model, True, 0.02, 0.004)
    optimiser.step(1.0)
    before, state = weights(model), {name: value.clone() for name, value in optimiser.state().items()}
    model.stacks[0].head.grad[0, 0, 0] = bad
    assert not math.isfinite(optimiser.step(1.0, 1.0))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(torch.equal(value, state[name]) for name, value in optimiser.state().items())


def test_gradients_are_removed():
    model = model_with_gradients()
    Optimiser(model, True, 0.02, 0.004).zero_grad()
    assert all(weight.grad is None for weight in model.parameters())


def test_names_of_the_state_are_those_of_recorded_checkpoints():
    optimiser = Optimiser(model_with_gradients(), True, 0.02, 0.004)
    momenta = {f"muon/stacks.0.layers.{k}.{weight}/mean" for k in (0, 1) for weight in ("kernel", "residual")}
    assert set(optimiser.state()) == momenta
    optimiser.step(1.0)
    others = ["rechannel", "head", "head_bias", "layers.0.residual_bias"]
    others += [f"layers.{k}.{weight}" for k in (0, 1) for weight in ("bias", "mix")]
    moments = {f"adamw/stacks.0.{name}/{key}" for name in others for key in ("step", "exp_avg", "exp_avg_sq")}
    assert set(optimiser.state()) == momenta | moments


@pytest.mark.parametrize(
    "name", ["muon/stacks.0.layers.7.kernel/mean", "adamw/nothing/step", "adamw/head/steps", "sgd/a/b", "x"]
)
def test_state_of_another_network_raises(name):
    optimiser = Optimiser(model_with_gradients(), True, 0.02, 0.004)
    with pytest.raises(TrainingError, match="Delete"):
        optimiser.load({name: torch.zeros(1)})
