"""The files of the takes, and which are missing."""

from collections.abc import Iterable
from pathlib import Path

from twinlib.capture.settings import Captures
from twinlib.errors import CaptureError


def take_path(pattern: str, reel: str) -> Path:
    """Return the file of the take of a reel: `{reel}` in the pattern is replaced by the name of the reel."""
    if "{reel}" not in pattern:
        raise CaptureError(f"takes is {pattern!r}: put {{reel}} where the file name holds the name of the reel")
    return Path(pattern.replace("{reel}", reel))


def missing_takes(name: str, device: Captures, reels: Iterable[str]) -> list[tuple[str, Path]]:
    """Return the reels without a take of the device `name`, in order, each with the file to record it to."""
    if device.takes is None:
        raise CaptureError(f"device {name} is not recorded from reels: only devices with `takes` can miss takes")
    paths = [(reel, take_path(device.takes, reel)) for reel in reels]
    return [(reel, path) for reel, path in paths if not path.is_file()]


def describe_missing_takes(name: str, missing: Iterable[tuple[str, Path]], excitation: Path) -> str:
    """List the reels of device `name` that a person has to record. `excitation` is the folder of the excitation."""
    lines = [f"  play {excitation / 'reels' / reel}.wav, save the recording as {path}" for reel, path in missing]
    return "\n".join(
        (
            f"{name} waits for {len(lines)} recording(s). How to record: {excitation / 'recording.md'}",
            *lines,
            "  Then run the same command again, or set allow_missing_takes: true to go on without them.",
        )
    )
