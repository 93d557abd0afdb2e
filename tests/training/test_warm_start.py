import numpy as np
import pytest

from tests.training.factories import GUARD, MemoryData
from twinlib.errors import TrainingError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin
from twinlib.model.wavenet import WaveNet
from twinlib.training.loop import train
from twinlib.training.settings import Training
from twinlib.training.warm_start import WarmStart, check_warm_start, read_warm_start, rescale_weights

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 3)).network
SETTINGS = Training(steps=12, batch=2, crop_samples=64, validate_every=4, checkpoint_seconds=0)


def twin(network=NETWORK, input_gain=3.0, output_gain=0.2) -> Twin:
    return Twin(network, WaveNet(network, 1).weights(), 44100, GUARD, input_gain, output_gain)


def played(of: Twin) -> np.ndarray:
    return Stream(of).process(np.random.default_rng(0).uniform(-1, 1, 900).astype(np.float32))


NETWORKS = {
    "default": NETWORK,
    "head": Architecture(channels=3, kernel_size=3, dilations=(1, 3), head_kernel_size=4, activation="gated").network,
    **{name: PRESETS[name] for name in ("nam-nano", "damskagg-2019")},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_rescaled_weights_give_the_same_output(name):
    before = twin(NETWORKS[name])
    after = Twin(before.network, rescale_weights(before, 0.7, 1.9), 44100, GUARD, 0.7, 1.9)
    np.testing.assert_allclose(played(after), played(before), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize(
    "network", [Architecture(channels=3, kernel_size=3, dilations=(1, 3), dry_path=True).network, PRESETS["original"]]
)
def test_dry_path_keeps_unity_gain(network):
    before = twin(network, 4.0, 0.25)
    after = Twin(network, rescale_weights(before, 0.5, 2.0), 44100, GUARD, 0.5, 2.0)
    np.testing.assert_allclose(played(after), played(before), rtol=2e-4, atol=2e-6)


def test_warm_start_begins_at_the_error_of_the_other_twin(tmp_path):
    data = MemoryData(NETWORK.receptive_field)
    first = train(data, NETWORK, SETTINGS.model_copy(update={"steps": 200}), tmp_path / "a", "code")
    first.twin.save(tmp_path / "twin.safetensors")
    start = read_warm_start(tmp_path)
    slow = SETTINGS.model_copy(update={"muon_rate": 1e-9, "adamw_rate": 1e-9, "seed": 3})
    second = train(data, NETWORK, slow, tmp_path / "b", "code", warm_start=start)
    assert second.valid_esr == pytest.approx(first.valid_esr, rel=1e-3)
    assert second.twin.metadata["warm_start"] == start.sha256


def test_another_warm_start_is_another_training(tmp_path):
    data = MemoryData(NETWORK.receptive_field)
    twin().save(tmp_path / "twin.safetensors")
    start = read_warm_start(tmp_path / "twin.safetensors")
    cold = train(data, NETWORK, SETTINGS, tmp_path / "c", "code")
    warm = train(data, NETWORK, SETTINGS, tmp_path / "c", "code", warm_start=start)
    name = "stacks.0.layers.0.kernel"
    assert not np.array_equal(cold.twin.weights[name], warm.twin.weights[name])


@pytest.mark.parametrize(
    ("found", "rate", "guard", "part"),
    [
        (Architecture(channels=4, kernel_size=3, dilations=(1, 3)).network, 44100, GUARD, "another network"),
        (NETWORK, 48000, GUARD, r"sample rate \(44100, not 48000\)"),
        (NETWORK, 44100, 12, r"guard \(4, not 12\)"),
    ],
)
def test_incompatible_twin_raises(tmp_path, found, rate, guard, part):
    with pytest.raises(TrainingError, match=part):
        check_warm_start(WarmStart(tmp_path / "twin.safetensors", "", twin(found)), NETWORK, rate, guard, "auto")


def test_missing_twin_raises(tmp_path):
    with pytest.raises(TrainingError, match=r"warm_start: .*does not exist"):
        read_warm_start(tmp_path / "twin.safetensors")
