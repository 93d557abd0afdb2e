import pytest
from pydantic import ValidationError

from twinlib.training import Training


def test_one_budget_is_enough():
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
    ],
)
def test_wrong_sections_are_refused(section):
    with pytest.raises(ValidationError):
        Training.model_validate(section)
