"""Evaluation of a twin on a dry and a wet file, which are aligned first."""

from pathlib import Path
from typing import Any

from twinlib.alignment import Alignment, WarpedReader, align
from twinlib.audio import Reader
from twinlib.diagnosis import diagnose
from twinlib.errors import AlignmentError, ModelError
from twinlib.evaluation.evaluate import TakeUnderTest, evaluate_pair
from twinlib.evaluation.settings import Evaluation
from twinlib.model import Twin
from twinlib.progress import show_progress


def evaluate_files(twin: Twin, dry: Path, wet: Path, channel: int = 0) -> tuple[dict[str, Any], Alignment]:
    """Align one channel (from 0) of a wet file and evaluate a twin on it; return the metrics and the alignment.

    Shows a progress bar. Raises `AlignmentError` if the files cannot be aligned, `ModelError` if the dry file has
    another sample rate than the twin, and what `evaluate_pair` raises.
    """
    found = align(dry, wet, channel=channel, guard_samples=twin.guard_samples)
    found = diagnose(found, dry, wet, channel=channel)
    if found.verdict == "refused":
        raise AlignmentError("this pair cannot be aligned: " + "; ".join(found.reasons))
    if found.sample_rate != twin.sample_rate:
        raise ModelError(f"the twin runs at {twin.sample_rate} Hz, {dry} has {found.sample_rate} Hz: resample the pair")
    with Reader(dry) as dry_reader, WarpedReader(wet, found, channel) as wet_reader:
        start, stop = wet_reader.valid_range()
        # The dry channel used by the alignment: the same one if the file has it, else the first.
        column = channel if channel < dry_reader.info.channels else 0
        take = TakeUnderTest(str(wet), (start + found.lag_samples) / twin.sample_rate, found.verdict, found.reasons)
        with show_progress(f"evaluate {wet}", (stop - start) / twin.sample_rate, "s of audio") as done:
            metrics = evaluate_pair(
                twin,
                lambda first, last: dry_reader.read(start + first, start + last)[:, column],
                lambda first, last: wet_reader.read(start + first, start + last),
                stop - start,
                Evaluation(),
                take,
                done,
            )
    return metrics, found
