"""Rendering files through a twin: any length, any number of channels, any sample rate, constant memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from twinlib.audio import Reader, Signal, Subtype, Writer
from twinlib.errors import AudioError
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin
from twinlib.progress import Progress, no_progress


def render_file(
    twin: Twin, dry: Path, wet: Path, subtype: Subtype | None = None, progress: Progress = no_progress
) -> None:
    """Write what the device would make of a sound file, with the same rate, channels, length and timing.

    Channels are played independently. A file of another rate than the twin's is resampled on the way in and out (soxr,
    very high quality). `subtype` is by default FLOAT for `.wav`, which holds any level, and PCM_24 for `.flac`.
    `progress` counts frames of the file.

    Raises `AudioError` if a file cannot be read or written, if the dry file holds samples that are not finite, and if
    the output exceeds full scale in an integer format.
    """
    chosen = _subtype(wet, subtype)
    if wet.resolve() == dry.resolve():
        raise AudioError(f"{wet} is the file to be rendered: choose another name for the output")
    with Reader(dry) as reader:
        info = reader.info
        stream = Stream(twin, info.channels)
        blocks = _resampled(_finite(reader), info.sample_rate, twin.sample_rate, info.channels)
        played = _played(blocks, stream, twin.guard_samples, info.channels)
        played = _resampled(played, twin.sample_rate, info.sample_rate, info.channels)
        with Writer(wet, info.sample_rate, info.channels, chosen, info.frames) as writer:
            for block in _exactly(played, info.frames, info.channels):
                writer.write(block)
                progress(len(block))


def _subtype(path: Path, subtype: Subtype | None) -> Subtype:
    suffix = path.suffix.lower()
    if suffix not in (".wav", ".flac"):
        raise AudioError(f"{path}: output is written as .wav or .flac, choose one of these endings")
    if suffix == ".flac" and subtype == "FLOAT":
        raise AudioError(f"{path}: FLAC holds integers only: choose PCM_24, or .wav for floating point")
    return subtype or ("FLOAT" if suffix == ".wav" else "PCM_24")


def _finite(reader: Reader) -> Iterator[Signal]:
    for position, block in reader.blocks():
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            place = position + int(np.argmin(finite))
            seconds = place / reader.info.sample_rate
            raise AudioError(
                f"{reader.info.path} holds a sample that is not a finite number at {place} ({seconds:.2f} s): export "
                "it again"
            )
        yield block


def _resampled(blocks: Iterable[Signal], rate: int, wanted: int, channels: int) -> Iterator[Signal]:
    if rate == wanted:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _played(blocks: Iterable[Signal], stream: Stream, guard: int, channels: int) -> Iterator[Signal]:
    """The twin's output without the guard: its first samples dropped, as many added at the end."""
    dropped = 0
    for block in blocks:
        wet = stream.process(block)
        drop = min(guard - dropped, len(wet))
        dropped += drop
        yield wet[drop:]
    rest = stream.process(np.zeros((guard, channels), np.float32))
    yield rest[guard - dropped :]


def _exactly(blocks: Iterable[Signal], frames: int, channels: int) -> Iterator[Signal]:
    """Cut or fill the end so that there are `frames`: resampling there and back may differ by a few."""
    written = 0
    for block in blocks:
        part = block[: frames - written]
        written += len(part)
        yield part
    if written < frames:
        yield np.zeros((frames - written, channels), np.float32)
