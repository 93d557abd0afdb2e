"""The captures of each device: pairs of files, or recorded or simulated takes of reels."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from twinlib.capture.pairs import Pair, aligned_range, read_pairs
from twinlib.capture.settings import Captures
from twinlib.capture.takes import (
    describe_ambiguous_takes,
    describe_missing_takes,
    existing_takes,
    missing_takes,
)
from twinlib.errors import CaptureError
from twinlib.excitation import Excitation, probe_name, reel_names, take_path


@dataclass(frozen=True)
class Capture:
    """The files of a capture, and what the stages need to know about them.

    Channels count from 1. `cut` is the range of the files that a pair uses and its split, `aligned` the range of the
    dry file on which it is aligned, and `known` what the list of pairs says about it. All three are empty for reels.
    """

    kind: Literal["take", "pair", "simulated"]
    dry: Path
    wet: Path
    channel: int
    reference_channel: int | None
    is_probe: bool = False
    cut: Mapping[str, Any] | None = None
    aligned: Mapping[str, int | None] | None = None
    known: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceCaptures:
    """The captures of one device by name, including those of reels without a take.

    `music` and `probes` are the names of the captures that exist, `missing` the reels without a take, each with the
    path of its take. `waiting` says how to record them; it is empty if no take is missing. `ambiguous` says for each
    missing reel with several candidates for its take which these are.
    """

    device: str
    captures: Mapping[str, Capture]
    music: list[str]
    probes: list[str] = field(default_factory=list)
    missing: list[tuple[str, Path]] = field(default_factory=list)
    waiting: str = ""
    ambiguous: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Capture:
        if name not in self.captures:
            raise CaptureError(f"device {self.device} has no capture {name}; known: {', '.join(self.captures)}")
        return self.captures[name]


def find_captures(
    results: Path, devices: Mapping[str, Captures], excitations: Mapping[str, Excitation]
) -> dict[str, DeviceCaptures]:
    """Return the captures of each device; `results` is the folder of the reels and of simulated takes.

    Raises `CaptureError` for an invalid list of pairs, or if a file of a pair does not exist.
    """
    reels = {name: _reels(device, excitations) for name, device in devices.items()}
    return {
        name: _pairs(name, device)
        if device.pairs
        else _takes(name, device, results, reels[name], takes_of_others(name, devices, reels))
        for name, device in devices.items()
    }


def takes_of_others(name: str, devices: Mapping[str, Captures], reels: Mapping[str, Iterable[str]]) -> set[Path]:
    """Return the takes of all devices whose pattern of file names differs from that of the device `name`.

    `reels` are the names of the reels of each device.
    """
    others = {
        other: device.takes
        for other, device in devices.items()
        if device.takes is not None and device.takes != devices[name].takes
    }
    return {take_path(pattern, reel) for other, pattern in others.items() for reel in reels[other]}


def _reels(device: Captures, excitations: Mapping[str, Excitation]) -> dict[str, bool]:
    """Return the reels of a device, the probe reel last, and whether each is the probe reel."""
    if device.excitation is None:
        return {}
    settings = excitations[device.excitation]
    probes = [probe_name(device.excitation)] if settings.probe_reel else []
    return {**dict.fromkeys(reel_names(device.excitation, settings), False), **dict.fromkeys(probes, True)}


def _pairs(name: str, device: Captures) -> DeviceCaptures:
    assert device.pairs is not None
    pairs = read_pairs(device.pairs, device.channel, device.reference_channel)
    for pair in pairs:
        for path in (pair.dry, pair.wet):
            if not path.is_file():
                raise CaptureError(f"pair {pair.capture}: {path} does not exist. Correct the list of pairs")
    captures = {pair.capture: _pair(pair, pairs) for pair in pairs}
    return DeviceCaptures(name, captures, list(captures))


def _pair(pair: Pair, pairs: Iterable[Pair]) -> Capture:
    return Capture(
        kind="pair",
        dry=pair.dry,
        wet=pair.wet,
        channel=pair.channel,
        reference_channel=pair.reference_channel,
        cut={key: getattr(pair, key) for key in ("split", "start", "stop", "clip_samples")},
        aligned=dict(zip(("start", "stop"), aligned_range(pairs, pair), strict=True)),
        known={key: value for key, value in vars(pair.known).items() if value is not None},
    )


def _takes(
    name: str, device: Captures, results: Path, reels: Mapping[str, bool], taken: Collection[Path]
) -> DeviceCaptures:
    excitation = results / "excitations" / str(device.excitation)
    if device.takes is None:
        files, missing = {reel: results / "devices" / name / reel / "take.wav" for reel in reels}, []
        waiting, ambiguous = "", {}
    else:
        missing = missing_takes(name, device, reels, taken)
        files = {**dict(missing), **existing_takes(name, device, reels, taken)}
        waiting = describe_missing_takes(name, device, reels, excitation, taken) if missing else ""
        ambiguous = describe_ambiguous_takes(name, device, reels, taken)
    kind: Literal["take", "simulated"] = "simulated" if device.takes is None else "take"
    captures = {
        reel: Capture(
            kind, excitation / "reels" / f"{reel}.wav", files[reel], device.channel, device.reference_channel, is_probe
        )
        for reel, is_probe in reels.items()
    }
    probes, music = (
        [reel for reel, is_probe in reels.items() if is_probe == wanted and reel not in dict(missing)]
        for wanted in (True, False)
    )
    return DeviceCaptures(name, captures, music, probes, missing, waiting, ambiguous)
