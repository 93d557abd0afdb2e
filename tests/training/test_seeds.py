import numpy as np
import pytest

from tests.training.factories import MemoryData, kill_at
from twinlib.model.architecture import Architecture
from twinlib.model.twin import load_twin
from twinlib.training.loop import train
from twinlib.training.seeds import seed_settings, stop_message, train_seeds
from twinlib.training.settings import Training

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 3)).network
SETTINGS = Training(steps=30, batch=2, crop_samples=64, validate_every=10, checkpoint_seconds=0, seed=4, seeds=3)


def data_of(settings: Training) -> MemoryData:
    return MemoryData(NETWORK.receptive_field, seed=settings.seed)


def run(folder, settings=SETTINGS, **rest):
    return train_seeds(data_of, NETWORK, settings, folder, "code", **rest)


def test_best_seed_becomes_the_twin_and_all_curves_are_kept(tmp_path):
    done: list[float] = []
    trained = run(tmp_path / "all", progress=lambda n, note="": done.append(n))
    single = [
        train(data_of(one), NETWORK, one, tmp_path / f"{one.seed}", "code")
        for one in (seed_settings(SETTINGS, k) for k in range(3))
    ]
    best = min(single, key=lambda each: each.valid_esr)
    assert trained.valid_esr == best.valid_esr
    assert all(np.array_equal(value, best.twin.weights[name]) for name, value in trained.twin.weights.items())
    assert trained.curve["seed"].tolist() == [4] * 3 + [5] * 3 + [6] * 3
    assert trained.curve["valid_esr"].tolist() == [value for each in single for value in each.curve["valid_esr"]]
    assert sum(done) == 90
    kept = load_twin(tmp_path / "all")
    assert kept.metadata == trained.twin.metadata
    assert all(np.array_equal(value, trained.twin.weights[name]) for name, value in kept.weights.items())


@pytest.mark.parametrize("kill", [5, 29, 30, 42, 77])
def test_training_killed_in_any_seed_resumes_exactly(tmp_path, kill):
    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", progress=kill_at(kill))
    done: list[float] = []
    resumed = run(tmp_path / "cut", progress=lambda n, note="": done.append(n))
    assert resumed.valid_esr == whole.valid_esr
    assert resumed.curve.drop(columns="cpu_seconds").equals(whole.curve.drop(columns="cpu_seconds"))
    assert sum(done) == 90
    assert done[0] >= kill - 2, "what was done before comes at once"


def test_more_seeds_keep_finished_trainings(tmp_path):
    run(tmp_path, SETTINGS.model_copy(update={"seeds": 1}))
    before = (tmp_path / "seed-4" / "checkpoint.safetensors").stat().st_mtime_ns
    run(tmp_path)
    assert (tmp_path / "seed-4" / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_stop_message_names_the_best_twin(tmp_path):
    assert "no twin yet" in stop_message(tmp_path)
    with pytest.raises(InterruptedError):
        run(tmp_path, progress=kill_at(45))
    sentence = stop_message(tmp_path)
    assert f"twin render {tmp_path}" in sentence
    assert f"{load_twin(tmp_path).metadata['valid_esr']:.3%}" in sentence


def test_twin_of_another_training_is_deleted(tmp_path):
    run(tmp_path)
    with pytest.raises(InterruptedError):
        run(tmp_path, SETTINGS.model_copy(update={"crop_samples": 32, "seed": 40}), progress=kill_at(3))
    assert not (tmp_path / "twin.safetensors").exists()
