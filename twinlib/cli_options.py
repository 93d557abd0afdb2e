"""Options of several commands, and the devices of a configuration that are recorded from reels."""

# Evaluated annotations would import pandas and numba for every command.
from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib import capture
from twinlib.errors import ConfigError, TwinError
from twinlib.project import find_workflow

if TYPE_CHECKING:
    from twinlib.config import Device

Commands = Any
"""What `argparse` returns for subcommands; its type is private."""

_CONFIG = Path("config/config.yaml")


def add_alignment_options(command: argparse.ArgumentParser, wet: str) -> None:
    """Add the options of the commands that align; `channel` is None for the default."""
    command.add_argument("--channel", type=int, help=f"channel of the {wet}, counted from 1 (default 1)")
    command.add_argument(
        "--reference-channel",
        type=int,
        metavar="N",
        help="channel that recorded the dry signal through a loop-back cable, counted from 1",
    )
    command.add_argument("--plot", type=Path, help="plot lag over time and excluded ranges as SVG")


def check_output(path: Path | None, suffixes: tuple[str, ...], *inputs: Path) -> None:
    """Raise `TwinError` if an output has an unsupported format or would overwrite an input."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise TwinError(f"{path}: unsupported format, use {' or '.join(suffixes)}")
    if path.resolve() in [each.resolve() for each in inputs]:
        raise TwinError(f"{path} is one of the input files: choose another name for the output")


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the options that choose a device of the configuration."""
    command.add_argument("--device", metavar="NAME", help="device of the configuration (default: the only one)")
    command.add_argument("--config", type=Path, default=_CONFIG, help=f"the configuration (default: {_CONFIG})")


def refuse_options(args: argparse.Namespace, names: tuple[str, ...], reason: str) -> None:
    """Raise `TwinError` if one of these options is given."""
    values = {name: getattr(args, name) for name in names}
    # Not a test of truth: 0 is a value.
    given = [
        f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and value is not False
    ]
    if given:
        raise TwinError(f"{reason}: leave out {' and '.join(given)}")


def run_command(config: Path, target: str = "") -> str:
    """Return the command that runs the workflow with a configuration, for the current folder."""
    words = ["snakemake", *([target] if target else [])]
    if not Path("workflow", "Snakefile").is_file():
        # Installed without the workflow, only the user knows where it is.
        with suppress(ConfigError):
            words += ["--snakefile", str(find_workflow())]
    if config != _CONFIG:
        words += ["--configfile", str(config)]
    return shlex.join([*words, "--cores", "2"])


@dataclass(frozen=True)
class RecordedDevice:
    """A device that is recorded from reels: its settings, its captures, and the reels that exist, by name."""

    name: str
    settings: Device
    captures: capture.DeviceCaptures

    @property
    def reels(self) -> dict[str, Path]:
        """The files of the reels."""
        return {name: each.dry for name, each in self.captures.captures.items()}

    @property
    def existing(self) -> dict[str, Path]:
        """The takes that are there."""
        missing = dict(self.captures.missing)
        return {name: each.wet for name, each in self.captures.captures.items() if name not in missing}


def load_devices(path: Path, name: str | None) -> list[RecordedDevice]:
    """Return the devices of a configuration that are recorded from reels, or the named one."""
    # Imported here to save a second in the other commands.
    from twinlib.config import load_config

    if not path.is_file():
        raise TwinError(f"{path} does not exist: run in the folder of your project, or give the file by --config")
    settings = load_config(path)
    devices = {key: device for key, device in settings.devices.items() if device.takes is not None}
    if name is not None and name not in devices:
        known = ", ".join(devices) or "none"
        raise TwinError(f"{path} has no device {name} with `takes`; devices with takes: {known}")
    if not devices:
        raise TwinError(f"{path} has no device with `takes`: add one, see config/README.md")
    captures = capture.find_captures(Path(settings.results), devices, settings.excitations)
    return [RecordedDevice(key, devices[key], captures[key]) for key in devices if name in (None, key)]


def load_device(path: Path, name: str | None) -> RecordedDevice:
    """Return one device that is recorded from reels, all of which have been made."""
    found = load_devices(path, name)
    if len(found) > 1:
        raise TwinError(f"{path} has several devices with takes: choose one by --device: {_names(found)}")
    for reel, file in found[0].reels.items():
        if not file.is_file():
            raise TwinError(f"{file} does not exist: make the reel {reel} by `{run_command(path, 'excitation')}`")
    return found[0]


def _names(devices: Iterable[RecordedDevice]) -> str:
    return ", ".join(device.name for device in devices)
