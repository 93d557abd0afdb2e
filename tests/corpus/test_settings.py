import pytest
from pydantic import ValidationError

from twinlib.corpus import Corpus


def test_defaults() -> None:
    made = Corpus.model_validate({"root": "x"})
    assert (made.layout, made.audio, made.licence_of_all) == ("medleydb", ("mix",), "CC BY-NC-SA 4.0")
    assert Corpus.model_validate({"root": "x", "licence": "CC0-1.0"}).licence_of_all == "CC0-1.0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "folder"},
        {"layout": "folder", "licence": "CC0", "audio": ["stems"]},
        {"layout": "folder", "licence": "CC0", "metadata": "x"},
        {"layout": "other"},
        {"audio": []},
        {"audio": ["mix", "mix"]},
        {"audio": ["stem"]},
        {"licence": ""},
        {"unknown": 1},
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Corpus.model_validate({"root": "x", **wrong})


def test_every_key_is_described() -> None:
    for name, field in Corpus.model_fields.items():
        assert field.description, name
