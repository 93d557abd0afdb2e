"""Diagnose an aligned capture: run all checks and amend the alignment."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twinlib.alignment import Alignment, WarpedReader
from twinlib.audio import Reader
from twinlib.diagnosis.amend import amend
from twinlib.diagnosis.witness import WitnessReport, compare_witness
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
    if witness:
        report = _compare_witness(alignment, dry, wet, channel, witness)
        found += report.findings
        alignment = replace(alignment, noise_floor_dbfs=report.noise_floor_dbfs, witness=report.witness)
    return amend(alignment, found)


def _compare_witness(
    alignment: Alignment, dry: Path, wet: Path, channel: int, witness: Sequence[Range]
) -> WitnessReport:
    guard = alignment.guard_samples
    with Reader(dry) as played, WarpedReader(wet, alignment, channel) as warped:
        column = channel if channel < played.info.channels else 0
        return compare_witness(
            alignment,
            witness,
            lambda start, stop: played.read(start, stop)[:, column],
            lambda start, stop: warped.read(start + guard, stop + guard),
        )
