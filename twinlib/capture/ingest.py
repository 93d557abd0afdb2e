"""Is this recording usable? Level, clipping, DC, noise, hum and length of a wet file, before anything else is run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, AudioInfo, Reader, read_info
from twinlib.capture.hum import Hum, measure_hum
from twinlib.db import amp_to_db, db_to_amp
from twinlib.errors import CaptureError
from twinlib.files import sha256_file
from twinlib.progress import Progress, no_progress

Verdict = Literal["ok", "suspect", "refused"]

SILENT_DBFS = -80.0
"""A channel whose peak lies below this holds no recording."""
QUIET_DBFS = -40.0
"""A peak below this wastes the converter."""
LEAST_SNR_DB = 40.0
"""Less than this between programme and pauses is heard by the twin's training."""
LEAST_HUM_DB = 40.0
"""Hum less than this under the programme is heard by the twin's training too."""
MOST_DC = 0.01
"""Of full scale."""
CLIP_DBFS = -0.2
"""A peak above this may be clipped."""
CLIP_RUN = 3
"""Samples in a row at the file's own maximum that make a clip."""
MOST_CLIPS = 100
"""Clips that are listed; all are counted."""
MOST_CLIPPED = 0.01
"""Of the samples: a take that is clipped more often has little left to learn from."""
LEAST_SECONDS = 1.0
"""A take that was cut must last as long, or nothing can be found on it..."""
LEAST_PART = 0.05
"""...and be as much of what is needed, or it is hardly a recording of it."""
STEADY_DB = 6.0
"""From its quietest second to its loudest 1 %, a take that varies less holds no programme if the dry file pauses..."""
PAUSES_DB = 60.0
"""...which it does if it varies more: the hardest distortion leaves more than `STEADY_DB` of that."""
QUIET_WINDOWS = 20
"""Windows of 50 ms in a row, a second, in which hum is looked for."""

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
    `hum_hz` is the fundamental of mains hum, to 0.01 Hz, and `hum_dbfs` the rms of it and its harmonics together
    (`twinlib.capture.hum`), found in the quietest second that is not digital silence; both are None if there is none.
    `verdict` says whether the take can be used, and `reasons` why not, or what is odd about it, and what to do.
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
    hum_hz: float | None
    hum_dbfs: float | None
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `twinlib.files.write_json(path, TAKE, ...)`."""
        return dataclasses.asdict(self)


def decibels(ratio: float) -> float:
    """20 log10, at least `FLOOR_DBFS`, to a hundredth."""
    return round(max(FLOOR_DBFS, amp_to_db(ratio)), 2)


@dataclass
class _Quietest:
    """The quietest second of a stream of windows, none of them digital silence: that has no hum to show."""

    power: float = np.inf
    samples: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _last: npt.NDArray[np.float64] | None = None

    def add(self, windows: npt.NDArray[np.float64]) -> None:
        """The next windows, `(count, samples)`."""
        joined = windows if self._last is None else np.concatenate((self._last, windows))
        self._last = joined[-(QUIET_WINDOWS - 1) :].copy()
        if len(joined) < QUIET_WINDOWS:
            return
        power = joined.var(axis=1)
        power[power == 0.0] = np.inf
        sums = np.lib.stride_tricks.sliding_window_view(power, QUIET_WINDOWS).sum(axis=1)
        first = int(np.argmin(sums))
        if sums[first] < self.power:
            self.power = float(sums[first])
            self.samples = joined[first : first + QUIET_WINDOWS].flatten()


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
    quietest: _Quietest = field(default_factory=_Quietest)
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
            self.quietest.add(windows)

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

    def spread_db(self) -> float:
        """How far the loudest 1 % of the windows lie above the quietest: little in noise, much where music pauses."""
        total = int(self.histogram.sum())
        if not total:
            return 0.0
        loudest = -int(np.searchsorted(np.cumsum(self.histogram), 0.01 * total)) / 10.0
        return round(loudest - self.floor_dbfs(), 1)


@dataclass(frozen=True)
class _Dry:
    """The dry file and what is needed of it; its samples are read only if the take is in doubt."""

    info: AudioInfo

    @cached_property
    def levels(self) -> _Levels:
        """Of its first channel."""
        with Reader(self.info.path) as reader:
            return _levels(reader, 0, no_progress)

    @cached_property
    def hum(self) -> Hum | None:
        """What was recorded with the music and is no fault of the take."""
        return measure_hum(self.levels.quietest.samples, self.info.sample_rate)


def ingest(
    wet: Path,
    *,
    reel: Path | None = None,
    frames: int | None = None,
    channel: int = 1,
    reference_channel: int | None = None,
    simulated: bool = False,
    settings: Mapping[str, str | int | float | bool] | None = None,
    progress: Progress = no_progress,
) -> Take:
    """Read a recording once (twice if it may be clipped) in constant memory and judge it.

    `reel` is the dry file it belongs to: the take should last as long, or as long as the first `frames` of it if that
    is given; its rate may be another. `channel` counts from 1, as does `reference_channel`, the loop-back where there
    is one. A bad take is no exception but the verdict `refused` with its reasons; an unreadable file raises
    `AudioError`. `progress` counts frames.
    """
    if channel < 1:
        raise CaptureError(f"channel is {channel}: channels are counted from 1")
    dry = _Dry(read_info(reel)) if reel is not None else None
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
    hum = measure_hum(levels.quietest.samples, info.sample_rate)
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
        hum_hz=hum.hz if hum else None,
        hum_dbfs=hum.dbfs if hum else None,
        settings=dict(settings or {}),
    )
    missing = _missing(take, dry, frames)
    refused = _refusals(take, missing, levels.broken)
    # What was cut off may be the pauses: then nothing is known of its noise.
    paused = dry if dry is not None and not _missing(take, dry) else None
    if not refused:
        refused = _without_programme(take, paused, levels.spread_db())
    suspect = _suspicions(take, missing) + _loop_back(take, reference_channel) + _hum_and_noise(take, dry, paused)
    suspect = [] if refused else suspect
    verdict: Verdict = "refused" if refused else "suspect" if suspect else "ok"
    return dataclasses.replace(take, verdict=verdict, reasons=tuple(refused + suspect))


def _levels(reader: Reader, channel: int, progress: Progress) -> _Levels:
    window = max(1, reader.info.sample_rate // 20)
    levels = _Levels(reader.info.channels, window)
    for position, block in reader.blocks(window * max(1, BLOCK // window)):
        levels.add(position, block, channel)
        progress(len(block))
    return levels


def _clips(reader: Reader, channel: int, low: float, high: float) -> tuple[int, int, tuple[Clip, ...]]:
    """Runs at the file's own maximum (or minimum), joined across blocks: how many, of how many samples, the first."""
    rate = reader.info.sample_rate
    near = db_to_amp(CLIP_DBFS)
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


def _missing(take: Take, dry: _Dry | None, frames: int | None = None) -> float:
    """How many seconds the take is shorter than the first `frames` of the dry file, or all of it; 0 if it is not."""
    rate = dry.info.sample_rate if dry is not None else take.sample_rate
    needed = frames if frames is not None else dry.info.frames if dry is not None else 0
    missing = needed / rate - take.frames / take.sample_rate
    # Less than a sample is how two rates round.
    return missing if missing > 0.999 / min(rate, take.sample_rate) else 0.0


def _refusals(take: Take, missing: float, broken: int | None) -> list[str]:
    reasons = []
    if take.channel > take.channels:
        reasons.append(f"it has {take.channels} channels, no channel {take.channel}: correct `channel`")
    if missing and take.seconds < max(LEAST_SECONDS, LEAST_PART * (take.seconds + missing)):
        reasons.append(_shorter(take, missing, "too little is left to be of use"))
    if broken is not None:
        place = broken / take.sample_rate
        reasons.append(f"sample {broken} ({place:.2f} s) is not a number: export it again without plugins")
    if take.clipped_samples > MOST_CLIPPED * take.frames:
        share = 100.0 * take.clipped_samples / take.frames
        reasons.append(
            f"it is of no use: {share:.1f} % of its samples are clipped, lower the input gain and record again"
        )
    if not reasons and take.peak_dbfs < SILENT_DBFS:
        others = [str(i + 1) for i, peak in enumerate(take.peaks_dbfs) if peak >= SILENT_DBFS]
        remedy = f"use channel {' or '.join(others)}" if others else "check the cables and the input, record again"
        reasons.append(f"channel {take.channel} is silent ({take.peak_dbfs:.0f} dBFS at most): {remedy}")
    return reasons


def _shorter(take: Take, missing: float, consequence: str) -> str:
    """That so many seconds are missing, what follows from that, and what to do."""
    less = f"{missing:.2f} s" if missing >= 0.01 else f"{1000.0 * missing:.2g} ms"
    return (
        f"it lasts {take.seconds:.2f} s, {less} less than the dry file: {consequence}; start recording before the dry "
        "file plays and stop after its end"
    )


def _without_programme(take: Take, dry: _Dry | None, spread: float) -> list[str]:
    """Nothing but hum or noise, always as loud although the dry file pauses, so that its floor is its level."""
    if dry is None or spread >= STEADY_DB or dry.levels.spread_db() < PAUSES_DB:
        return []
    what = f"noise ({take.noise_floor_dbfs:.0f} dBFS)"
    if take.hum_hz is not None and _is_hum(take):
        what = f"hum ({take.hum_hz:.0f} Hz, {take.hum_dbfs:.0f} dBFS)"
    return [f"only {what} was recorded: the device or a cable is unplugged, connect it and record again"]


def _is_hum(take: Take) -> bool:
    """Whether hum is at least half of the power of the quietest second."""
    return take.hum_dbfs is not None and take.hum_dbfs >= take.noise_floor_dbfs - 3.0


def _suspicions(take: Take, missing: float) -> list[str]:
    reasons = []
    if take.clips:
        first = f", first at {take.clipped[0].seconds:.2f} s" if take.clipped else ""
        reasons.append(
            f"it is clipped in {take.clips} places ({take.clipped_samples} samples{first}): lower the input gain and "
            "record again, or these segments are left out"
        )
    if missing:
        reasons.append(_shorter(take, missing, "what is missing is left out"))
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


def _loop_back(take: Take, channel: int | None) -> list[str]:
    """A loop-back channel that cannot stand for the dry signal."""
    if channel is None or not 1 <= channel <= take.channels:
        return []
    peak = take.peaks_dbfs[channel - 1]
    if peak >= CLIP_DBFS:
        return [f"the loop-back (channel {channel}) reaches full scale: lower its input gain and record again"]
    if peak < SILENT_DBFS:
        return [f"the loop-back (channel {channel}) is silent ({peak:.0f} dBFS at most): check its cable"]
    return []


def _hum_and_noise(take: Take, dry: _Dry | None, paused: _Dry | None) -> list[str]:
    """Said once: the noise of pauses that only hum is that hum. `paused` is the dry file if the take has its pauses."""
    hum = _hum(take, dry)
    return hum if hum and _is_hum(take) else hum + _noise(take, paused)


def _hum(take: Take, dry: _Dry | None) -> list[str]:
    """Hum that is loud, unless the dry file has hum of the same mains: a take cannot be better than what was played."""
    if take.hum_hz is None or take.hum_dbfs is None or take.hum_dbfs <= take.rms_dbfs - LEAST_HUM_DB:
        return []
    if dry is not None and dry.hum is not None and abs(dry.hum.hz - take.hum_hz) < 5.0:
        return []
    return [
        f"it hums at {take.hum_hz:.0f} Hz ({take.hum_dbfs:.0f} dBFS, only {take.rms_dbfs - take.hum_dbfs:.0f} dB under "
        "its level): use balanced cables, away from power supplies, plug device and interface into the same outlet "
        "(a ground loop hums) and record again"
    ]


def _noise(take: Take, dry: _Dry | None) -> list[str]:
    """Noise can be told from music only where the dry file pauses."""
    if take.snr_db >= LEAST_SNR_DB or dry is None or dry.levels.floor_dbfs() > SILENT_DBFS:
        return []
    return [
        f"its pauses have {take.noise_floor_dbfs:.0f} dBFS, only {take.snr_db:.0f} dB under its level: look for hum "
        "and noise (cables, grounding, gain staging) and record again"
    ]
