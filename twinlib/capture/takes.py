"""Where the recordings of the reels lie, and which are missing."""

from collections.abc import Iterable
from pathlib import Path

from twinlib.capture.settings import Captures
from twinlib.errors import CaptureError


def take_path(pattern: str, reel: str) -> Path:
    """The file that holds the take of a reel: `{reel}` in the pattern is the reel's name."""
    if "{reel}" not in pattern:
        raise CaptureError(f"takes is {pattern!r}: put {{reel}} where the reel's name stands in the file name")
    return Path(pattern.replace("{reel}", reel))


def missing_takes(name: str, device: Captures, reels: Iterable[str]) -> list[tuple[str, Path]]:
    """The reels of which device `name` has no take yet, in order, and the file each should be recorded to."""
    if device.takes is None:
        raise CaptureError(f"device {name} has no takes: only recorded devices miss any")
    paths = [(reel, take_path(device.takes, reel)) for reel in reels]
    return [(reel, path) for reel, path in paths if not path.is_file()]
