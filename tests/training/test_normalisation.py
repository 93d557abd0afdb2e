import numpy as np
import pytest

from tests.training.factories import MemoryData
from twinlib.errors import TrainingError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.training.normalisation import INPUT_RMS, measure_gains, target_rms

NETWORK = Architecture(channels=2, kernel_size=2, dilations=(1,)).network


def rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(signal))))


def test_gains_bring_crops_to_the_target_levels():
    data = MemoryData(NETWORK.receptive_field)
    input_gain, output_gain, share = measure_gains(data, NETWORK)
    batches = [data.batch(step) for step in range(64)]
    dry, wet = (np.concatenate([batch[part] for batch in batches]) for part in (0, 1))
    assert rms(input_gain * dry) == pytest.approx(INPUT_RMS, rel=1e-5)
    assert rms(wet / output_gain) == pytest.approx(target_rms(NETWORK), rel=1e-5)
    assert share == 1


def test_dry_path_keeps_unity_gain():
    input_gain, output_gain, _ = measure_gains(MemoryData(2048), PRESETS["original"])
    assert input_gain * output_gain == pytest.approx(1)


@pytest.mark.parametrize("part", ["dry", "wet"])
def test_silent_split_raises(part):
    data = MemoryData(NETWORK.receptive_field)
    getattr(data, part)[:] = 0
    with pytest.raises(TrainingError, match=f"{part} signal of the training split is silent"):
        measure_gains(data, NETWORK)


def test_non_finite_samples_raise_with_their_crop():
    data = MemoryData(NETWORK.receptive_field)
    data.wet[:] = np.nan
    with pytest.raises(TrainingError, match="memory at sample"):
        measure_gains(data, NETWORK)
