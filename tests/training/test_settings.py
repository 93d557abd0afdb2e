from pathlib import Path

import pytest
from pydantic import ValidationError

from twinlib.training import Training


def test_one_budget_suffices():
    assert Training(steps=10).cpu_seconds is None
    assert Training(cpu_seconds=1.5).steps is None


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"steps": 10, "cpu_seconds": 1},
        {"steps": 0},
        {"cpu_seconds": 0},
        {"steps": 1, "seed": -1},
        {"steps": 1, "batch": 0},
        {"steps": 1, "crop_samples": 1},
        {"steps": 1, "optimiser": "sgd"},
        {"steps": 1, "device": "tpu"},
        {"steps": 1, "muon_rate": 0},
        {"steps": 1, "adamw_rate": float("nan")},
        {"steps": 1, "decay_fraction": 1.1},
        {"steps": 1, "preemphasis": 1},
        {"steps": 1, "clip_norm": float("inf")},
        {"steps": 1, "epochs": 3},
        {"steps": 1, "average": 1},
        {"steps": 1, "patience": 0},
        {"steps": 1, "seeds": 0},
        {"steps": 1, "processes": 0},
        {"steps": 1, "stft_weight": 0.1, "crop_samples": 511},
    ],
)
def test_invalid_sections_raise(section):
    with pytest.raises(ValidationError):
        Training.model_validate(section)


@pytest.mark.parametrize("named", ["a/b", "a/b/", "./a/c/../b/twin.safetensors"])
def test_twin_path_is_a_file_or_a_folder(named):
    assert Training(steps=1, warm_start=named).twin_to_start_from == Path("a/b/twin.safetensors")
