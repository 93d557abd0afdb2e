"""Sound files as streams: probe, read a window, write atomically."""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
import soundfile

from twinlib.errors import AudioError
from twinlib.files import atomic_path

Signal = npt.NDArray[np.float32]
"""Samples as float32, full scale 1.0: `(frames, channels)` of a file, `(frames,)` of one channel."""

Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]

RIFF_LIMIT = 2**32 - 2**16
"""Bytes of samples above which a WAV file is written as RF64 (EBU Tech 3306): RIFF counts them in 32 bits."""

BLOCK = 1 << 16
"""Frames that streaming code handles at a time."""

_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
_AT_ONCE = BLOCK // 4
# Frames that are decoded at a time: what is made of them on the way stays in the cache.
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@dataclass(frozen=True)
class AudioInfo:
    """What the header of a sound file says: rate in Hz, frames a channel, and the sample format."""

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.frames / self.sample_rate

    @property
    def bit_depth(self) -> int | None:
        """Bits a sample of an integer format; None for floating point and lossy formats."""
        return _BITS.get(self.subtype)


class Reader:
    """An open sound file that is read by windows; use as a context manager.

    Raises `AudioError` if the file is missing, empty or in no format that libsndfile reads.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise AudioError(f"{path} does not exist")
        try:
            self._file = soundfile.SoundFile(str(path))
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise AudioError(f"{path} is not a readable sound file ({error})") from None
        file = self._file
        self.info = AudioInfo(path, file.samplerate, file.channels, file.frames, file.format, file.subtype)
        if self.info.frames <= 0:
            file.close()
            raise AudioError(f"{path} holds no samples: record or export it again")
        self._wave = _wave_of(self.info)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._wave is not None:
            self._wave.close()

    def read(self, start: int = 0, stop: int | None = None) -> Signal:
        """Samples [start, stop) as float32 `(frames, channels)`; the window must lie inside the file."""
        info = self.info
        stop = info.frames if stop is None else stop
        if not 0 <= start <= stop <= info.frames:
            raise AudioError(f"{info.path} has samples 0 to {info.frames}: {start} to {stop} lies outside")
        try:
            samples = self._decoded(start, stop) if self._wave is None else self._wave.read(start, stop)
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise AudioError(f"{info.path} cannot be read at sample {start} ({error})") from None
        if len(samples) != stop - start:
            place = start + len(samples)
            raise AudioError(
                f"{info.path} ends at sample {place} ({place / info.sample_rate:.2f} s) although its header says "
                f"{info.frames}: the file is cut short, copy or record it again"
            )
        return samples

    def _decoded(self, start: int, stop: int) -> Signal:
        self._file.seek(start)
        samples: Signal = self._file.read(stop - start, dtype="float32", always_2d=True)
        return samples

    def blocks(self, frames: int = BLOCK, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Signal]]:
        """Pairs of position and samples `(<= frames, channels)` that tile [start, stop) in order."""
        stop = self.info.frames if stop is None else stop
        for position in range(start, stop, frames):
            yield position, self.read(position, min(position + frames, stop))


@dataclass(frozen=True)
class _Wave:
    """An open WAV file of 16 or 24 bits: `width` bytes a sample from byte `first` on."""

    file: BufferedReader
    channels: int
    width: int
    first: int

    def close(self) -> None:
        self.file.close()

    def read(self, start: int, stop: int) -> Signal:
        """Samples [start, stop) as libsndfile reads them, bit by bit, in less time; fewer where the file ends."""
        out = np.empty((stop - start, self.channels), np.float32)
        size = self.channels * self.width
        # Three bytes become the upper ones of four: the one before them makes up the number, and is cleared.
        padded = np.zeros(min(_AT_ONCE, len(out)) * size + 1, np.uint8)
        numbers = np.empty(min(_AT_ONCE, len(out)) * self.channels, np.int32)
        raw = memoryview(padded.data)[1:]
        self.file.seek(self.first + start * size)
        for first in range(0, len(out), _AT_ONCE):
            part = out[first : first + _AT_ONCE].reshape(-1)
            count = len(part) * self.width
            there = self.file.readinto(raw[:count])
            if there != count:
                # How many there are is all that is asked of a file that was cut short since it was opened.
                return out[: first + there // size]
            if self.width == 2:
                part[:] = np.frombuffer(raw[:count], "<i2")
                part *= np.float32(2.0**-15)
            else:
                whole = numbers[: len(part)]
                whole[:] = np.ndarray(len(part), "<i4", padded, strides=(3,))
                whole &= np.int32(-256)
                part[:] = whole
                part *= np.float32(2.0**-31)
        return out


def _wave_of(info: AudioInfo) -> _Wave | None:
    """A WAV file of 16 or 24 bits; None for others, and where the standard library and libsndfile differ about it."""
    if info.format != "WAV" or info.subtype not in ("PCM_16", "PCM_24"):
        return None
    file = info.path.open("rb")
    width = _BYTES[info.subtype]
    try:
        header = wave.Wave_read(file)
    except (wave.Error, EOFError):
        file.close()
        return None
    # Of a file that is cut short libsndfile counts the frames that are there, and the header all.
    if (header.getnchannels(), header.getsampwidth(), header.getnframes()) != (info.channels, width, info.frames):
        file.close()
        return None
    # The header has been read up to the samples.
    return _Wave(file, info.channels, width, file.tell())


def read_info(path: Path) -> AudioInfo:
    """What the header of a sound file says; raises `AudioError` as `Reader` does."""
    with Reader(path) as reader:
        return reader.info


def read(path: Path, start: int = 0, stop: int | None = None) -> Signal:
    """Samples [start, stop) of a file as float32 `(frames, channels)`."""
    with Reader(path) as reader:
        return reader.read(start, stop)


class Writer:
    """A WAV or FLAC file written as a stream and moved into place when the context ends without an error.

    `frames` is the number expected; it decides between RIFF and RF64. Samples beyond full scale are refused in
    integer formats: they would wrap or clip unheard.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, subtype: Subtype, frames: int = 0) -> None:
        self._path, self._subtype, self._position = path, subtype, 0
        large = frames * channels * _BYTES[subtype] > RIFF_LIMIT
        container = "FLAC" if path.suffix.lower() == ".flac" else "RF64" if large else "WAV"
        self._aside = atomic_path(path)
        aside = self._aside.__enter__()
        try:
            self._file = soundfile.SoundFile(str(aside), "w", sample_rate, channels, subtype, format=container)
        except (soundfile.LibsndfileError, RuntimeError, ValueError, OSError) as error:
            self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except (soundfile.LibsndfileError, RuntimeError) as problem:
            self._fail(problem)
        self._aside.__exit__(kind, error, trace)

    def write(self, samples: Signal) -> None:
        """Append float32 samples `(frames, channels)` or `(frames,)`."""
        peak = float(np.max(np.abs(samples), initial=0.0))
        place = self._position / self._file.samplerate
        if not np.isfinite(peak):
            raise AudioError(
                f"{self._path} would hold a sample that is not a number near {place:.2f} s: repair the recording that "
                "it is made from"
            )
        if self._subtype != "FLOAT" and peak > 1.0:
            raise AudioError(f"{self._path} would reach {peak:.3f} of full scale near {place:.2f} s: lower its level")
        try:
            self._file.write(samples)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise self._unwritable(error) from None
        self._position += len(samples)

    def _unwritable(self, error: Exception) -> AudioError:
        return AudioError(
            f"{self._path} cannot be written ({error}): check its folder, the space on the disk, and whether its "
            "format takes this rate and number of channels"
        )

    def _fail(self, error: Exception) -> NoReturn:
        """Leave nothing behind."""
        self._aside.__exit__(type(error), error, None)
        raise self._unwritable(error) from None


def write(path: Path, samples: Signal, sample_rate: int, subtype: Subtype) -> None:
    """Write a whole signal `(frames, channels)` or `(frames,)` to a WAV or FLAC file."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with Writer(path, sample_rate, channels, subtype, len(samples)) as writer:
        writer.write(samples)
