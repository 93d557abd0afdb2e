"""The wet signal on the dry clock, read anywhere, the same samples whatever the blocks."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from twinlib.alignment import sinc
from twinlib.alignment.result import Alignment
from twinlib.alignment.signals import Channel
from twinlib.audio import Reader, Signal
from twinlib.errors import AlignmentError


class WarpedWet:
    """A wet file read at positions of its dry file; use as a context manager.

    The value at n is polarity * wet(applied_lag + (1 + applied_drift) * (n - guard_samples)): the wet signal on the dry
    clock, delayed by the guard so that it never leads the dry one. `sinc` interpolates (Kaiser, 64 samples on either
    side, images below -120 dB); `shift` copies samples. `channel` counts from 0.

    Raises `AlignmentError` if the alignment is refused or the file lacks the channel.
    """

    def __init__(self, wet: Path, alignment: Alignment, channel: int = 0) -> None:
        if alignment.verdict == "refused":
            why = "; ".join(alignment.reasons)
            raise AlignmentError(f"{wet} cannot be put on the clock of its dry signal: {why}")
        self._reader = Reader(wet)
        info = self._reader.info
        if not 0 <= channel < info.channels:
            self._reader.__exit__(None, None, None)
            raise AlignmentError(f"{wet} has {info.channels} channels, no channel {channel + 1}: correct `channel`")
        if info.frames != alignment.wet_frames:
            self._reader.__exit__(None, None, None)
            raise AlignmentError(
                f"{wet} has {info.frames} frames, but {alignment.wet_frames} were aligned: align it again"
            )
        self._alignment = alignment
        start, stop = alignment.wet_range
        self._channel = Channel(self._reader, channel, start, stop, exact=True)
        self._slope = alignment.applied_drift_ppm * 1e-6
        # wet index = n + lag + slope * n, the guard taken into the lag.
        self._lag = alignment.applied_lag_samples - (1.0 + self._slope) * alignment.guard_samples

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def read(self, start: int, stop: int) -> Signal:
        """Positions [start, stop) of the dry clock, float32 `(frames,)`; zero where the wet file has no samples."""
        if stop <= start:
            return np.zeros(0, np.float32)
        sign = np.float32(self._alignment.polarity)
        if self._alignment.warp == "shift":
            shift = round(self._lag)
            return sign * self._channel.read(start + shift, stop + shift)
        first, last = sinc.support(self._lag, self._slope, start, stop)
        samples = self._channel.read(first, last)
        return sign * sinc.interpolate(samples, first, self._lag, self._slope, start, stop)

    def valid_range(self) -> tuple[int, int]:
        """The positions [start, stop) of the dry clock that are made of wet samples alone, within the dry range."""
        margin = 0 if self._alignment.warp == "shift" else sinc.HALF_WIDTH
        first, last = self._channel.start + margin, self._channel.stop - margin
        rate = 1.0 + self._slope
        low, high = self._alignment.dry_range
        start = max(low, int(np.ceil((first - self._lag) / rate)))
        stop = min(high, int(np.floor((last - 1 - self._lag) / rate)) + 1)
        return start, max(start, stop)
