import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.factories import INSTRUCTIONS, NETWORKS, assert_close, music, networks, using
from twinlib.model.architecture import Network
from twinlib.model.wavenet import WaveNet


def build(network: Network, seed: int = 1, dry_delay: int = 0) -> WaveNet:
    return WaveNet(network, seed, min(dry_delay, network.receptive_field - 1))


def loss_of(wet: Tensor, dry: Tensor) -> Tensor:
    """Return the error to signal ratio against a clipped input, for outputs of any scale."""
    wanted = torch.tanh(2 * dry[:, -wet.shape[1] :]).to(wet.dtype)
    return (wet - wanted).square().sum() / wanted.square().sum()


def gradient(loss: Tensor, model: WaveNet) -> np.ndarray:
    """Return the gradients of all parameters as one vector; absent ones are zero."""
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    pairs = zip(found, model.parameters(), strict=True)
    return np.concatenate([(torch.zeros_like(p) if g is None else g).double().numpy().ravel() for g, p in pairs])


def reference(model: WaveNet, dry: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return output and gradients in float64."""
    exact = copy.deepcopy(model).double()
    wet = exact.forward_torch(dry.double())
    return wet.detach().numpy(), gradient(loss_of(wet, dry), exact)


def assert_step_matches(model: WaveNet, dry: Tensor, wanted: tuple[np.ndarray, np.ndarray], tolerance: float) -> None:
    wet = model(dry)
    assert wet.grad_fn is not None
    assert "_Function" in type(wet.grad_fn).__name__
    assert_close(wet.detach().numpy(), wanted[0])
    error = np.linalg.norm(gradient(loss_of(wet, dry), model) - wanted[1])
    assert error <= tolerance * np.linalg.norm(wanted[1]), error / np.linalg.norm(wanted[1])


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_gradients_of_presets_equal_float64(name):
    network = NETWORKS[name]
    dry = torch.from_numpy(music(2, network.receptive_field + 400))
    wanted = reference(build(network, dry_delay=12), dry)
    for instructions in INSTRUCTIONS:
        with using(instructions):
            assert_step_matches(build(network, dry_delay=12), dry, wanted, 1e-6)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(INSTRUCTIONS), networks(), st.integers(1, 3), st.integers(1, 900), st.integers(0, 99))
def test_gradients_of_any_network_equal_float64(instructions, network, batch, outputs, seed):
    dry = torch.from_numpy(music(batch, network.receptive_field - 1 + outputs, seed=seed))
    with using(instructions):
        model = build(network, seed, dry_delay=seed)
        assert_step_matches(model, dry, reference(model, dry), 1e-5)


@pytest.fixture
def model() -> WaveNet:
    return build(NETWORKS["wide taps"])


@pytest.fixture
def dry(model: WaveNet) -> Tensor:
    return torch.from_numpy(music(5, model.network.receptive_field + 500))


def test_inference_equals_the_forward_pass_of_training(model, dry):
    with torch.no_grad():
        alone = model(dry)
    assert_close(alone.numpy(), model(dry).detach().numpy(), 1e-6)


def test_several_threads_give_the_bits_of_one(model, dry, monkeypatch):
    wanted = model(dry)
    gradients = gradient(loss_of(wanted, dry), model)
    for threads in (2, 3, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        wet = model(dry)
        assert torch.equal(wet, wanted)
        assert np.array_equal(gradient(loss_of(wet, dry), model), gradients)


def test_repeated_steps_give_equal_bits(model, dry):
    steps = [gradient(loss_of(model(dry), dry), model) for _ in range(3)]
    assert all(np.array_equal(step, steps[0]) for step in steps)


def test_steps_of_other_shapes_between(model, dry):
    wanted = gradient(loss_of(model(dry), dry), model)
    model(dry[:2, :-77]).sum().backward()
    assert np.array_equal(gradient(loss_of(model(dry), dry), model), wanted)


def test_two_forward_passes_before_their_backward_passes(model, dry):
    other = 0.5 * dry.flip(0)
    first, second = gradient(loss_of(model(dry), dry), model), gradient(loss_of(model(other), other), model)
    one, two = loss_of(model(dry), dry), loss_of(model(other), other)
    assert np.array_equal(gradient(one, model), first)
    assert np.array_equal(gradient(two, model), second)


def test_the_sum_of_two_passes_has_the_sum_of_gradients(model, dry):
    other = 0.5 * dry.flip(0)
    both = gradient(loss_of(model(dry), dry) + loss_of(model(other), other), model)
    apart = gradient(loss_of(model(dry), dry), model) + gradient(loss_of(model(other), other), model)
    np.testing.assert_allclose(both, apart, rtol=1e-5, atol=1e-7)


def test_a_second_backward_pass_is_refused(model, dry):
    loss = loss_of(model(dry), dry)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        loss.backward()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_compute_with_their_own_weights(model, dry, again):
    wanted = model(dry).detach()
    copied = again(model)
    assert torch.equal(copied(dry), wanted)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(1.5)
    assert torch.equal(model(dry), wanted)
    assert_close(copied(dry).detach().numpy(), copied.forward_torch(dry).detach().numpy())


def test_changed_weights_count_at_the_next_pass(model, dry):
    model(dry)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    assert_close(model(dry).detach().numpy(), model.forward_torch(dry).detach().numpy())


def test_gradients_only_of_parameters_that_need_them(model, dry):
    every = {name: g for (name, _), g in zip(model.named_parameters(), _gradients(model, dry), strict=True)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("kernel"))
    loss_of(model(dry), dry).backward()
    for name, parameter in model.named_parameters():
        if name.endswith("kernel"):
            assert torch.equal(parameter.grad, every[name])
        else:
            assert parameter.grad is None


def _gradients(model: WaveNet, dry: Tensor) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss_of(model(dry), dry), list(model.parameters()), allow_unused=True)


def test_inputs_that_the_kernels_do_not_take_go_through_torch(model, dry):
    asked = dry.clone().requires_grad_()
    model(asked).sum().backward()
    assert asked.grad is not None
    assert copy.deepcopy(model).double()(dry.double()).dtype == torch.float64


def test_views_of_other_memory_layouts(model, dry):
    spread = torch.stack([dry, dry + 1], dim=2)[:, :, 0]
    assert not spread.is_contiguous()
    assert torch.equal(model(spread), model(dry))


def test_gradients_of_denormal_and_silent_crops_are_finite(model, dry):
    for scale in (0.0, 1e-40):
        quiet = scale * dry
        found = torch.autograd.grad(model(quiet).square().sum(), model.stacks[0].layers[0].kernel)
        assert torch.isfinite(found[0]).all()
