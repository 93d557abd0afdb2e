"""One channel of a sound file at the dry sample rate, with random access and silence before and after the file."""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import gcd

import numpy as np
import numpy.typing as npt
import soxr

from twinlib.audio import Reader, Signal
from twinlib.errors import AlignmentError
from twinlib.intervals import Range, find_runs

MAX_AMPLITUDE = 1e3
"""Sample value, 60 dB above full scale, that no recording reaches at any scaling."""

_CHUNK = 65_536
_MARGIN = 2048

_CACHED_SAMPLES = 1 << 23
"""Samples in memory, 32 MiB: overlapping windows and repeated passes decode three minutes of audio once."""

_NON_FINITE_REACH = 64


@dataclass(frozen=True)
class Channel:
    """Channel `channel` (from 0) of an open file, bounded to [start, stop); positions are samples at `rate`.

    A file of another sample rate is resampled on the fly by soxr (VHQ): the gain is within 0.005 dB to 20 kHz at
    44.1 kHz, and there is no delay. NaN, infinite and corrupt samples are read as zeros or, if `exact`, unchanged
    (NaN after resampling). `rectified` reads absolute values, which the output of a full-wave rectifier resembles.
    """

    reader: Reader
    channel: int
    rate: int
    start: int
    stop: int
    exact: bool = False
    rectified: bool = False
    _chunks: "OrderedDict[tuple[int, bool], Signal]" = field(default_factory=OrderedDict, compare=False, repr=False)

    @property
    def max_hz(self) -> float:
        """The upper limit of the band in which the file holds signal after converters and resampling."""
        return 0.45 * min(self.rate, self.reader.info.sample_rate)

    def read(self, start: int, stop: int) -> Signal:
        """Read samples [start, stop), float32 `(frames,)`, zero outside of the range."""
        first, last = max(start, self.start), min(stop, self.stop)
        if first >= last:
            return np.zeros(max(0, stop - start), np.float32)
        # The windows of a long take are far apart: whole chunks would decode twice as much.
        is_direct = self.reader.info.sample_rate == self.rate and self.stop - self.start > _CACHED_SAMPLES
        samples = self._read_file(first, last) if is_direct else self._read_chunks(first, last)
        if self.rectified:
            samples = np.abs(samples)
        if (first, last) == (start, stop):
            return samples
        out = np.zeros(stop - start, np.float32)
        out[first - start : last - start] = samples
        return out

    def _read_file(self, first: int, last: int) -> Signal:
        samples = np.ascontiguousarray(self.reader.read(first, last)[:, self.channel])
        if self.exact or self.reader.info.bit_depth is not None:
            return samples
        # A NaN spreads over each transform that contains it.
        return np.where(is_finite_audio(samples), samples, np.float32(0.0))

    def _read_chunks(self, first: int, last: int) -> Signal:
        """Read by chunks on a fixed grid, so that the samples do not depend on the requested ranges."""
        length = self._chunk_size()[0]
        parts = []
        for number in range(first // length, -(-last // length)):
            low, high = max(first - number * length, 0), min(last - number * length, length)
            parts.append(self._chunk(number)[low:high])
        return np.concatenate(parts)

    def _chunk(self, number: int) -> Signal:
        key = number, self.exact
        length, info = self._chunk_size()[0], self.reader.info
        if key not in self._chunks:
            if info.sample_rate == self.rate:
                self._chunks[key] = self._read_file(number * length, min((number + 1) * length, info.frames))
            else:
                self._chunks[key] = self._resample_chunk(number)
            if len(self._chunks) * length > _CACHED_SAMPLES:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(key)
        return self._chunks[key]

    def _chunk_size(self) -> Range:
        """Return the samples of a chunk at `rate` and in the file: whole periods of the ratio of the rates."""
        wet_rate = self.reader.info.sample_rate
        divisor = gcd(self.rate, wet_rate)
        periods = -(-_CHUNK * divisor // self.rate)
        return self.rate // divisor * periods, wet_rate // divisor * periods

    def _resample_chunk(self, number: int) -> Signal:
        info = self.reader.info
        length, file_length = self._chunk_size()
        # The margin is a whole number of periods too, and longer than the filter of soxr.
        period = info.sample_rate // gcd(self.rate, info.sample_rate)
        margin = -(-_MARGIN // period) * period
        start = number * file_length - margin
        samples = np.zeros(file_length + 2 * margin, np.float32)
        low, high = max(start, 0), min(start + len(samples), info.frames)
        if low < high:
            samples[low - start : high - start] = self._read_file(low, high)
        is_finite = is_finite_audio(samples)
        clean = np.where(is_finite, samples, np.float32(0.0))
        skip = margin * self.rate // info.sample_rate
        out = np.asarray(soxr.resample(clean, info.sample_rate, self.rate, "VHQ")[skip : skip + length], np.float32)
        for first, last in find_runs(~is_finite):
            low = (first - _NON_FINITE_REACH) * self.rate // info.sample_rate - skip
            high = -(-(last + _NON_FINITE_REACH) * self.rate // info.sample_rate) - skip
            out[max(low, 0) : max(high, 0)] = np.nan
        return out


def is_finite_audio(samples: Signal) -> npt.NDArray[np.bool_]:
    """Return the mask of samples that can be audio: not NaN, not infinite, and not the result of flipped bits."""
    return np.asarray(np.abs(samples) < MAX_AMPLITUDE)


def frames_at_rate(reader: Reader, rate: int) -> int:
    """Return the number of samples of a file at another rate, rounded down."""
    info = reader.info
    return info.frames if info.sample_rate == rate else info.frames * rate // info.sample_rate


def open_channel(reader: Reader, channel: int, rate: int, wanted: Range | None, key: str = "channel") -> Channel:
    """Return one channel (from 0) of a file at a rate: the whole file, or samples [start, stop) of it.

    Raises `AlignmentError` if the file lacks the channel, which `key` of the configuration names, or the range.
    """
    info = reader.info
    if not 0 <= channel < info.channels:
        raise AlignmentError(f"{info.path} has {info.channels} channels, no channel {channel + 1}: correct `{key}`")
    start, stop = wanted if wanted is not None else (0, info.frames)
    if not 0 <= start < stop <= info.frames:
        raise AlignmentError(
            f"{info.path} has samples 0 to {info.frames}: the range {start} to {stop} is not in it: correct it"
        )
    if info.sample_rate == rate:
        return Channel(reader, channel, rate, start, stop)
    first = -(-start * rate // info.sample_rate)
    last = min(frames_at_rate(reader, rate), stop * rate // info.sample_rate)
    return Channel(reader, channel, rate, first, max(first + 1, last))
