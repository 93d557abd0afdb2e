"""Diagnose an aligned capture: run all checks and amend the alignment."""

from collections.abc import Sequence
from pathlib import Path

from twinlib.alignment import Alignment
from twinlib.diagnosis.amend import amend
from twinlib.findings import Finding
from twinlib.intervals import Range
from twinlib.progress import Progress, no_progress


def diagnose(
    alignment: Alignment,
    dry: Path,
    wet: Path,
    *,
    channel: int = 0,
    witness: Sequence[Range] = (),
    progress: Progress = no_progress,
) -> Alignment:
    """Return the alignment of `wet` with `dry`, amended by whether the wet file follows one fixed device.

    `channel` (from 0) is the aligned channel of the wet file. `witness` are the dry ranges [start, stop) of the
    repeated excerpt; without them, only the programme is compared with itself. A refused alignment is returned as it
    is. `progress` counts to about 100. Raises `AudioError` for unreadable files.
    """
    if alignment.verdict == "refused":
        return alignment
    found: list[Finding] = []
    return amend(alignment, found)
