import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.model.architecture import Architecture
from twinlib.model.wavenet import WaveNet
from twinlib.training.ema import WeightAverage

NETWORK = Architecture(channels=3, kernel_size=2, dilations=(1, 2)).network


def walk(model: WaveNet, step: int) -> None:
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight.copy_(torch.full_like(weight, float(step * (number + 1))))


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([0.5, 0.9, 0.995]), st.integers(1, 60))
def test_average_is_the_weighted_mean_of_past_weights(decay, steps):
    model = WaveNet(NETWORK)
    average, wanted = WeightAverage(model, decay), model.state_dict()["stacks.0.head_bias"].double().clone()
    for step in range(1, steps + 1):
        walk(model, step)
        average.update()
        keep = min(decay, (1 + step) / (10 + step))
        wanted = keep * wanted + (1 - keep) * model.state_dict()["stacks.0.head_bias"].double()
    torch.testing.assert_close(average.model.state_dict()["stacks.0.head_bias"].double(), wanted, rtol=1e-5, atol=1e-6)


def test_initial_weights_fade_quickly():
    model = WaveNet(NETWORK)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
    average = WeightAverage(model, 0.999)
    for _ in range(50):
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        average.update()
    assert max(weight.max().item() for weight in average.model.parameters()) < 1e-5, "plain, it would be 0.95"


def test_without_decay_the_average_is_the_network():
    model = WaveNet(NETWORK)
    average = WeightAverage(model, 0)
    average.update()
    assert average.model is model
    assert average.state() == {}


@pytest.mark.parametrize("cut", [1, 7])
def test_restored_average_continues_exactly(cut):
    model = WaveNet(NETWORK)
    whole, other = WeightAverage(model, 0.9), WeightAverage(model, 0.9)
    for step in range(1, 12):
        walk(model, step)
        whole.update()
        if step <= cut:
            other.update()
    resumed = WeightAverage(WaveNet(NETWORK, 5), 0.9)
    resumed.load(other.state(), cut)
    resumed._trained = model
    for step in range(cut + 1, 12):
        walk(model, step)
        resumed.update()
    assert all(torch.equal(value, whole.state()[name]) for name, value in resumed.state().items())
