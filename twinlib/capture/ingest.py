"""Is this recording usable? Level, clipping, DC, noise and length of a wet file, before anything else is run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, AudioInfo, Reader, probe
from twinlib.errors import CaptureError
from twinlib.files import sha256_file
from twinlib.progress import Progress, silent

CONTRACT = "take/1"
"""The contract of take.json."""

Verdict = Literal["ok", "suspect", "refused"]

SILENT_DBFS = -80.0
"""A channel whose peak lies below this holds no recording."""
QUIET_DBFS = -40.0
"""A peak below this wastes the converter."""
LEAST_SNR_DB = 40.0
"""Less than this between programme and pauses is heard by the twin's training."""
MOST_DC = 0.01
"""Of full scale."""
CLIP_DBFS = -0.2
"""A peak above this may be clipped."""
CLIP_RUN = 3
"""Samples in a row at the file's own maximum that make a clip."""
MOST_CLIPS = 100
"""Clips that are listed; all are counted."""

FLOOR_DBFS = -160.0
"""What digital silence is called."""


@dataclass(frozen=True)
class Clip:
    """Samples in a row at the maximum: where the first is on the wet file."""

    start: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class Take:
    """What is known of one recording; `peaks_dbfs` by channel, all else of the chosen `channel` (from 1).

    Levels are dB of full scale. `noise_floor_dbfs` is the rms that the quietest second (at most 5 %)
    of 50 ms windows stays below, `snr_db` the rms level over it. `clipped` lists the first 100 of `clips`.
    """

    path: str
    sha256: str
    format: str
    subtype: str
    sample_rate: int
    channels: int
    channel: int
    frames: int
    seconds: float
    bit_depth: int | None
    peak_dbfs: float
    peaks_dbfs: tuple[float, ...]
    rms_dbfs: float
    dc: float
    noise_floor_dbfs: float
    snr_db: float
    clips: int
    clipped_samples: int
    clipped: tuple[Clip, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    simulated: bool
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `twinlib.files.write_json(path, CONTRACT, ...)`."""
        return dataclasses.asdict(self)


def decibels(ratio: float) -> float:
    """20 log10, at least `FLOOR_DBFS`, to a hundredth."""
    return round(max(FLOOR_DBFS, 20.0 * float(np.log10(max(ratio, 1e-12)))), 2)


@dataclass
class _Levels:
    """Running sums over a file; the histogram of window levels keeps the memory constant."""

    channels: int
    window: int
    low: npt.NDArray[np.float64] = field(init=False)
    high: npt.NDArray[np.float64] = field(init=False)
    sums: npt.NDArray[np.float64] = field(init=False)
    squares: npt.NDArray[np.float64] = field(init=False)
    histogram: npt.NDArray[np.int64] = field(init=False)
    broken: int | None = None

    def __post_init__(self) -> None:
        self.low, self.high = np.zeros(self.channels), np.zeros(self.channels)
        self.sums, self.squares = np.zeros(self.channels), np.zeros(self.channels)
        self.histogram = np.zeros(1601, np.int64)

    def add(self, position: int, block: npt.NDArray[np.float32], channel: int) -> None:
        whole = np.isfinite(block)
        if not whole.all() and self.broken is None:
            self.broken = position + int(np.argmin(whole.all(axis=1)))
        samples = np.where(whole, block, 0.0).astype(np.float64)
        self.low, self.high = np.minimum(self.low, samples.min(axis=0)), np.maximum(self.high, samples.max(axis=0))
        self.sums += samples.sum(axis=0)
        self.squares += (samples**2).sum(axis=0)
        count = len(samples) // self.window
        if count and channel < self.channels:
            windows = samples[: count * self.window, channel].reshape(count, self.window)
            level = 10.0 * np.log10(np.maximum(windows.var(axis=1), 1e-16))
            self.histogram += np.bincount(np.clip(np.round(-10.0 * level), 0, 1600).astype(int), minlength=1601)

    @property
    def peaks(self) -> npt.NDArray[np.float64]:
        return np.maximum(self.high, -self.low)

    def floor_dbfs(self) -> float:
        """What the quietest second, at most 5 %, of the windows stays below; bin i is -i/10 dB."""
        total = int(self.histogram.sum())
        if not total:
            return FLOOR_DBFS
        quietest = np.cumsum(self.histogram[::-1])
        return round((int(np.searchsorted(quietest, min(20, 0.05 * total))) - 1600) / 10.0, 1)


def ingest(
    wet: Path,
    *,
    reel: Path | None = None,
    frames: int | None = None,
    channel: int = 1,
    simulated: bool = False,
    settings: Mapping[str, str | int | float | bool] | None = None,
    progress: Progress = silent,
) -> Take:
    """Read a recording once (twice if it may be clipped) in constant memory and judge it.

    `reel` is the dry file it belongs to: the rate must be the same and the take must be as long, or `frames` long if
    that is given. `channel` counts from 1. A bad take is no exception but the verdict `refused` with its reasons;
    an unreadable file raises `AudioError`. `progress` counts frames.
    """
    if channel < 1:
        raise CaptureError(f"channel is {channel}: channels are counted from 1")
    dry = probe(reel) if reel is not None else None
    with Reader(wet) as reader:
        info = reader.info
        levels = _levels(reader, channel - 1, progress)
        here = min(channel, info.channels) - 1
        peak = float(levels.peaks[here])
        clips, samples = 0, 0
        clipped: tuple[Clip, ...] = ()
        if decibels(peak) >= CLIP_DBFS:
            clips, samples, clipped = _clips(reader, here, float(levels.low[here]), float(levels.high[here]))
    rms = float(np.sqrt(levels.squares[here] / info.frames))
    floor = levels.floor_dbfs()
    take = Take(
        path=str(wet),
        sha256=sha256_file(wet),
        format=info.format,
        subtype=info.subtype,
        sample_rate=info.sample_rate,
        channels=info.channels,
        channel=channel,
        frames=info.frames,
        seconds=round(info.seconds, 6),
        bit_depth=info.bit_depth,
        peak_dbfs=decibels(peak),
        peaks_dbfs=tuple(decibels(float(one)) for one in levels.peaks),
        rms_dbfs=decibels(rms),
        dc=round(float(levels.sums[here]) / info.frames, 6),
        noise_floor_dbfs=floor,
        snr_db=round(decibels(rms) - floor, 2),
        clips=clips,
        clipped_samples=samples,
        clipped=clipped,
        verdict="ok",
        reasons=(),
        simulated=simulated,
        settings=dict(settings or {}),
    )
    needed = frames if frames is not None else dry.frames if dry is not None else 0
    refused = _refusals(take, dry, needed, levels.broken)
    suspect = _suspicions(take) if not refused else []
    if reel is not None and not refused:
        suspect += _noise(take, reel)
    verdict: Verdict = "refused" if refused else "suspect" if suspect else "ok"
    return dataclasses.replace(take, verdict=verdict, reasons=tuple(refused + suspect))


def _levels(reader: Reader, channel: int, progress: Progress) -> _Levels:
    window = max(1, reader.info.sample_rate // 20)
    levels = _Levels(reader.info.channels, window)
    for position, block in reader.blocks(window * max(1, BLOCK // window)):
        levels.add(position, block, channel)
        progress(len(block))
    return levels


def _noise(take: Take, reel: Path) -> list[str]:
    """Noise can be told from music only where the dry file pauses."""
    if take.snr_db >= LEAST_SNR_DB:
        return []
    with Reader(reel) as reader:
        if _levels(reader, 0, silent).floor_dbfs() > SILENT_DBFS:
            return []
    return [
        f"its pauses have {take.noise_floor_dbfs:.0f} dBFS, only {take.snr_db:.0f} dB under its level: look for hum "
        "and noise (cables, grounding, gain staging) and record again"
    ]


def _clips(reader: Reader, channel: int, low: float, high: float) -> tuple[int, int, tuple[Clip, ...]]:
    """Runs at the file's own maximum (or minimum), joined across blocks: how many, of how many samples, the first."""
    rate = reader.info.sample_rate
    near = 10.0 ** (CLIP_DBFS / 20.0)
    clips, total, listed = 0, 0, []
    for limit in (low, high):
        if abs(limit) < near:
            continue
        run = 0
        for position, block in reader.blocks():
            at = block[:, channel] == np.float32(limit)
            if run == 0 and not at.any():
                continue
            # A border before and behind: every change between them starts or ends a run.
            edges = np.flatnonzero(np.diff(np.concatenate(([run > 0], at, [False])).astype(np.int8)))
            starts = [position - run, *(position + edges).tolist()] if run else (position + edges).tolist()
            last = position + len(block)
            run = 0
            for start, stop in zip(starts[::2], starts[1::2], strict=True):
                if stop == last and last < reader.info.frames:
                    run = stop - start
                elif stop - start >= CLIP_RUN:
                    clips, total = clips + 1, total + stop - start
                    listed.append(Clip(start, stop - start, round(start / rate, 6)))
            listed = sorted(listed, key=lambda one: one.start)[: 2 * MOST_CLIPS]
    return clips, total, tuple(listed[:MOST_CLIPS])


def _refusals(take: Take, dry: AudioInfo | None, needed: int, broken: int | None) -> list[str]:
    reasons = []
    if take.channel > take.channels:
        reasons.append(f"it has {take.channels} channels, no channel {take.channel}: correct `channel`")
    if dry is not None and take.sample_rate != dry.sample_rate:
        reasons.append(
            f"it has {take.sample_rate} Hz, the dry file {dry.sample_rate} Hz: set the interface to "
            f"{dry.sample_rate} Hz and record again, or resample it"
        )
    elif take.frames < needed:
        missing = (needed - take.frames) / take.sample_rate
        reasons.append(
            f"it lasts {take.seconds:.2f} s, {missing:.2f} s less than the dry file: start recording before the dry "
            "file plays and stop after its end"
        )
    if broken is not None:
        place = broken / take.sample_rate
        reasons.append(f"sample {broken} ({place:.2f} s) is not a number: export it again without plugins")
    if not reasons and take.peak_dbfs < SILENT_DBFS:
        others = [str(i + 1) for i, peak in enumerate(take.peaks_dbfs) if peak >= SILENT_DBFS]
        remedy = f"use channel {' or '.join(others)}" if others else "check the cables and the input, record again"
        reasons.append(f"channel {take.channel} is silent ({take.peak_dbfs:.0f} dBFS at most): {remedy}")
    return reasons


def _suspicions(take: Take) -> list[str]:
    reasons = []
    if take.clips:
        first = f", first at {take.clipped[0].seconds:.2f} s" if take.clipped else ""
        reasons.append(
            f"it is clipped in {take.clips} places ({take.clipped_samples} samples{first}): lower the input gain and "
            "record again, or these segments are left out"
        )
    louder = max(range(take.channels), key=lambda i: take.peaks_dbfs[i])
    if take.peaks_dbfs[louder] > take.peak_dbfs + 30.0:
        reasons.append(
            f"channel {louder + 1} is {take.peaks_dbfs[louder] - take.peak_dbfs:.0f} dB louder than the chosen "
            f"channel {take.channel}: check `channel`"
        )
    if abs(take.dc) > MOST_DC:
        reasons.append(
            f"its mean is {take.dc:.3f} of full scale: the interface adds DC, use its high-pass or another input"
        )
    if take.peak_dbfs < QUIET_DBFS:
        reasons.append(f"its peak is {take.peak_dbfs:.0f} dBFS: raise the input gain and record again")
    return reasons
