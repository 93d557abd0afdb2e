"""One channel of a sound file at the dry signal's rate, read anywhere: silence lies before it and after it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

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
    def top_hz(self) -> float:
        """Up to where the file holds sound: converters and changes of rate leave nothing close to half a rate."""
        return 0.45 * min(self.rate, self.reader.info.sample_rate)

    def read(self, start: int, stop: int) -> Signal:
        """Samples [start, stop), float32 `(frames,)`; zero outside the range."""
        out = np.zeros(max(0, stop - start), np.float32)
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            same = self.reader.info.sample_rate == self.rate
            out[first - start : last - start] = self._file(first, last) if same else self._resampled(first, last)
        return out

    def _file(self, first: int, last: int) -> Signal:
        samples = self.reader.read(first, last)[:, self.channel]
        if self.exact or self.reader.info.bit_depth is not None:
            return samples
        # One NaN would otherwise spread over every transform that it is part of.
        return np.where(sound(samples), samples, np.float32(0.0))

    def _resampled(self, first: int, last: int) -> Signal:
        """By chunks on a fixed grid, so that any window gives the same samples."""
        up, _, _ = _bank(self.reader.info.sample_rate, self.rate)
        length = up * _CHUNK_TURNS
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
        _, down, bank = _bank(self.reader.info.sample_rate, self.rate)
        margin = (len(bank) - down) // 2
        start = number * _CHUNK_TURNS * down - margin
        samples = np.zeros((_CHUNK_TURNS - 1) * down + len(bank), np.float32)
        low, high = max(start, 0), min(start + len(samples), self.reader.info.frames)
        if low < high:
            samples[low - start : high - start] = self._file(low, high)
        windows = np.lib.stride_tricks.sliding_window_view(samples, len(bank))[::down]
        return np.ascontiguousarray(windows @ bank).reshape(-1)


def sound(samples: Signal) -> npt.NDArray[np.bool_]:
    """Which samples can be sound: neither NaN nor infinite, nor what flipped bits make of a float."""
    return np.asarray(np.abs(samples) < LOUDEST)


def frames_at(reader: Reader, rate: int) -> int:
    """How many samples a file has at another rate, rounded down."""
    info = reader.info
    return info.frames if info.sample_rate == rate else info.frames * rate // info.sample_rate


@lru_cache(maxsize=4)
def _bank(from_rate: int, to_rate: int) -> tuple[int, int, Signal]:
    """So many samples out, of so many in, and what they are made of, `(samples in with margins, samples out)`.

    A Kaiser-windowed sinc, its cutoff the lower of the two Nyquist frequencies: below -110 dB of error to 20 kHz.
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
    reach = _HALF_WIDTH / cutoff
    margin = int(np.ceil(reach)) + 1
    offset = (np.arange(-margin, down + margin)[:, None] - np.arange(up)[None, :] * (down / up)) * cutoff
    inside = np.clip(1.0 - (offset / _HALF_WIDTH) ** 2, 0.0, None)
    bank = np.sinc(offset) * np.i0(_BETA * np.sqrt(inside)) * (np.abs(offset) < _HALF_WIDTH)
    return up, down, np.ascontiguousarray(bank / bank.sum(axis=0), np.float32)
