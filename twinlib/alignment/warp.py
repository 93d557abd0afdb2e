"""The warp that corrects the clock, and the wet signal on the dry clock with random access."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from twinlib.alignment.result import Alignment, Warp
from twinlib.audio import Reader, Signal
from twinlib.db import db_to_amp
from twinlib.errors import AlignmentError
from twinlib.resampling import WARP_KERNEL, Channel, Piece, frames_at_rate, interpolate

if TYPE_CHECKING:
    from twinlib.alignment.clock import ClockModel

ZERO_LAGS = (-4, 16)
"""Lags in samples of a pair on one clock that are set to zero. The phase of the device makes the lag uncertain by a few
samples, and differently in each recording, but the pairs of one device must have the same lag. The twin learns such a
constant, and the guard keeps the target from leading the input."""

INTEGER_TOLERANCE = 0.01
"""Samples from an integer within which a step of the lag counts as digital."""


def choose_warp(clock: "ClockModel", dry: Channel, is_take: bool) -> tuple[Warp, tuple[Piece, ...]]:
    """Return the kind of warp and its pieces; digital pairs on one clock are shifted and never interpolated."""
    frames, fit = dry.stop - dry.start, clock.fit
    pieces = clock.time_map(dry.start, dry.stop).pieces
    if clock.curve is not None:
        return "sinc", pieces
    steps = fit.lags - fit.lags[0]
    integer_steps = np.round(steps)
    drift = fit.drift_ppm * 1e-6
    errors = np.nan_to_num(np.minimum(fit.lag_errors, 0.1), nan=0.1) if len(fit.lag_errors) else np.zeros(1)
    tolerance = np.maximum(INTEGER_TOLERANCE, 3.0 * errors)
    is_digital = bool(np.all(np.abs(steps - integer_steps) < tolerance))
    is_steady = abs(drift) * frames < 0.02 or abs(fit.drift_ppm) < 3.0 * fit.drift_error_ppm
    lag = round(float(fit.lags[0]) + 0.5 * drift * frames)
    if is_steady and not is_take and ZERO_LAGS[0] <= lag <= ZERO_LAGS[1]:
        lag = 0
    if is_steady and is_digital and (not is_take or abs(float(fit.lags[0]) - lag) < INTEGER_TOLERANCE):
        lags = (lag + integer_steps).tolist()
        shifted = zip(pieces, lags, strict=True)
        return "shift", tuple(Piece(p.start, p.stop, (float(p.start),), (float(value),)) for p, value in shifted)
    return "sinc", pieces


class WarpedReader:
    """Reader of a wet file at positions of its dry file, as a context manager.

    The value at n is applied_polarity * applied_gain * (wet(m + lag(m)) - applied_dc) with m = n - guard_samples: the
    wet signal on the dry clock, delayed by the guard so that it never leads the dry signal. The warp `sinc`
    interpolates (Kaiser window, 48 taps on either side, error below -120 dB); `shift` copies samples. Samples do not
    depend on the requested ranges. `channel` counts from 0.

    Raises `AlignmentError` if the alignment is refused, or if the file lacks the channel or has another length.
    """

    def __init__(self, wet: Path, alignment: Alignment, channel: int = 0) -> None:
        if alignment.verdict == "refused":
            why = "; ".join(alignment.reasons)
            raise AlignmentError(f"{wet} cannot be aligned with its dry file: {why}")
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
        self._map = alignment.timemap
        rate = alignment.sample_rate
        start, stop = (int(place * rate // info.sample_rate) for place in alignment.wet_range)
        self._channel = Channel(self._reader, channel, rate, start, min(stop, frames_at_rate(self._reader, rate)), True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def read(self, start: int, stop: int) -> Signal:
        """Read positions [start, stop) of the dry clock, float32 `(frames,)`, zero outside of the wet file."""
        found = self._alignment
        out = interpolate(self._channel, self._map, start - found.guard_samples, stop - found.guard_samples)
        if found.applied_dc:
            out -= np.float32(found.applied_dc)
        factor = np.float32(found.applied_polarity * found.applied_gain)
        # Keep non-finite samples: the alignment excludes them.
        with np.errstate(invalid="ignore", over="ignore"):
            return out if factor == 1.0 else np.asarray(factor * out)

    def valid_range(self) -> tuple[int, int]:
        """Return the positions [start, stop) within the dry range that depend on samples of the wet file alone."""
        guard = self._alignment.guard_samples
        margin = 0 if self._alignment.warp == "shift" else WARP_KERNEL.half_width
        first, last = self._channel.start + margin, self._channel.stop - margin
        low, high = self._alignment.dry_range
        start = max(low, int(np.ceil(self._map.dry(first))) + guard)
        stop = min(high, int(np.floor(self._map.dry(last - 1))) + 1 + guard)
        return start, max(start, stop)


def reference_alignment(alignment: Alignment) -> Alignment | None:
    """Return the alignment of the loop-back channel, at the level of the dry file; None without such a channel.

    It has no guard, since the wet signal is delayed relative to it.
    """
    reference = alignment.reference
    if reference is None:
        return None
    gain = db_to_amp(-reference.gain_db)
    return replace(alignment, guard_samples=0, applied_polarity=reference.polarity, applied_gain=gain, applied_dc=0.0)
