"""Put recordings where the configuration expects the takes: copy, link or cut, never move or change the original."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from twinlib.audio import BLOCK, Reader, Subtype, Writer
from twinlib.errors import CaptureError
from twinlib.excitation import take_path
from twinlib.files import atomic_path, require_space
from twinlib.progress import Progress, no_progress
from twinlib.recording.content import Identified, Part

PAD_SECONDS = 1.0
"""Silence before and after a reel that a cut keeps, where the file has it."""

State = Literal["placed", "there", "again", "occupied"]


@dataclass(frozen=True)
class Placement:
    """A reel in a file and its place: `span` are the samples to cut out, None for the whole file.

    `state` is `placed` if the file goes to `take`, `there` if `take` has the same samples already, `again` if another
    file of the folder holds the reel too and goes there, and `occupied` if `take` holds another recording.
    """

    source: Path
    part: Part
    take: Path
    span: tuple[int, int] | None
    state: State


def plan_placements(found: Sequence[Identified], takes: str, existing: Mapping[str, Path]) -> list[Placement]:
    """Return where each reel of some files goes; `takes` is the pattern of the configuration.

    `existing` are the takes that are there, by reel; none is replaced. One of these files whose name is only near that
    of a reel that it does not hold is no take of it. Of a reel that came twice, the first complete recording counts.
    """
    misnamed = find_misnamed(found, existing)
    planned: list[Placement] = []
    chosen: dict[str, tuple[bool, Placement]] = {}
    for file in found:
        for number, part in enumerate(file.parts):
            span = _span(file, number)
            wanted = take_path(takes, part.reel)
            take = existing.get(part.reel)
            if take is None or (part.reel in misnamed and take != wanted):
                # The name of the configuration, except for another format: no other file is then taken for this reel.
                is_format = span is not None or file.path.suffix.casefold() == wanted.suffix.casefold()
                take = wanted if is_format else wanted.with_suffix(file.path.suffix)
            each = Placement(file.path, part, take, span, _state(file, span, take))
            planned.append(each)
            is_whole = file.is_whole(part)
            if each.state == "placed" and (part.reel not in chosen or is_whole > chosen[part.reel][0]):
                chosen[part.reel] = is_whole, each
    return [
        replace(each, state="again") if each.state == "placed" and chosen[each.part.reel][1] is not each else each
        for each in planned
    ]


def find_misnamed(found: Sequence[Identified], existing: Mapping[str, Path]) -> dict[str, Path]:
    """Return the takes that are there, by reel, whose files do not hold the reel of their name."""
    files = {file.path.resolve(): [part.reel for part in file.parts] for file in found}
    return {reel: take for reel, take in existing.items() if reel not in files.get(take.resolve(), [reel])}


def place(placement: Placement, link: bool = False, progress: Progress = no_progress) -> None:
    """Copy a file to its place, or `link` it symbolically, or cut a reel out of it with the same samples.

    `progress` counts frames of a cut. Raises `CaptureError` if the place is occupied, and `DiskFullError` if the copy
    does not fit.
    """
    source, take = placement.source, placement.take
    if _exists(take):
        raise CaptureError(f"{take} exists and is not replaced: move it away, and run again")
    if placement.span is not None:
        _cut(source, placement.span, take, progress)
    elif link:
        take.parent.mkdir(parents=True, exist_ok=True)
        aside = take.with_name(f".{take.name}.{os.getpid()}.link")
        aside.unlink(missing_ok=True)
        aside.symlink_to(source.resolve())
        aside.replace(take)
    else:
        require_space(take, source.stat().st_size)
        with atomic_path(take) as aside:
            shutil.copyfile(source, aside)


def _exists(take: Path) -> bool:
    """Whether there is a file, a folder or a link, even one that points nowhere."""
    return take.exists() or take.is_symlink()


def _state(file: Identified, span: tuple[int, int] | None, take: Path) -> State:
    """Return the state of the place of a reel; `placed` if it is free."""
    if not _exists(take):
        return "placed"
    if not take.is_file():
        return "occupied"
    return "there" if take.samefile(file.path) or _has_same_samples(file.path, span, take) else "occupied"


def _span(file: Identified, number: int) -> tuple[int, int] | None:
    """Return the samples of a reel in a file with its silence; None if the file holds nothing else."""
    if len(file.parts) == 1 and not file.other_clicks:
        return None
    part, pad = file.parts[number], round(PAD_SECONDS * file.sample_rate)
    start, stop = part.start - pad, part.stop + pad
    if number:
        start = max(start, min(file.parts[number - 1].stop, part.start))
    if number + 1 < len(file.parts):
        stop = min(stop, max(file.parts[number + 1].start, part.stop))
    return max(0, start), min(file.frames, stop)


def _cut(source: Path, span: tuple[int, int], take: Path, progress: Progress) -> None:
    with Reader(source) as reader:
        info = reader.info
        subtypes: dict[str, Subtype] = {"PCM_16": "PCM_16", "PCM_24": "PCM_24"}
        # The workflow reads all other formats as these samples.
        subtype = subtypes.get(info.subtype, "FLOAT")
        with Writer(take, info.sample_rate, info.channels, subtype, span[1] - span[0]) as writer:
            for _, samples in reader.blocks(BLOCK, *span):
                writer.write(samples)
                progress(len(samples))


def _has_same_samples(source: Path, span: tuple[int, int] | None, take: Path) -> bool:
    with Reader(source) as one, Reader(take) as other:
        start, stop = span or (0, one.info.frames)
        if (stop - start, one.info.channels) != (other.info.frames, other.info.channels):
            return False
        pairs = zip(one.blocks(BLOCK, start, stop), other.blocks(BLOCK), strict=True)
        return all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def describe_unknown(file: Identified) -> str:
    """Return why no reel was found in a file, to follow its name."""
    if file.is_silent:
        return "is silent: check the cables and the channel, and record again"
    if file.other_clicks:
        return (
            f"is a recording of another excitation: it has the click of a reel at {_clock(file.other_clicks[0])}, but "
            "the music of none of these reels"
        )
    return "holds none of the reels: it is another recording, or its device or a cable was unplugged"


def describe_placements(
    found: Sequence[Identified], placements: Sequence[Placement], existing: Mapping[str, Path], link: bool
) -> list[str]:
    """Return a line for each reel in the files, and for each file or part of one that holds none."""
    misnamed = {path.resolve(): reel for reel, path in find_misnamed(found, existing).items()}
    winners = {each.part.reel: each for each in placements if each.state == "placed"}
    lines = []
    for file in found:
        mine = [each for each in placements if each.source == file.path]
        for each in mine:
            lines.append(f"{_where(file, each.part)}: {each.part.reel}, {_what(each, winners, link)}")
        if not mine:
            lines.append(f"{file.path} {describe_unknown(file)}")
        elif file.other_clicks:
            lines.append(
                f"{file.path} also holds clicks at {', '.join(map(_clock, file.other_clicks))} with the music of none "
                "of these reels: a part of another excitation, or a damaged reel"
            )
        if (named := misnamed.get(file.path.resolve())) is not None:
            lines.append(f"{file.path} is the take of {named} by its name, but does not hold it: move it away")
    return lines


def _where(file: Identified, part: Part) -> str:
    if part.start < 0:
        return f"{file.path}, without the first {-part.start / file.sample_rate:.2f} s"
    return f"{file.path} at {_clock(part.start / file.sample_rate)}"


def _what(each: Placement, winners: Mapping[str, Placement], link: bool) -> str:
    match each.state:
        case "placed":
            verb = "cut out" if each.span is not None else "linked" if link else "copied"
            return f"{verb} to {each.take}"
        case "there":
            return f"already in {each.take}"
        case "occupied":
            return f"not used: {each.take} is there and differs. To use this one, move that file away and run again"
        case "again":
            other = winners[each.part.reel]
            return (
                f"not used: the reel came twice, and {other.source} was taken. To use this one, move {other.take} "
                "away, take the other file out of the folder, and run again"
            )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:05.2f}"
