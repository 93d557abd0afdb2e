"""The files of the takes, and the missing takes."""

from collections.abc import Collection, Iterable
from pathlib import Path

from twinlib.capture.settings import Captures
from twinlib.errors import CaptureError
from twinlib.excitation import find_takes, list_sounds, take_path

MAX_PLAYS = 6
"""Largest number of reels to play that a message names; the recording guide names all."""

MAX_LISTED = 6
"""Largest number of files that a message names."""


def missing_takes(
    name: str, device: Captures, reels: Iterable[str], taken: Collection[Path] = ()
) -> list[tuple[str, Path]]:
    """Return the reels without a take of the device `name`, in order, each with the path of its take.

    A take with several candidates is missing too. `taken` are the files of other devices.
    """
    names = list(reels)
    found = existing_takes(name, device, names, taken)
    return [(reel, take_path(str(device.takes), reel)) for reel in names if reel not in found]


def existing_takes(name: str, device: Captures, reels: Iterable[str], taken: Collection[Path] = ()) -> dict[str, Path]:
    """Return the file of the take of each recorded reel of the device `name`, in order.

    `taken` are the files of other devices.
    """
    if device.takes is None:
        raise CaptureError(f"device {name} is not recorded from reels: only devices with `takes` have takes to record")
    names = list(reels)
    candidates = {reel: find_takes(device.takes, reel, names, taken) for reel in names}
    return {reel: files[0] for reel, files in candidates.items() if len(files) == 1}


def describe_missing_takes(
    name: str, device: Captures, reels: Iterable[str], excitation: Path, taken: Collection[Path] = ()
) -> str:
    """Return instructions to record, or to rename, the missing takes of device `name`.

    `reels` are all reels of the device, `excitation` is the folder of its excitation, and `taken` are the files of
    other devices.
    """
    names, pattern = list(reels), str(device.takes)
    missing = missing_takes(name, device, names, taken)
    used = {*existing_takes(name, device, names, taken).values(), *taken}
    remedies, plays, others = [], [], []
    for reel, path in missing:
        candidates = find_takes(pattern, reel, names, taken)
        used.update(candidates)
        if candidates:
            remedies.append(f"  {_describe_candidates(pattern, reel, candidates)}")
        else:
            plays.append(f"  play {excitation / 'reels' / reel}.wav, save the recording as {path}")
    for folder in sorted({path.parent for _, path in missing}):
        if unknown := [file for file in list_sounds(folder) if file not in used]:
            others.append(f"  {folder} also holds {_list(unknown)}: if one is such a recording, give it the name above")
    return "\n".join(
        (
            f"{name} waits for {len(missing)} recording(s). How to record: {excitation / 'recording.md'}",
            *remedies,
            *plays[:MAX_PLAYS],
            *([f"  and so on for {len(plays) - MAX_PLAYS} more reels"] if len(plays) > MAX_PLAYS else []),
            *others,
            "  Then run the same command again, or set allow_missing_takes: true to continue without them.",
        )
    )


def describe_ambiguous_takes(
    name: str, device: Captures, reels: Iterable[str], taken: Collection[Path] = ()
) -> dict[str, str]:
    """Return for each reel of the device `name` with several candidates for its take which these are, and the remedy.

    `taken` are the files of other devices.
    """
    names, pattern = list(reels), str(device.takes)
    found = {reel: find_takes(pattern, reel, names, taken) for reel, _ in missing_takes(name, device, names, taken)}
    return {reel: _describe_candidates(pattern, reel, files) for reel, files in found.items() if files}


def _describe_candidates(pattern: str, reel: str, candidates: list[Path]) -> str:
    folder = take_path(pattern, reel).parent
    return f"{folder} holds {_list(candidates)} for the reel {reel}: {_remedy(pattern, reel, candidates)}"


def _remedy(pattern: str, reel: str, candidates: list[Path]) -> str:
    """Return how to choose a candidate: leave it alone in the folder, or name its suffix in the pattern."""
    suffixes = [file.suffix for file in candidates if file.stem == take_path(pattern, reel).stem]
    remedy = "leave only the right one there"
    return f"{remedy}, or write takes: {Path(pattern).with_suffix(suffixes[0])}" if suffixes else remedy


def _list(files: list[Path]) -> str:
    names = [file.name for file in files[:MAX_LISTED]]
    if len(files) > MAX_LISTED:
        names.append(f"{len(files) - MAX_LISTED} more")
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
