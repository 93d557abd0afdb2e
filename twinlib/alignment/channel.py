"""One channel of a sound file at the dry signal's rate, read anywhere: silence lies before it and after it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from twinlib.audio import Reader, Signal
from twinlib.errors import AlignmentError

LOUDEST = 1e3
"""Times full scale, 60 dB above it: no sample of a recording is louder, however it was scaled."""

MOST_PHASES = 2048
"""Places between two samples that a change of rate may need: 44.1 kHz from 48 kHz needs 147."""

_TURN = 128
_CHUNK_TURNS = 256
_KEPT = 4
_HALF_WIDTH, _BETA = 64, 12.0


@dataclass(frozen=True)
class Channel:
    """Channel `channel` (from 0) of an open file, of which only [start, stop) is heard.

    A file of another `rate` is resampled to it, and positions are samples at that rate. For measuring, samples that
    are not finite count as silence; `exact` hands them out as they are.
    """

    reader: Reader
    channel: int
    rate: int
    start: int
    stop: int
    exact: bool = False
    _chunks: "OrderedDict[int, Signal]" = field(default_factory=OrderedDict, compare=False, repr=False)

    @property
    def max_hz(self) -> float:
        """Up to where the file holds sound: converters and changes of rate leave nothing close to half a rate."""
        return 0.45 * min(self.rate, self.reader.info.sample_rate)

    def read(self, start: int, stop: int) -> Signal:
        """Samples [start, stop), float32 `(frames,)`; zero outside the range."""
        first, last = max(start, self.start), min(stop, self.stop)
        if first >= last:
            return np.zeros(max(0, stop - start), np.float32)
        same = self.reader.info.sample_rate == self.rate
        found = self._file(first, last) if same else self._resampled(first, last)
        if (first, last) == (start, stop):
            return found
        out = np.zeros(stop - start, np.float32)
        out[first - start : last - start] = found
        return out

    def _file(self, first: int, last: int) -> Signal:
        samples = np.ascontiguousarray(self.reader.read(first, last)[:, self.channel])
        if self.exact or self.reader.info.bit_depth is not None:
            return samples
        # One NaN would otherwise spread over every transform that it is part of.
        return np.where(is_finite_audio(samples), samples, np.float32(0.0))

    def _resampled(self, first: int, last: int) -> Signal:
        """By chunks on a fixed grid, so that any window gives the same samples."""
        length = _bank(self.reader.info.sample_rate, self.rate).up * _CHUNK_TURNS
        parts = []
        for number in range(first // length, -(-last // length)):
            if number not in self._chunks:
                self._chunks[number] = self._chunk(number)
                while len(self._chunks) > _KEPT:
                    self._chunks.popitem(last=False)
            low, high = max(first - number * length, 0), min(last - number * length, length)
            parts.append(self._chunks[number][low:high])
        return np.concatenate(parts)

    def _chunk(self, number: int) -> Signal:
        bank = _bank(self.reader.info.sample_rate, self.rate)
        start = number * _CHUNK_TURNS * bank.down - bank.margin
        samples = np.zeros((_CHUNK_TURNS - 1) * bank.down + bank.span, np.float32)
        low, high = max(start, 0), min(start + len(samples), self.reader.info.frames)
        if low < high:
            samples[low - start : high - start] = self._file(low, high)
        turns = np.lib.stride_tricks.sliding_window_view(samples, bank.span)[:: bank.down]
        out = np.empty((bank.up, _CHUNK_TURNS), np.float32)
        _filter(np.ascontiguousarray(turns.T), bank.first, bank.taps, out)
        return np.ascontiguousarray(out.T).reshape(-1)


def is_finite_audio(samples: Signal) -> npt.NDArray[np.bool_]:
    """Which samples can be sound: neither NaN nor infinite, nor what flipped bits make of a float."""
    return np.asarray(np.abs(samples) < LOUDEST)


def frames_at_rate(reader: Reader, rate: int) -> int:
    """How many samples a file has at another rate, rounded down."""
    info = reader.info
    return info.frames if info.sample_rate == rate else info.frames * rate // info.sample_rate


@dataclass(frozen=True)
class _Bank:
    """In a turn, `up` samples come of `down` samples: number j is `taps[j]` times those from `first[j]` on.

    `span` samples are needed for it, beginning `margin` before the turn.
    """

    up: int
    down: int
    margin: int
    span: int
    first: npt.NDArray[np.int64]
    taps: Signal


@numba.njit(cache=True)
def _filter(samples: Signal, first: npt.NDArray[np.int64], taps: Signal, out: Signal) -> None:
    # All turns at once. A matrix product of BLAS adds in an order that changes with its threads; this one is written.
    for j in range(out.shape[0]):
        for t in range(out.shape[1]):
            out[j, t] = np.float32(0.0)
        for i in range(0, taps.shape[1], 8):
            a, b, c, d = taps[j, i], taps[j, i + 1], taps[j, i + 2], taps[j, i + 3]
            e, f, g, h = taps[j, i + 4], taps[j, i + 5], taps[j, i + 6], taps[j, i + 7]
            x = samples[first[j] + i : first[j] + i + 8]
            for t in range(out.shape[1]):
                low = (a * x[0, t] + b * x[1, t]) + (c * x[2, t] + d * x[3, t])
                high = (e * x[4, t] + f * x[5, t]) + (g * x[6, t] + h * x[7, t])
                out[j, t] = out[j, t] + (low + high)


@lru_cache(maxsize=4)
def _bank(from_rate: int, to_rate: int) -> _Bank:
    """A Kaiser-windowed sinc, its cutoff the lower of the two Nyquist frequencies: below -110 dB of error to 20 kHz.

    Raises `AlignmentError` for two rates that hardly have a common measure.
    """
    ratio = Fraction(to_rate, from_rate)
    if ratio.numerator > MOST_PHASES:
        raise AlignmentError(
            f"{from_rate} Hz cannot be turned into {to_rate} Hz: export the recording at {to_rate} Hz or another "
            "usual sample rate"
        )
    turns = -(-_TURN // ratio.numerator)
    up, down = ratio.numerator * turns, ratio.denominator * turns
    cutoff = min(1.0, float(ratio))
    reach = int(np.ceil(_HALF_WIDTH / cutoff))
    count = -(-2 * reach // 8) * 8
    first = np.arange(up) * down // up
    place = first[:, None] + np.arange(1 - reach, 1 - reach + count)[None, :]
    offset = (place - np.arange(up)[:, None] * (down / up)) * cutoff
    inside = np.clip(1.0 - (offset / _HALF_WIDTH) ** 2, 0.0, None)
    taps = np.sinc(offset) * np.i0(_BETA * np.sqrt(inside)) * (np.abs(offset) < _HALF_WIDTH)
    taps = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return _Bank(up, down, reach - 1, int(first[-1]) + count, first, taps)
