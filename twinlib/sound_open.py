"""Opening sound files with libsndfile: files with wrong headers, of unknown length, cut short, or of other formats."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from twinlib.errors import AudioError
from twinlib.parsing import describe_error, require_file
from twinlib.sound_header import Header, Samples, SplicedFile, find_samples, flac_with_length

MAX_FRAMES = 2**36 - 1
"""The largest length that a FLAC header can announce; libsndfile reports a larger one if the length is unknown."""

_EMPTY_FILE = 256
"""Largest size in bytes that the header of an empty file announces."""

_EXPORT = "export it as WAV or FLAC"
_OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "MPEG-4 (.m4a, .mp4)"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"ADIF", "AAC"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"FRM8", "DSD"),
    (0, b"DSD ", "DSD"),
    (0, b"PK\x03\x04", "a ZIP archive"),
)
"""Offset and first bytes of other formats."""


@dataclass(frozen=True)
class OpenSound:
    """An open sound file: `frames` are in the file, `announced` in its header; `stream` is to be closed too."""

    file: soundfile.SoundFile
    stream: SplicedFile | None
    container: str
    frames: int
    announced: int
    header: Header

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        if self.stream is not None:
            self.stream.close()


def open_sound(path: Path) -> OpenSound:
    """Open a sound file; raises `AudioError` if it is missing, empty or of another format."""
    if path.is_dir():
        raise AudioError(f"{path} is a folder: name a sound file in it")
    if not path.exists():
        raise AudioError(f"{path} does not exist")
    try:
        require_file(path)
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes): copy or record it again")
        samples = find_samples(path)
        if samples is not None:
            return _open_samples(path, samples)
        return _open_other(path)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        raise AudioError(_describe_unreadable(path, error)) from None


def _open_samples(path: Path, samples: Samples) -> OpenSound:
    if samples.size <= 0:
        raise AudioError(f"{path} contains no samples: record or export it again")
    stream = None
    if samples.correct is not None:
        stream = SplicedFile(path, samples.correct, *samples.parts)
    file = _open(path, stream)
    announced = round(file.frames * samples.announced / samples.size) if samples.header == "truncated" else file.frames
    container = file.format if samples.container == "WAV" else samples.container
    sound = OpenSound(file, stream, container, file.frames, announced, samples.header)
    return sound if is_pcm(file.subtype) else _find_end(path, sound)


def _open(path: Path, stream: SplicedFile | None) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(str(path) if stream is None else stream)
    except BaseException:
        if stream is not None:
            stream.close()
        raise


def _open_other(path: Path) -> OpenSound:
    file = _open(path, None)
    header, announced = _compare_log(file)
    sound = OpenSound(file, None, file.format, file.frames, announced, header)
    if file.format == "FLAC":
        return sound if _has_frame(file, file.frames - 1) else _open_flac(path, sound)
    return sound if is_pcm(file.subtype) else _find_end(path, sound)


def is_pcm(subtype: str) -> bool:
    """Return whether the samples are stored as numbers, without compression."""
    return subtype.startswith(("PCM", "FLOAT", "DOUBLE"))


def _find_end(path: Path, sound: OpenSound) -> OpenSound:
    """Return a compressed file with the number of frames that can be decoded, if fewer than announced."""
    if _has_frame(sound.file, sound.frames - 1):
        return sound
    frames = _last_frame(lambda frame: _has_frame(sound.file, frame)) + 1
    with path.open("rb") as file:
        head = file.read(1 << 12)
    # Without this tag, libsndfile estimates the length of an MP3 file from its first frames.
    if sound.container == "MP3" and b"Xing" not in head and b"Info" not in head:
        return replace(sound, frames=frames, announced=frames, header="unfinished")
    return replace(sound, frames=frames, announced=sound.frames, header="truncated")


def _open_flac(path: Path, sound: OpenSound) -> OpenSound:
    """Open a FLAC file of unknown length, in which libsndfile cannot seek, with a header of its true length.

    Raises `AudioError` if the file ends before the last frame that its header announces.
    """
    rate = sound.file.samplerate
    sound.close()

    def has_frame(frame: int) -> bool:
        # libFLAC finds the last frame of a file of this length, or fails.
        stream = flac_with_length(path, frame + 1)
        if stream is None:
            return False
        with stream, contextlib.suppress(soundfile.LibsndfileError, RuntimeError), _open(path, stream) as part:
            return _has_frame(part, frame)
        return False

    frames = _last_frame(has_frame) + 1
    if sound.frames <= MAX_FRAMES:
        raise AudioError(
            f"{path} is truncated: it ends at {frames / rate:.2f} s, but its header announces "
            f"{sound.frames / rate:.2f} s. Copy it again, or record it again"
        )
    stream = flac_with_length(path, frames) if frames else None
    if stream is None:
        raise AudioError(f"{path} contains no samples: record or export it again")
    return OpenSound(_open(path, stream), stream, sound.container, frames, frames, "unfinished")


def _has_frame(file: soundfile.SoundFile, frame: int) -> bool:
    """Return whether a frame can be decoded."""
    if frame < 0:
        return True
    try:
        file.seek(frame)
        # Not every decoder finds out by seeking.
        return file.format == "FLAC" or len(file.read(1, "float32", always_2d=True)) == 1
    except (soundfile.LibsndfileError, RuntimeError):
        return False


def _last_frame(has_frame: Callable[[int], bool]) -> int:
    """Return the last frame by bisection; -1 if there is none."""
    last, beyond = -1, 1 << 16
    while has_frame(beyond):
        last, beyond = beyond, 2 * beyond
    while beyond - last > 1:
        middle = (last + beyond) // 2
        last, beyond = (middle, beyond) if has_frame(middle) else (last, middle)
    return last


def _compare_log(file: soundfile.SoundFile) -> tuple[Header, int]:
    """Return the state of the header of other formats, which only the log of libsndfile reveals, and its length.

    The log compares the size of the samples of AIFF files and of whole W64 files with the file.
    """
    log = file.extra_info
    if "end-of-stream" in log.lower():
        return "truncated", file.frames
    if found := re.search(r"^\s*(?:SSND|riff)\s*:\s*(\d+) \(should be (\d+)\)", log, re.MULTILINE):
        announced, size = int(found[1]), int(found[2])
        if announced > size + 1:
            return "truncated", round(file.frames * announced / max(1, size))
        if announced < _EMPTY_FILE:
            return "unfinished", file.frames
    return "complete", file.frames


def _describe_unreadable(path: Path, error: Exception) -> str:
    """Return what the file is instead of a readable sound file, and the remedy."""
    try:
        require_file(path)
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as system:
        return f"{path} is not readable ({describe_error(system)}): check its permissions and its disk"
    if not any(head):
        return (
            f"{path} starts with zeros instead of a header: it was not written to its end, or not copied. Copy it "
            "again, or repair it with the program that recorded it"
        )
    for at, start, name in _OTHER_FORMATS:
        if head[at:].startswith(start):
            return f"{path} is {name}, which cannot be read: {_EXPORT}"
    if head.startswith(b"caff"):
        codec = head[28:32].decode("latin-1").strip()
        return f"{path} is a CAF file of the codec {codec!r} that cannot be read ({error}): {_EXPORT}"
    return f"{path} is not a readable sound file ({error}): {_EXPORT}, or copy it again"
