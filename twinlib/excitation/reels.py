"""Rendering of a reel from its cue sheet, as a stream."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from twinlib.audio import BLOCK, Signal, Subtype, Writer
from twinlib.errors import ExcitationError
from twinlib.excitation.layout import get_reel, slice_hop
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sources import Sources, apply_fades, apply_gain, crossfade_ramp
from twinlib.excitation.sync_click import make_click
from twinlib.excitation.tones import is_synthetic, is_tone
from twinlib.excitation.witness import make_witness
from twinlib.files import sha256_file
from twinlib.progress import Progress, no_progress

SUBTYPES: dict[int, Subtype] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
"""Sample format of a reel by `bit_depth`."""


def render_reel(
    reel: str, cues: pd.DataFrame, excitation: dict[str, Any], root: Path, out: Path, progress: Progress = no_progress
) -> None:
    """Write one reel as WAV (RF64 beyond 4 GiB) from its cue sheet, `excitation.json` and the sources below `root`.

    `cues` may include other reels. Memory is constant, and the same input gives the same bytes. `progress` counts
    slices. Raises `ExcitationError` if a source has changed since planning, or if the cue sheet does not match
    `excitation.json`.
    """
    settings = planned_settings(excitation)
    layout = get_reel(excitation, reel)
    rows = cues[cues.reel == reel].sort_values("position")
    _check_layout(reel, rows, layout, settings)
    check_sources(rows, root)
    subtype = SUBTYPES[settings.bit_depth]
    with (
        Writer(out, settings.sample_rate, settings.channels, subtype, layout["frames"]) as writer,
        Sources(root, settings) as sources,
    ):
        written = 0
        for position, samples in _parts(rows, layout, settings, sources, progress):
            for part in (*_silence(position - written, settings.channels), samples):
                writer.write(part)
            written = position + len(samples)
        for part in _silence(layout["frames"] - written, settings.channels):
            writer.write(part)


def _parts(
    cues: pd.DataFrame, layout: dict[str, Any], settings: Excitation, sources: Sources, progress: Progress
) -> Iterator[tuple[int, Signal]]:
    """Yield (position, samples) of everything on the reel except silence, in order."""
    marker, witness = (
        np.repeat(make(settings.sample_rate)[:, None], settings.channels, axis=1) for make in (make_click, make_witness)
    )
    yield layout["clicks"][0], marker
    blocks = [(block["start"], block["stop"]) for block in layout["blocks"]]
    repeats = {start for start, _ in layout.get("witness", [])}
    for start, stop in sorted([*blocks, *((start, start) for start in repeats)]):
        if start in repeats:
            yield start, witness
        else:
            yield from _block(cues[(cues.start >= start) & (cues.stop <= stop)], settings, sources, progress)
    yield layout["clicks"][1], marker


def _block(
    cues: pd.DataFrame, settings: Excitation, sources: Sources, progress: Progress
) -> Iterator[tuple[int, Signal]]:
    """Yield the crossfaded slices of a block up to the start of the next slice, and finally the tail."""
    fade = crossfade_ramp(settings.crossfade_samples)
    tail: Signal = np.zeros((0, settings.channels), np.float32)
    stop = 0
    columns = (cues.source, cues.source_start, cues.gain_db, cues.start)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    # A tone continues from slice to slice.
    joins = [is_tone(a[0]) and a[0] == b[0] and b[1] == a[1] + slice_hop(settings) for a, b in pairwise(rows)]
    for (source, source_start, gain_db, start), before, after in zip(
        rows, [False, *joins], [*joins, False], strict=True
    ):
        samples = apply_gain(apply_fades(sources.slice(source, source_start), fade, before, after), gain_db)
        samples[: len(tail)] += tail
        tail, stop = samples[slice_hop(settings) :], start + len(samples)
        yield start, samples[: slice_hop(settings)]
        progress(1)
    yield stop - len(tail), tail


def _silence(frames: int, channels: int) -> Iterator[Signal]:
    for start in range(0, frames, BLOCK):
        yield np.zeros((min(BLOCK, frames - start), channels), np.float32)


def planned_settings(excitation: dict[str, Any]) -> Excitation:
    """Return the settings in `excitation.json`; raises `ExcitationError` if this version does not support them."""
    try:
        return Excitation.from_record(excitation["settings"])
    except (KeyError, TypeError, ValidationError) as error:
        raise ExcitationError(f"excitation.json has settings that this version does not support ({error})") from None


def _check_layout(reel: str, cues: pd.DataFrame, layout: dict[str, Any], settings: Excitation) -> None:
    """Raise `ExcitationError` if the slices do not tile the blocks of the reel, split by split."""
    expected = [
        (block["split"], block["start"] + number * slice_hop(settings))
        for block in layout["blocks"]
        for number in range(block["slices"])
    ]
    found = list(zip(cues.split, cues.start.astype(int), strict=True))
    lengths = set((cues.stop - cues.start).astype(int))
    if found != expected or lengths != {settings.slice_samples}:
        raise ExcitationError(
            f"the cue sheet of {reel} does not match the reel: cues.parquet and excitation.json differ; "
            "restore both, or plan again under a new name"
        )


def list_source_files(cues: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the source files of a cue sheet, relative to the corpus, with their sha256; sorted."""
    pairs = sorted(set(zip(cues.source, cues.source_sha256, strict=True)))
    return [(source, sha256) for source, sha256 in pairs if not is_synthetic(source)]


def check_sources(cues: pd.DataFrame, root: Path) -> None:
    """Raise `ExcitationError` if a source is missing, outside the corpus, or changed since the reel was planned."""
    for source, planned in list_source_files(cues):
        name = PurePosixPath(source)
        if name.is_absolute() or ".." in name.parts:
            raise ExcitationError(
                f"the cue sheet names {source}, which is outside the corpus: plan the excitation again"
            )
        path = root / source
        if not path.is_file():
            raise ExcitationError(f"{path} does not exist, but the reel needs it: restore the file")
        if sha256_file(path) != planned:
            raise ExcitationError(
                f"{path} has changed since the reel was planned (its sha256 differs): restore the file, or create an "
                "excitation under a new name"
            )
