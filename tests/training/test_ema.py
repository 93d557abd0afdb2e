import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.model.architecture import Architecture
from twinlib.model.wavenet import WaveNet
from twinlib.training.ema import Average

NETWORK = Architecture(channels=3, kernel_size=2, dilations=(1, 2)).network


def walk(model: WaveNet, step: int) -> None:
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight.copy_(torch.full_like(weight, float(step * (number + 1))))


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([0.5, 0.9, 0.995]), st.integers(1, 60))
def test_it_is_the_weighted_mean_of_what_was_seen(decay, steps):
    model = WaveNet(NETWORK)
    average, wanted = Average(model, decay), model.state_dict()["stacks.0.head_bias"].double().clone()
    for step in range(1, steps + 1):
        walk(model, step)
        average.update(step)
        keep = min(decay, (1 + step) / (10 + step))
        wanted = keep * wanted + (1 - keep) * model.state_dict()["stacks.0.head_bias"].double()
    torch.testing.assert_close(average.model.state_dict()["stacks.0.head_bias"].double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_first_weights_do_not_linger():
    model = WaveNet(NETWORK)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
    average = Average(model, 0.999)
    for step in range(1, 51):
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        average.update(step)
    assert max(weight.max().item() for weight in average.model.parameters()) < 1e-5, "plain, it would be 0.95"


def test_without_decay_it_is_the_network_itself():
    model = WaveNet(NETWORK)
    average = Average(model, 0)
    average.update(1)
    assert average.model is model
    assert average.state() == {}


@pytest.mark.parametrize("cut", [1, 7])
def test_a_restored_one_goes_on_the_same(cut):
    model = WaveNet(NETWORK)
    whole, other = Average(model, 0.9), Average(model, 0.9)
    for step in range(1, 12):
        walk(model, step)
        whole.update(step)
        if step <= cut:
            other.update(step)
    resumed = Average(WaveNet(NETWORK, 5), 0.9)
    resumed.load(other.state())
    resumed._trained = model
    for step in range(cut + 1, 12):
        walk(model, step)
        resumed.update(step)
    assert all(torch.equal(value, whole.state()[name]) for name, value in resumed.state().items())
