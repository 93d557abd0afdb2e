"""Sound files as streams: read headers, read ranges, write atomically."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
import soundfile

from twinlib.errors import AudioError, DiskFullError
from twinlib.files import atomic_path, disk_full, is_disk_full, require_space
from twinlib.pcm import open_pcm24
from twinlib.sound_header import RIFF_LIMIT, Header, clear_peak_time
from twinlib.sound_open import is_pcm, open_sound

Signal = npt.NDArray[np.float32]
"""float32 samples, full scale 1.0: `(frames, channels)` of a file or `(frames,)` of one channel."""

Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]

# fmt: off
SOUND_SUFFIXES = frozenset((
    ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".bw64", ".bwf", ".caf", ".dff",
    ".dsf", ".dts", ".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".oga",
    ".ogg", ".opus", ".rf64", ".snd", ".spx", ".tta", ".w64", ".wav", ".wave", ".webm", ".wma", ".wv",
))
# fmt: on
"""Suffixes of files with sound, whether or not they can be read."""

BLOCK = 1 << 16
"""Frames per block in streaming code."""

UNFINISHED = "has a header without a valid length, as after a power failure or from a pipe"
"""Description of an unfinished header."""

_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_CODECS = {"VORBIS": "Vorbis", "OPUS": "Opus", "MPEG_LAYER_III": "MP3", "MPEG_LAYER_II": "MP2", "MPEG_LAYER_I": "MP1"}


@dataclass(frozen=True)
class AudioInfo:
    """Header of a sound file: sample rate in Hz, frames per channel, container and sample format.

    `header` is the state of the length in the header. `frames` is always the length of the samples in the file, and
    `announced` the length in the header of a truncated file, if known.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    header: Header = "complete"
    announced: int = 0

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate

    @property
    def bit_depth(self) -> int | None:
        """Bits per sample of an integer format; None for floating-point and lossy formats."""
        return _BITS.get(self.subtype)

    @property
    def codec(self) -> str | None:
        """Name of a lossy codec; None for lossless formats."""
        if is_pcm(self.subtype) or self.subtype.startswith("ALAC"):
            return None
        return _CODECS.get(self.subtype, self.subtype)

    def describe_header(self) -> str | None:
        """Return a sentence for the log on a file of unknown length or a truncated one; None for a complete file."""
        if self.header == "unfinished":
            return f"{self.path} {UNFINISHED}: read to its end ({self.seconds:.2f} s)"
        return f"{self.path} is truncated {self.describe_loss()}" if self.header == "truncated" else None

    def describe_loss(self) -> str:
        """Return where a truncated file ends and where it should end."""
        where = f"at {self.seconds:.2f} s"
        if self.announced > self.frames:
            where += f", but its header announces {self.announced / self.sample_rate:.2f} s"
        return where


def is_sound_name(path: Path) -> bool:
    """Return whether a path has the suffix of a sound file and is not hidden (macOS creates `._take.wav`)."""
    return path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".")


class Reader:
    """An open sound file with random access; a context manager.

    Raises `AudioError` if the file is missing or empty, or if libsndfile does not support its format.
    """

    def __init__(self, path: Path) -> None:
        self._sound = sound = open_sound(path)
        self._file = file = sound.file
        self.info = AudioInfo(
            path,
            file.samplerate,
            file.channels,
            sound.frames,
            sound.container,
            file.subtype,
            sound.header,
            sound.announced,
        )
        if self.info.frames <= 0:
            sound.close()
            raise AudioError(f"{path} contains no samples: record or export it again")
        is_pcm24 = (file.format, file.subtype) == ("WAV", "PCM_24")
        self._pcm24 = open_pcm24(path, file.channels, file.frames) if is_pcm24 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sound.close()
        if self._pcm24 is not None:
            self._pcm24.close()

    def read(self, start: int = 0, stop: int | None = None) -> Signal:
        """Return samples [start, stop) as float32 `(frames, channels)`; raises `AudioError` outside the file."""
        info = self.info
        stop = info.frames if stop is None else stop
        if not 0 <= start <= stop <= info.frames:
            raise AudioError(f"{info.path} has samples 0 to {info.frames}: {start} to {stop} is out of range")
        try:
            samples = self._decode(start, stop)
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise AudioError(f"{info.path} cannot be read at sample {start} ({error})") from None
        if len(samples) != stop - start:
            place = start + len(samples)
            raise AudioError(
                f"{info.path} ends at sample {place} ({place / info.sample_rate:.2f} s), but its header announces "
                f"{info.frames}: the file is truncated, copy or record it again"
            )
        return samples

    def _decode(self, start: int, stop: int) -> Signal:
        """Decode frames [start, stop); fewer if the file is truncated."""
        if self._pcm24 is not None:
            return self._pcm24.read(start, stop)
        self._file.seek(start)
        if self.info.subtype == "PCM_16":
            # Exact, at a third of the time that libsndfile needs for float32.
            return np.asarray(self._file.read(stop - start, "int16", always_2d=True) * np.float32(2.0**-15))
        samples: Signal = self._file.read(stop - start, "float32", always_2d=True)
        return samples

    def blocks(self, frames: int = BLOCK, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Signal]]:
        """Yield (position, samples) with samples `(<= frames, channels)` that tile [start, stop) in order."""
        stop = self.info.frames if stop is None else stop
        for position in range(start, stop, frames):
            yield position, self.read(position, min(position + frames, stop))


def read_info(path: Path) -> AudioInfo:
    """Return the header of a sound file; raises `AudioError` as `Reader` does."""
    with Reader(path) as reader:
        return reader.info


def read(path: Path, start: int = 0, stop: int | None = None) -> Signal:
    """Return samples [start, stop) of a file as float32 `(frames, channels)`."""
    with Reader(path) as reader:
        return reader.read(start, stop)


class Writer:
    """A streamed WAV or FLAC file, moved into place when the context ends without an error.

    `frames` is the expected length; it selects RIFF or RF64, and a WAV file that does not fit on the disk raises
    `DiskFullError` at once. `write` raises `AudioError` on NaN or Inf, in integer
    formats on samples beyond full scale, which would wrap or clip, and beyond the size of RIFF if that was selected.
    Equal samples give equal bytes.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, subtype: Subtype, frames: int = 0) -> None:
        self._path, self._subtype, self._position = path, subtype, 0
        limit = RIFF_LIMIT // (channels * _BYTES[subtype])
        container = "FLAC" if path.suffix.lower() == ".flac" else "RF64" if frames > limit else "WAV"
        self._limit = limit if container == "WAV" else None
        if container != "FLAC":
            require_space(path, frames * channels * _BYTES[subtype])
        self._aside = atomic_path(path)
        self._temporary = self._aside.__enter__()
        try:
            self._file = soundfile.SoundFile(
                str(self._temporary), "w", sample_rate, channels, subtype, format=container
            )
        except (soundfile.LibsndfileError, RuntimeError, ValueError, OSError) as error:
            self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if self._subtype == "FLOAT" and kind is None:
                clear_peak_time(self._temporary)
        except (soundfile.LibsndfileError, RuntimeError, OSError) as problem:
            self._fail(problem)
        self._aside.__exit__(kind, error, trace)

    def write(self, samples: Signal) -> None:
        """Append float32 samples `(frames, channels)` or `(frames,)`."""
        peak = float(np.max(np.abs(samples), initial=0.0))
        place = self._position / self._file.samplerate
        if not np.isfinite(peak):
            raise AudioError(f"{self._path} would contain NaN or Inf near {place:.2f} s: repair its source recording")
        if self._subtype != "FLOAT" and peak > 1.0:
            raise AudioError(
                f"{self._path} would reach {peak:.3f} times full scale near {place:.2f} s: lower its level"
            )
        if self._limit is not None and self._position + len(samples) > self._limit:
            raise AudioError(
                f"{self._path} would exceed 4 GiB, the limit of WAV, near {place:.2f} s: use .flac, or several files"
            )
        try:
            self._file.write(samples)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise self._unwritable(error) from None
        self._position += len(samples)

    def _unwritable(self, error: Exception) -> AudioError | DiskFullError:
        if is_disk_full(error, self._temporary.parent):
            return disk_full(self._path)
        return AudioError(
            f"{self._path} cannot be written ({error}): check its folder, the free disk space, and whether its format "
            "supports this sample rate and number of channels"
        )

    def _fail(self, error: Exception) -> NoReturn:
        """Remove the unfinished file and raise."""
        self._aside.__exit__(type(error), error, None)
        raise self._unwritable(error) from None


def write(path: Path, samples: Signal, sample_rate: int, subtype: Subtype) -> None:
    """Write a whole signal `(frames, channels)` or `(frames,)` to a WAV or FLAC file."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with Writer(path, sample_rate, channels, subtype, len(samples)) as writer:
        writer.write(samples)
