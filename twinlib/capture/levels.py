"""Level and clipping measurements on a stream of blocks, in constant memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Reader, Signal
from twinlib.capture.dc_step import DcStep, DcTrack
from twinlib.db import amp_to_db, power_to_db
from twinlib.intervals import find_runs
from twinlib.progress import Progress, no_progress

FLOOR_DBFS = -160.0
"""Level of digital silence."""

WINDOWS_PER_SECOND = 20
"""Levels are measured in windows of 50 ms."""

CLIP_RUN = 3
"""Minimum number of consecutive samples at the maximum of the file that count as clipped."""
MAX_LISTED = 100
"""Maximum number of listed clipped runs; all runs are counted."""

Array = npt.NDArray[np.float64]


def to_dbfs(amplitude: float) -> float:
    """Return an amplitude in dB of full scale, at least `FLOOR_DBFS`, rounded to 0.01 dB."""
    return round(max(FLOOR_DBFS, amp_to_db(amplitude)), 2)


@dataclass
class QuietestSecond:
    """The quietest second of a stream of windows, without digital silence, which hides hum."""

    power: float = np.inf
    samples: Array = field(default_factory=lambda: np.zeros(0))
    _previous: Array | None = None

    def add(self, windows: Array) -> None:
        """Add the next windows, `(count, samples)`."""
        joined = windows if self._previous is None else np.concatenate((self._previous, windows))
        self._previous = joined[-(WINDOWS_PER_SECOND - 1) :].copy()
        if len(joined) < WINDOWS_PER_SECOND:
            return
        power = joined.var(axis=1)
        power[power == 0.0] = np.inf
        sums = np.lib.stride_tricks.sliding_window_view(power, WINDOWS_PER_SECOND).sum(axis=1)
        first = int(np.argmin(sums))
        if sums[first] < self.power:
            self.power = float(sums[first])
            self.samples = joined[first : first + WINDOWS_PER_SECOND].flatten()


class LevelMeter:
    """Levels of a stream: extremes, sums and squares of all channels, and windows of 50 ms of one `channel` (from 0).

    Samples that are not finite count as 0. A histogram of window levels, in steps of 0.1 dB, keeps the memory constant.
    """

    def __init__(self, sample_rate: int, channels: int, channel: int) -> None:
        self.window = max(1, sample_rate // WINDOWS_PER_SECOND)
        """Samples of a window. All blocks except the last must contain whole windows."""
        self.frames = 0
        self.first_non_finite: int | None = None
        self.minimum, self.maximum = np.zeros(channels), np.zeros(channels)
        self.quietest = QuietestSecond()
        self._channel = channel if channel < channels else None
        self._sums, self._squares = np.zeros(channels), np.zeros(channels)
        self._histogram = np.zeros(1601, np.int64)
        self._offsets = DcTrack()

    def add(self, block: Signal) -> None:
        """Add the next samples, `(frames, channels)`."""
        finite = np.isfinite(block)
        if self.first_non_finite is None and not finite.all():
            self.first_non_finite = self.frames + int(np.argmin(finite.all(axis=1)))
        self.frames += len(block)
        samples = np.where(finite, block, 0.0).astype(np.float64)
        self.minimum = np.minimum(self.minimum, samples.min(axis=0))
        self.maximum = np.maximum(self.maximum, samples.max(axis=0))
        self._sums += samples.sum(axis=0)
        self._squares += (samples**2).sum(axis=0)
        count = len(samples) // self.window
        if count and self._channel is not None:
            windows = samples[: count * self.window, self._channel].reshape(count, self.window)
            variances = windows.var(axis=1)
            level = power_to_db(variances, 1e-16)
            self._offsets.add((self.frames - len(block)) / self.window, windows.mean(axis=1), variances)
            bins = np.clip(np.round(-10.0 * level), 0, 1600).astype(int)
            self._histogram += np.bincount(bins, minlength=len(self._histogram))
            self.quietest.add(windows)

    @property
    def peaks(self) -> Array:
        """The peak amplitude by channel."""
        return np.maximum(self.maximum, -self.minimum)

    @property
    def means(self) -> Array:
        """The mean by channel."""
        return self._sums / self.frames

    @cached_property
    def dc_step(self) -> DcStep | None:
        """The largest step of the mean of the channel; None without a step."""
        return self._offsets.find_step(1.0 / WINDOWS_PER_SECOND)

    @property
    def rms(self) -> Array:
        """The root mean square by channel."""
        return np.asarray(np.sqrt(self._squares / self.frames))

    @property
    def noise_floor_dbfs(self) -> float:
        """The highest level among the quietest second of windows, at most 5 % of all windows."""
        total = int(self._histogram.sum())
        if not total:
            return FLOOR_DBFS
        # Bin i is -i/10 dB.
        quietest = np.cumsum(self._histogram[::-1])
        return round((int(np.searchsorted(quietest, min(WINDOWS_PER_SECOND, 0.05 * total))) - 1600) / 10.0, 1)

    @property
    def dynamic_range_db(self) -> float:
        """The ratio of the loudest 1 % of windows to the noise floor: small in noise, large in music with pauses."""
        total = int(self._histogram.sum())
        if not total:
            return 0.0
        loudest = -int(np.searchsorted(np.cumsum(self._histogram), 0.01 * total)) / 10.0
        return round(loudest - self.noise_floor_dbfs, 1)


class ClippingDetector:
    """Runs of at least `CLIP_RUN` consecutive samples at one of the `limits`, in a stream of one channel."""

    def __init__(self, limits: Iterable[float]) -> None:
        self.runs = 0
        self.samples = 0
        self.first_runs: list[tuple[int, int]] = []
        """The first `MAX_LISTED` runs as [start, stop) in samples."""
        self._position = 0
        self._open = {np.float32(limit): 0 for limit in limits}
        """Samples of the unfinished run at the end of the previous block, by limit."""

    def add(self, block: Signal) -> None:
        """Add the next samples, `(frames,)`."""
        for limit, carried in self._open.items():
            at_limit = block == limit
            if not carried and not at_limit.any():
                continue
            self._open[limit] = 0
            # The first value represents the unfinished run, so positions are shifted by one.
            for start, stop in find_runs(np.concatenate(([carried > 0], at_limit))):
                first = self._position + start - 1 if start else self._position - carried
                if stop > len(block):
                    self._open[limit] = self._position + stop - 1 - first
                else:
                    self._close(first, self._position + stop - 1)
        self._position += len(block)
        self.first_runs = sorted(self.first_runs)[:MAX_LISTED]

    def finish(self) -> None:
        """Close the runs that reach the end of the stream."""
        for limit, carried in self._open.items():
            self._open[limit] = 0
            self._close(self._position - carried, self._position)
        self.first_runs = sorted(self.first_runs)[:MAX_LISTED]

    def _close(self, start: int, stop: int) -> None:
        if stop - start >= CLIP_RUN:
            self.runs, self.samples = self.runs + 1, self.samples + stop - start
            self.first_runs.append((start, stop))


def measure_levels(reader: Reader, channel: int, progress: Progress = no_progress) -> LevelMeter:
    """Measure the levels of a file; `channel` counts from 0, `progress` counts frames."""
    meter = LevelMeter(reader.info.sample_rate, reader.info.channels, channel)
    for _, block in reader.blocks(meter.window * max(1, BLOCK // meter.window)):
        meter.add(block)
        progress(len(block))
    return meter


def find_clipping(reader: Reader, channel: int, limits: Iterable[float]) -> ClippingDetector:
    """Find the clipped runs of a channel (from 0) of a file."""
    detector = ClippingDetector(limits)
    for _, block in reader.blocks():
        detector.add(block[:, channel])
    detector.finish()
    return detector
