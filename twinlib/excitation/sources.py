"""Random access to the sources of the reels, for planning and rendering."""

import math
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soxr

from twinlib.audio import Reader, Signal
from twinlib.db import db_to_amp
from twinlib.errors import AudioError, ExcitationError
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sweeps import is_sweep, make_sweep
from twinlib.excitation.tones import is_tone, make_tone

OPEN_FILES = 256
"""Maximum number of open files; opening a file costs as much as reading a slice."""

_MARGIN = 2048
"""Context of the resampler on both sides of a slice, in samples of the lower rate; longer than its filter."""


def rate_ratio(source_rate: int, sample_rate: int) -> tuple[int, int]:
    """Return the smallest (p, q) for which q samples of the source last exactly as long as p samples of the reel."""
    exact = Fraction(sample_rate, source_rate)
    return exact.numerator, exact.denominator


def source_frames(frames: int, source_rate: int, sample_rate: int) -> int:
    """Return the number of source samples that cover `frames` samples of the reel."""
    p, q = rate_ratio(source_rate, sample_rate)
    return -(-frames * q // p)


class Sources:
    """Random access to the sources of an excitation; keeps recently used files open. A context manager."""

    def __init__(self, root: Path, settings: Excitation) -> None:
        self._root, self._settings = root, settings
        self._open: OrderedDict[str, Reader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.__exit__(None, None, None)
        self._open.clear()

    def extent(self, source: str) -> tuple[int, int]:
        """Return the number of samples of a source and its sample rate in Hz."""
        info = self._reader(source).info
        return info.frames, info.sample_rate

    def slice(self, source: str, start: int, frames: int | None = None) -> Signal:
        """Return a slice from sample `start` of a source at the rate of the reel, float32 `(frames, channels)`.

        `frames` defaults to `slice_samples` of the settings. Tones and sweeps are synthesised; a sweep ignores
        `start`.

        A source at another rate is resampled with context (soxr, 20-bit quality). The first sample of the slice
        is exactly sample `start` of the source, which must be a multiple of `q` in `rate_ratio`. Raises
        `ExcitationError` if the file cannot be read or contains NaN.
        """
        wanted = self._settings
        frames = wanted.slice_samples if frames is None else frames
        if is_sweep(source):
            return np.repeat(make_sweep(source, frames, wanted.sample_rate)[:, None], wanted.channels, axis=1)
        if is_tone(source):
            return np.repeat(make_tone(source, start, frames, wanted.sample_rate)[:, None], wanted.channels, axis=1)
        try:
            reader = self._reader(source)
            rate = reader.info.sample_rate
            if rate == wanted.sample_rate:
                samples = map_channels(reader.read(start, start + frames), wanted)
            else:
                samples = self._resampled(reader, start, frames)
        except AudioError as error:
            raise ExcitationError(
                f"{error}; index the corpus again. If that does not help, repair the file or exclude its track"
            ) from None
        if not math.isfinite(float(np.vdot(samples, samples))):
            raise ExcitationError(
                f"{self._root / source} contains NaN or Inf near {start / rate:.2f} s: repair the file or exclude its "
                "track"
            )
        return samples

    def _resampled(self, reader: Reader, start: int, frames: int) -> Signal:
        wanted, info = self._settings, reader.info
        p, q = rate_ratio(info.sample_rate, wanted.sample_rate)
        if start % q:
            raise ExcitationError(
                f"{info.path}: a slice at {info.sample_rate} Hz must start at a multiple of {q} samples, not {start}: "
                "plan the excitation again"
            )
        stop = start + source_frames(frames, info.sample_rate, wanted.sample_rate)
        if stop > info.frames:
            raise AudioError(f"{info.path} has samples 0 to {info.frames}: {start} to {stop} is out of range")
        margin = q * math.ceil(_MARGIN * max(1.0, q / p) / q)
        before, after = min(margin, start), min(margin, info.frames - stop)
        window = map_channels(reader.read(start - before, stop + after), wanted)
        out = soxr.resample(window, info.sample_rate, wanted.sample_rate, quality="HQ")
        skipped = before // q * p
        samples: Signal = np.ascontiguousarray(out[skipped : skipped + frames], dtype=np.float32)
        return samples

    def _reader(self, source: str) -> Reader:
        reader = self._open.pop(source, None) or Reader(self._root / source)
        self._open[source] = reader
        if len(self._open) > OPEN_FILES:
            _, oldest = self._open.popitem(last=False)
            oldest.__exit__(None, None, None)
        return reader


def map_channels(samples: Signal, settings: Excitation) -> Signal:
    """Map samples `(frames, 1 or 2)` to the channels of the reel: duplicate mono, reduce stereo by `mono_from`."""
    if samples.shape[1] == settings.channels:
        return samples
    if settings.channels == 2:
        return np.repeat(samples, 2, axis=1)
    match settings.mono_from:
        case "left":
            return samples[:, :1]
        case "right":
            return samples[:, 1:]
        case "mid":
            mid: Signal = (samples[:, :1] + samples[:, 1:]) * np.float32(0.5)
            return mid


def crossfade_ramp(frames: int) -> Signal:
    """Return the rising half of an equal-power crossfade, float32 `(frames, 1)`; its reverse is the falling half.

    The squares of both halves add up to 1: slices are uncorrelated, so their powers add.
    """
    rise: Signal = np.sin(np.pi / 2 * (np.arange(frames) + 0.5) / max(1, frames)).astype(np.float32)[:, None]
    return rise


def apply_fades(samples: Signal, fade: Signal, continues: bool = False, continued: bool = False) -> Signal:
    """Return a copy of a slice faded in by `fade` and out by its reverse.

    If it `continues` the previous slice, or is `continued` by the next one, the square of the fade keeps the level of
    the sum: their amplitudes add.
    """
    out = samples.copy()
    if len(fade):
        out[: len(fade)] *= fade * fade if continues else fade
        out[-len(fade) :] *= (fade * fade if continued else fade)[::-1]
    return out


def apply_gain(samples: Signal, gain_db: float) -> Signal:
    """Return the samples with a gain in dB, float32."""
    louder: Signal = samples * np.float32(db_to_amp(gain_db))
    return louder
