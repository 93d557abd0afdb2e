import pytest
from pydantic import ValidationError

from twinlib.excitation.settings import Excitation, Split


def test_defaults() -> None:
    made = Excitation(seed=1, slices=10)
    assert (made.sample_rate, made.bit_depth, made.channels, made.mono_from) == (44100, 24, 1, "mid")
    assert made.split.shares == {"train": 0.8, "valid": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"crossfade_samples": 5049},
        {"level_db": (0.0, -24.0)},
        {"level_db": (-24.0, 41.0)},
        {"level_db": (float("nan"), 0.0)},
        {"guard_seconds": 0.4},
        {"bit_depth": 20},
        {"channels": 3},
        {"slices": 0},
        {"seed": -1},
        {"reel_minutes": 0},
        {"reel_minutes": float("inf")},
        {"silence_dbfs": 0},
        {"mono_from": "both"},
        {"unknown": 1},
        {"split": {"train": 0.8, "valid": 0.1, "test": 0.2}},
        {"split": {"train": 0, "valid": 0.5, "test": 0.5}},
        {"split": {"by": "album"}},
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Excitation.model_validate({"seed": 1, "slices": 10, **wrong})


def test_every_key_is_described() -> None:
    for section in (Excitation, Split):
        for name, field in section.model_fields.items():
            assert field.description, name


def test_shares_add_up_to_one_within_rounding() -> None:
    Split(train=0.7, valid=0.2, test=0.1 + 5e-10)
    with pytest.raises(ValidationError, match="add up to 1"):
        Split(train=0.7, valid=0.2, test=0.1 + 5e-9)
