"""Ingest a recording: measure its properties, check them and return the take."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from twinlib.audio import Reader, read_info
from twinlib.capture.hum import measure_hum
from twinlib.capture.levels import ClippingDetector, LevelMeter, find_clipping, measure_levels, to_dbfs
from twinlib.capture.take import ClippedRun, Take
from twinlib.capture.take_checks import CLIP_DBFS, MESSAGES, PAIR_MESSAGES, DryFile, accept_findings, check_take
from twinlib.db import db_to_amp
from twinlib.errors import CaptureError
from twinlib.files import sha256_file
from twinlib.findings import verdict
from twinlib.progress import Progress, no_progress


def ingest_take(
    wet: Path,
    *,
    reel: Path | None = None,
    channel: int = 1,
    reference_channel: int | None = None,
    simulated: bool = False,
    is_pair: bool = False,
    accept: str | None = None,
    settings: Mapping[str, str | int | float | bool] | None = None,
    progress: Progress = no_progress,
) -> Take:
    """Read a recording once (twice if it may be clipped), in constant memory, and check it.

    `reel` is the dry file. The take should last as long, unless it is the wet file of a pair (`is_pair`); the sample
    rates may differ. `accept` is the reason to use a pair although its wet file is clipped or has a constant level.
    `channel` and `reference_channel` (the loop-back, if any) count from 1. A useless take raises no error; its verdict
    is `refused`. Raises `AudioError` if a file is unreadable. `progress` counts frames.
    """
    if channel < 1:
        raise CaptureError(f"channel is {channel}: channels are counted from 1")
    dry = DryFile(read_info(reel)) if reel is not None else None
    with Reader(wet) as reader:
        info = reader.info
        index = min(channel, info.channels) - 1
        levels = measure_levels(reader, channel - 1, progress)
        clipping = _find_clipping(reader, index, levels)
    rate, rms, floor = info.sample_rate, to_dbfs(float(levels.rms[index])), levels.noise_floor_dbfs
    hum = measure_hum(levels.quietest.samples, rate)
    take = Take(
        path=str(wet),
        sha256=sha256_file(wet),
        format=info.format,
        subtype=info.subtype,
        sample_rate=rate,
        channels=info.channels,
        channel=channel,
        frames=info.frames,
        seconds=round(info.seconds, 6),
        bit_depth=info.bit_depth,
        peak_dbfs=to_dbfs(float(levels.peaks[index])),
        peaks_dbfs=tuple(to_dbfs(float(peak)) for peak in levels.peaks),
        rms_dbfs=rms,
        dc=round(float(levels.means[index]), 6),
        noise_floor_dbfs=floor,
        snr_db=round(rms - floor, 2),
        clips=clipping.runs,
        clipped_samples=clipping.samples,
        clipped=tuple(ClippedRun(start, stop - start, round(start / rate, 6)) for start, stop in clipping.first_runs),
        simulated=simulated,
        hum_hz=hum.hz if hum else None,
        hum_dbfs=hum.dbfs if hum else None,
        settings=dict(settings or {}),
        header=info.header,
    )
    findings = check_take(take, info, levels, dry, is_pair, reference_channel)
    findings = accept_findings(findings, accept) if accept else findings
    messages = PAIR_MESSAGES if is_pair else MESSAGES
    reasons, notes = messages.reasons(findings), messages.notes(findings)
    return dataclasses.replace(take, findings=findings, verdict=verdict(findings), reasons=reasons, notes=notes)


def _find_clipping(reader: Reader, index: int, levels: LevelMeter) -> ClippingDetector:
    """Find runs at the minimum and maximum of the file, if these are near full scale."""
    near = db_to_amp(CLIP_DBFS)
    extremes = (float(levels.minimum[index]), float(levels.maximum[index]))
    limits = [limit for limit in extremes if abs(limit) >= near]
    return find_clipping(reader, index, limits) if limits else ClippingDetector(())
