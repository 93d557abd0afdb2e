from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from twinlib.alignment.result import Repair
from twinlib.config import Device
from twinlib.simulation.settings import Recorder, SimulatedClipper, SimulatedTransformer


def test_a_device_has_one_of_three_sources() -> None:
    assert Device(excitation="main", takes="recordings/{reel}.wav").channel == 1
    assert Device.model_validate({"pairs": "a.tsv"}).excitation is None
    device = Device.model_validate(
        {
            "excitation": "main",
            "simulate": {"circuit": "diode_clipper", "drive": 0.6, "recorder": {"drift_ppm": 12, "invert": True}},
            "settings": {"drive": 6, "bright": True, "mode": "a", "level": 0.5},
        }
    )
    assert isinstance(device.simulate, SimulatedClipper)
    assert device.simulate.recorder == Recorder(drift_ppm=12, invert=True)
    assert device.settings == {"drive": 6, "bright": True, "mode": "a", "level": 0.5}
    other = Device.model_validate({"excitation": "main", "simulate": {"circuit": "transformer"}})
    assert isinstance(other.simulate, SimulatedTransformer)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "exactly one"),
        ({"excitation": "m"}, "exactly one"),
        ({"excitation": "m", "takes": "{reel}.wav", "pairs": "a.tsv"}, "exactly one"),
        ({"excitation": "m", "pairs": "a.tsv"}, "remove `excitation`"),
        ({"takes": "{reel}.wav"}, "add `excitation`"),
        ({"simulate": {"circuit": "transformer"}}, "add `excitation`"),
        ({"excitation": "m", "takes": "one.wav"}, "put {reel}"),
        ({"excitation": "m", "takes": "{reel}/{name}.wav"}, "braces"),
        ({"excitation": "m", "takes": "{reel.wav"}, "braces|put"),
        ({"pairs": "a.tsv", "channel": 0}, "greater than or equal to 1"),
        ({"pairs": "a.tsv", "chanel": 1}, "chanel"),
        ({"pairs": "a.tsv", "reference_channel": 0}, "greater than or equal to 1"),
        ({"excitation": "m", "takes": "{reel}.wav", "reference_channel": 1}, "the device's own `channel` too"),
        ({"pairs": "a.tsv", "channel": 2, "reference_channel": 2}, "the device's own `channel` too"),
        ({"excitation": "m", "simulate": {"circuit": "transformer"}, "reference_channel": 2}, "no loop-back cable"),
        ({"pairs": "a.tsv", "repair": ["hum"]}, "'polarity', 'gain' or 'dc'"),
        ({"excitation": "m", "simulate": {"circuit": "tube"}}, "circuit"),
        ({"excitation": "m", "simulate": {"circuit": "transformer", "drive": 2}}, "drive"),
        ({"excitation": "m", "simulate": {"circuit": "transformer", "recorder": {"bit_depth": 8}}}, "bit_depth"),
        ({"excitation": "m", "simulate": {"circuit": "transformer", "recorder": {"noise_dbfs": float("nan")}}}, "nois"),
    ],
)
def test_invalid_devices_are_rejected(content: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Device.model_validate(content)


def test_repairs_and_reference_channel_are_read() -> None:
    device = Device.model_validate({"excitation": "m", "takes": "{reel}.wav"})
    assert (device.reference_channel, device.repair) == (None, ["polarity"])
    content = {"pairs": "a.tsv", "channel": 2, "reference_channel": 1, "repair": []}
    device = Device.model_validate(content)
    assert (device.reference_channel, device.repair) == (1, [])


def test_repair_options_match_those_of_the_aligner() -> None:
    repairs = get_args(Repair)
    assert Device(pairs=Path("a.tsv"), repair=list(repairs)).repair == list(repairs)


def test_every_field_is_documented() -> None:
    for section in (Device, Recorder, SimulatedClipper, SimulatedTransformer):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
