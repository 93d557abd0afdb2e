"""Rendering of sound files and arrays through a twin: any length, channel count and sample rate; files in constant
memory.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from twinlib.audio import BLOCK, Reader, Signal, Subtype, Writer
from twinlib.errors import AudioError
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin
from twinlib.progress import Progress, no_progress


def render_file(
    twin: Twin, dry: Path, wet: Path, subtype: Subtype | None = None, progress: Progress = no_progress
) -> None:
    """Render a sound file; the output has the same rate, channels, length and timing.

    Channels are independent, and computed in parallel on the available cores. If the sample rate differs from the
    twin's, input and output are resampled (soxr, very high quality). `subtype` defaults to FLOAT for `.wav`, which
    holds any level, and to PCM_24 for `.flac`. `progress` counts frames of the file.

    Raises `AudioError` if a file cannot be read or written, if the dry file holds NaN or Inf, and if the output
    exceeds full scale in an integer format.
    """
    subtype = _check_subtype(wet, subtype)
    if wet.resolve() == dry.resolve():
        raise AudioError(f"{wet}: output and input are the same file. Choose another name for the output")
    with Reader(dry) as reader:
        info = reader.info
        blocks = _render(twin, _finite_blocks(reader), info.sample_rate, info.channels, info.frames)
        with Writer(wet, info.sample_rate, info.channels, subtype, info.frames) as writer:
            for block in blocks:
                writer.write(block)
                progress(len(block))


def render_array(twin: Twin, dry: npt.ArrayLike, sample_rate: int) -> Signal:
    """Render samples `(n,)` or `(n, channels)` at `sample_rate` Hz, as `render_file`; return float32 of this shape.

    Raises `AudioError` if the array has another shape, holds NaN or Inf, or if the rate is not positive.
    """
    with np.errstate(over="ignore"):
        # Values beyond the range of float32 become Inf.
        samples = np.asarray(dry, dtype=np.float32)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not samples.shape[1]):
        raise AudioError(f"the samples have the shape {samples.shape}, but (n,) or (n, channels) is needed")
    if sample_rate <= 0:
        raise AudioError(f"the sample rate is {sample_rate} Hz, but must be positive")
    signal = samples[:, None] if samples.ndim == 1 else samples
    if not np.isfinite(signal).all():
        sample = int(np.argmin(np.isfinite(signal).all(axis=1)))
        raise AudioError(f"sample {sample} ({sample / sample_rate:.2f} s) is not a finite number")
    frames, channels = signal.shape
    blocks = (signal[start : start + BLOCK] for start in range(0, frames, BLOCK))
    parts = list(_render(twin, blocks, sample_rate, channels, frames))
    return np.concatenate(parts).reshape(samples.shape) if parts else np.zeros(samples.shape, np.float32)


def _render(twin: Twin, blocks: Iterable[Signal], rate: int, channels: int, frames: int) -> Iterator[Signal]:
    """Yield the output of a twin for `frames` frames at any rate, without its latency."""
    stream = Stream(twin, channels, min(channels, _usable_cores()))
    blocks = _resample(blocks, rate, twin.sample_rate, channels)
    blocks = _play(blocks, stream, twin.guard_samples, channels)
    blocks = _resample(blocks, twin.sample_rate, rate, channels)
    return _trim_or_pad(blocks, frames, channels)


def _usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_subtype(path: Path, subtype: Subtype | None) -> Subtype:
    suffix = path.suffix.lower()
    if suffix not in (".wav", ".flac"):
        raise AudioError(f"{path}: unknown output format. Use the suffix .wav or .flac")
    if suffix == ".flac" and subtype == "FLOAT":
        raise AudioError(f"{path}: FLAC holds integers only. Use PCM_24, or .wav for floating point")
    return subtype or ("FLOAT" if suffix == ".wav" else "PCM_24")


def _finite_blocks(reader: Reader) -> Iterator[Signal]:
    for position, block in reader.blocks():
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            sample = position + int(np.argmin(finite))
            seconds = sample / reader.info.sample_rate
            raise AudioError(
                f"{reader.info.path}: sample {sample} ({seconds:.2f} s) is not a finite number. Export the file again"
            )
        yield block


def _resample(blocks: Iterable[Signal], rate: int, target_rate: int, channels: int) -> Iterator[Signal]:
    if rate == target_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, target_rate, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _play(blocks: Iterable[Signal], stream: Stream, guard: int, channels: int) -> Iterator[Signal]:
    """Yield the output of the twin without its latency: drop the first `guard` samples, flush as many at the end."""
    dropped = 0
    for block in blocks:
        wet = stream.process(block)
        drop = min(guard - dropped, len(wet))
        dropped += drop
        yield wet[drop:]
    rest = stream.process(np.zeros((guard, channels), np.float32))
    yield rest[guard - dropped :]


def _trim_or_pad(blocks: Iterable[Signal], frames: int, channels: int) -> Iterator[Signal]:
    """Yield exactly `frames` frames: resampling back and forth may change the length by a few samples."""
    written = 0
    for block in blocks:
        part = block[: frames - written]
        written += len(part)
        yield part
    if written < frames:
        yield np.zeros((frames - written, channels), np.float32)
