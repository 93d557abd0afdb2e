import numpy as np
import pytest

from tests.training.factories import GUARD, MemoryData, kill_at
from twinlib.errors import TrainingError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.streaming import Stream
from twinlib.model.twin import load_twin
from twinlib.training.linear_part import NO_FILTER, fit_linear_part
from twinlib.training.loop import train
from twinlib.training.normalisation import measure_gains, target_rms
from twinlib.training.settings import Training
from twinlib.training.warm_start import read_warm_start

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 3, 40)).network
SETTINGS = Training(steps=40, batch=2, crop_samples=64, validate_every=7, checkpoint_seconds=0, linear_taps=64)


class Device(MemoryData):
    """A filter with a little saturation: `drive` 0 is linear."""

    def __init__(self, drive: float) -> None:
        super().__init__(NETWORK.receptive_field)
        self.drive = drive
        self.wet = self.played(self.dry)

    def played(self, dry: np.ndarray) -> np.ndarray:
        linear = np.convolve(dry, np.r_[np.zeros(GUARD), 0.8 ** np.arange(30)])[: len(dry)]
        if not self.drive:
            return linear.astype(np.float32)
        return (np.tanh(self.drive * linear) / self.drive).astype(np.float32)

    def excerpts(self, seconds):
        return [(dry, self.played(dry)[self.context :]) for dry, _ in super().excerpts(seconds)]

    def spans(self, split, taps, samples):
        for dry, wet in super().spans(split, taps, samples):
            yield dry, wet if split == "train" else self.played(dry)[taps - 1 :]


def equal(left, right) -> bool:
    return left.weights.keys() == right.weights.keys() and all(
        np.array_equal(left.weights[name], right.weights[name]) for name in left.weights
    )


def test_filter_of_a_linear_device_is_its_impulse_response():
    found = fit_linear_part(Device(0), NETWORK, 64)
    np.testing.assert_allclose(found.kernel, np.r_[np.zeros(GUARD), 0.8 ** np.arange(30), np.zeros(30)], atol=1e-3)
    assert found.esr < 1e-8


def test_mild_devices_get_a_filter_and_strong_ones_none():
    mild, strong = (fit_linear_part(Device(drive), NETWORK, "auto") for drive in (0.1, 5))
    assert len(mild.kernel) == 64
    assert mild.esr < 0.01
    assert len(strong.kernel) == 0
    assert strong.esr > 0.1


def test_error_of_the_filter_is_that_of_its_output():
    data = Device(1)
    found = fit_linear_part(data, NETWORK, 64)
    left = [(found.remove(dry, wet), wet) for dry, wet in data.spans("valid", 64, 10**9)]
    error, energy = (sum(float(np.sum(np.square(pair[part], dtype=np.float64))) for pair in left) for part in (0, 1))
    assert error / energy == pytest.approx(found.esr, rel=1e-4)


def test_gains_follow_what_the_filter_leaves():
    data = Device(0.5)
    linear = fit_linear_part(data, NETWORK, 64)
    _, output_gain, share = measure_gains(data, NETWORK, linear)
    batches = [data.batch(step) for step in range(64)]
    left = np.concatenate([linear.remove(*batch).ravel() for batch in batches])
    assert np.sqrt(np.mean(np.square(left))) / output_gain == pytest.approx(target_rms(NETWORK), rel=1e-5)
    assert share == pytest.approx(np.mean(left**2) / np.mean(np.square([wet for _, wet in batches])), rel=1e-4)


def test_validation_error_is_that_of_the_twin_and_below_that_of_the_filter(tmp_path):
    data = Device(0.5)
    trained = train(data, NETWORK, SETTINGS.model_copy(update={"steps": 300}), tmp_path, "code")
    trained.twin.save(tmp_path / "twin.safetensors")
    twin, error, energy = load_twin(tmp_path), 0.0, 0.0
    for dry, wet in data.excerpts(1):
        error += float(np.sum(np.square(Stream(twin).process(dry)[data.context :] - wet, dtype=np.float64)))
        energy += float(np.sum(np.square(wet, dtype=np.float64)))
    assert error / energy == pytest.approx(trained.valid_esr, rel=1e-3)
    assert trained.valid_esr < twin.metadata["linear_esr"]
    assert twin.metadata["linear_taps"] == len(twin.linear_filter) == 64
    assert trained.curve["loss"].iloc[-1] < 0.1, "the loss is relative to the wet signal"


def test_linear_device_needs_no_network(tmp_path):
    assert train(Device(0), NETWORK, SETTINGS, tmp_path, "code").valid_esr < 1e-8


@pytest.mark.parametrize("kill", [3, 20, 38])
def test_training_beside_a_filter_resumes_exactly(tmp_path, kill):
    whole = train(Device(0.5), NETWORK, SETTINGS, tmp_path / "whole", "code")
    with pytest.raises(InterruptedError):
        train(Device(0.5), NETWORK, SETTINGS, tmp_path / "cut", "code", kill_at(kill))
    resumed = train(Device(0.5), NETWORK, SETTINGS, tmp_path / "cut", "code")
    assert equal(resumed.twin, whole.twin)
    assert resumed.twin.metadata == whole.twin.metadata
    curves = [trained.curve.drop(columns="cpu_seconds") for trained in (resumed, whole)]
    assert curves[0].equals(curves[1])


@pytest.mark.parametrize("drive", [0.3, 5])
def test_warm_start_with_or_without_a_filter_begins_at_the_error_of_the_other_twin(tmp_path, drive):
    data = Device(drive)
    auto = SETTINGS.model_copy(update={"linear_taps": "auto"})
    first = train(data, NETWORK, auto.model_copy(update={"steps": 200}), tmp_path / "a", "code")
    first.twin.save(tmp_path / "twin.safetensors")
    slow = auto.model_copy(update={"muon_rate": 1e-9, "adamw_rate": 1e-9, "seed": 3})
    start = read_warm_start(tmp_path)
    second = train(data, NETWORK, slow, tmp_path / "b", "code", warm_start=start)
    assert second.valid_esr == pytest.approx(first.valid_esr, rel=1e-3)
    other = 0 if first.twin.linear_filter is not None else 64
    with pytest.raises(TrainingError, match=r"warm_start: .*Set linear_taps to auto"):
        train(data, NETWORK, slow.model_copy(update={"linear_taps": other}), tmp_path / "c", "code", warm_start=start)


def test_network_with_a_short_reach_or_a_dry_path_has_no_automatic_filter():
    short = Architecture(channels=2, kernel_size=2, dilations=(1,)).network
    assert fit_linear_part(Device(0), short, "auto") is NO_FILTER
    assert fit_linear_part(Device(0), PRESETS["original"], "auto") is NO_FILTER


def test_unsuitable_length_raises():
    with pytest.raises(TrainingError, match="linear_taps is 500, more than the receptive field of the network, 89"):
        fit_linear_part(Device(0), NETWORK, 500)
    with pytest.raises(TrainingError, match="dry path"):
        fit_linear_part(Device(0), PRESETS["original"], 64)
    data = Device(0)
    data.dry, data.wet = data.dry[:100], data.wet[:100]
    with pytest.raises(TrainingError, match=r"too short or silent for a linear filter of 64 taps\. Add audio"):
        fit_linear_part(data, NETWORK, 64)
    assert fit_linear_part(data, NETWORK, "auto") is NO_FILTER


def test_non_finite_samples_raise():
    data = Device(0)
    data.wet[5000] = np.inf
    with pytest.raises(TrainingError, match="split train of box contains NaN or Inf"):
        fit_linear_part(data, NETWORK, 64)
