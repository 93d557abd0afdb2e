"""The files of the takes, and the missing takes."""

from collections.abc import Iterable
from pathlib import Path

from twinlib.capture.settings import Captures
from twinlib.errors import CaptureError


def take_path(pattern: str, reel: str) -> Path:
    """Return the file of the take of a reel: the pattern with the name of the reel in place of `{reel}`."""
    if "{reel}" not in pattern:
        raise CaptureError(f"takes is {pattern!r}: put {{reel}} at the place of the reel's name")
    return Path(pattern.replace("{reel}", reel))


def missing_takes(name: str, device: Captures, reels: Iterable[str]) -> list[tuple[str, Path]]:
    """Return the reels without a take of the device `name`, in order, each with the path of its take."""
    if device.takes is None:
        raise CaptureError(f"device {name} is not recorded from reels: only devices with `takes` have takes to record")
    paths = [(reel, take_path(device.takes, reel)) for reel in reels]
    return [(reel, path) for reel, path in paths if not path.is_file()]


def describe_missing_takes(name: str, missing: Iterable[tuple[str, Path]], excitation: Path) -> str:
    """Return instructions to record the missing takes of device `name`. `excitation` is its folder."""
    lines = [f"  play {excitation / 'reels' / reel}.wav, save the recording as {path}" for reel, path in missing]
    return "\n".join(
        (
            f"{name} waits for {len(lines)} recording(s). How to record: {excitation / 'recording.md'}",
            *lines,
            "  Then run the same command again, or set allow_missing_takes: true to continue without them.",
        )
    )
