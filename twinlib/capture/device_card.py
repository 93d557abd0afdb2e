"""The device card: make, model, levels and circumstances of the recording of a device."""

import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from twinlib.contracts import DEVICE_CARD, DEVICE_CARD_FILE
from twinlib.errors import ConfigError, TwinError
from twinlib.files import read_json
from twinlib.parsing import read_yaml
from twinlib.section import Section

GearType = Literal["amp", "pedal", "pedal_amp", "amp_cab", "amp_pedal_cab", "preamp", "studio"]
"""Kinds of gear as Neural Amp Modeler and TONE3000 name them."""

ToneType = Literal["clean", "overdrive", "crunch", "hi_gain", "fuzz"]


class DeviceCard(Section, coerce_numbers_to_str=True):
    """Description of a device and of its recording. Every key is optional; it changes no dataset and no weights.

    `twin record` asks for it once and writes `DEVICE.card.yaml` beside the takes; keys given here take precedence.
    """

    name: str | None = None
    """Title of the twin in players; null for the key of the device."""
    make: str | None = None
    """Manufacturer: `Klon`."""
    model: str | None = None
    """Model: `Centaur`."""
    serial: str | None = None
    """Serial number of this unit."""
    knobs: str | None = None
    """Positions of all knobs and switches in words: `drive 5, tone 12:30`. Those in `settings` of the device are stored
    with every segment."""
    gear_type: GearType | None = None
    """Kind of gear, by which players sort; `studio` for tape machines, compressors and equalisers."""
    tone_type: ToneType | None = None
    """Amount of distortion, by which players sort."""
    modeled_by: str | None = None
    """Author of the twin, shown by players."""
    input_level_dbu: float | None = Field(default=None, ge=-60, le=40)
    """Level in dBu at the device's input of a 1 kHz sine with a peak of 0 dBFS in the dry file. Players calibrate with
    it: 20 log10(V / 0.7746) for an rms voltage of V."""
    output_level_dbu: float | None = Field(default=None, ge=-60, le=40)
    """Level in dBu at the interface's input of a 1 kHz sine that reaches a peak of 0 dBFS in the wet file."""
    date: datetime.date | None = None
    """Day of the recording: `2026-05-01`."""
    recorded_by: str | None = None
    """Person who recorded the takes."""
    interface: str | None = None
    """Audio interface, with its gains and pads."""
    cables: str | None = None
    """Signal path: cables, reamp box, DI box."""
    notes: str | None = None
    """Anything else."""

    @property
    def given(self) -> dict[str, Any]:
        """The keys with a value, as JSON."""
        return self.model_dump(mode="json", exclude_none=True)


def takes_folder(takes: str) -> Path:
    """Return the folder below which all takes of a pattern such as `recordings/silk/{reel}.wav` are."""
    parts = Path(takes).parts
    return Path(*parts[: next(number for number, part in enumerate(parts) if "{reel}" in part)])


def card_path(takes: str, device: str) -> Path:
    """Return the file of the card that lies beside the takes of a device; `takes` is their pattern."""
    return takes_folder(takes) / f"{device}.card.yaml"


def merge_card(takes: str | None, device: str, configured: DeviceCard) -> DeviceCard:
    """Return the card of a device: the file beside its takes, if there is one, and over it the keys that the
    configuration gives. Raises `ConfigError` if the file is invalid.
    """
    path = card_path(takes, device) if takes is not None else None
    if path is None or not path.is_file():
        return configured
    try:
        content = read_yaml(path)
    except TwinError as error:
        raise ConfigError(str(error)) from None
    try:
        return DeviceCard.model_validate({**(content or {}), **configured.given})
    except (ValidationError, TypeError) as error:
        reasons = [item["msg"] for item in error.errors()] if isinstance(error, ValidationError) else ["it has no keys"]
        raise ConfigError(f"{path} is no card of a device ({'; '.join(reasons)}): correct it, or delete it") from None


def read_device_card(results: Path, device: str) -> dict[str, Any]:
    """Return the given keys of the card of a device in a results folder; empty without a card."""
    path = results / "devices" / device / DEVICE_CARD_FILE
    return dict(read_json(path, DEVICE_CARD)["card"]) if path.is_file() else {}
