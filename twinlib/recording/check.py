"""The check of one take: its levels, its alignment with the reel, and the changes of the device during it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twinlib.alignment import Alignment, align, align_probe_take
from twinlib.audio import read_info
from twinlib.capture import Take, ingest_take
from twinlib.contracts import PROBE_FILE
from twinlib.diagnosis import describe_notes, diagnose
from twinlib.errors import CaptureError, ExcitationError
from twinlib.excitation import probe_name, read_reel
from twinlib.findings import Verdict, worst
from twinlib.progress import Progress, SubProgress, no_progress

INGEST_PERCENT = 20.0
"""Part of the progress of a check for the measurement of levels."""


@dataclass(frozen=True)
class CheckedTake:
    """The result of a check: the take, its alignment (None if the take is refused before), and the verdict of both."""

    take: Take
    alignment: Alignment | None
    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def check_take(
    take: Path,
    reel: Path,
    layout: Mapping[str, Any] | None,
    *,
    channel: int = 1,
    reference_channel: int | None = None,
    progress: Progress = no_progress,
) -> CheckedTake:
    """Check a recording of a reel as the workflow does.

    `layout` is the entry of the reel in `excitation.json` or `probe.json`; without it the music alone is aligned.
    Channels count from 1. `progress` counts to 100. Raises `AudioError` if a file is unreadable, and `AlignmentError`
    if it lacks the channel.
    """
    frames = read_info(take).frames
    found = ingest_take(
        take,
        reel=reel,
        channel=channel,
        reference_channel=reference_channel,
        progress=SubProgress(progress, INGEST_PERCENT, frames),
    )
    if found.verdict == "refused":
        return CheckedTake(found, None, found.verdict, found.reasons, found.notes)
    aligned = align_take(
        take,
        reel,
        layout,
        channel=channel,
        reference_channel=reference_channel,
        progress=SubProgress(progress, 100.0 - INGEST_PERCENT, 100.0),
    )
    return CheckedTake(
        found,
        aligned,
        worst((found.verdict, aligned.verdict)),
        (*found.reasons, *aligned.reasons),
        (*found.notes, *describe_notes(aligned)),
    )


def align_take(
    take: Path,
    reel: Path,
    layout: Mapping[str, Any] | None,
    *,
    channel: int = 1,
    reference_channel: int | None = None,
    progress: Progress = no_progress,
) -> Alignment:
    """Align a recording with its reel, and compare the device with itself over the recording; see `check_take`."""
    for each in (channel, reference_channel):
        if each is not None and each < 1:
            raise CaptureError(f"channels are counted from 1; there is no channel {each}")
    clicks = [] if layout is None else list(layout["clicks"])
    # Only probe reels have more than two clicks.
    is_probe = len(clicks) > 2
    aligner = partial(align_probe_take, markers=clicks) if is_probe else partial(align, clicks=clicks or None)
    reference = None if reference_channel is None else reference_channel - 1
    found = aligner(reel, take, channel=channel - 1, reference_channel=reference, progress=progress)
    if is_probe:
        return found
    witness = [] if layout is None else [(start, stop) for start, stop in layout.get("witness", [])]
    return diagnose(found, reel, take, channel=channel - 1, witness=witness)


def layout_file(reel: Path) -> Path:
    """Return the file with the layout of a reel in its excitation: `excitation.json`, or `probe.json`."""
    folder = reel.absolute().parent.parent
    return folder / (PROBE_FILE if reel.stem == probe_name(folder.name) else "excitation.json")


def read_layout(reel: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Return the layout of a reel; None, and why it is unknown, if its excitation does not describe it."""
    path = layout_file(reel)
    if not path.is_file():
        return None, f"{path} does not exist, click positions are unknown: aligning on the music"
    try:
        return read_reel(path, reel.stem), ""
    except ExcitationError:
        return None, f"{path} has no reel {reel.stem}: aligning on the music"
