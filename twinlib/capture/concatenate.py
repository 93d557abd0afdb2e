"""Concatenate a folder of short sound files, a common format of published data sets, into one file."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib.audio import Reader, Signal, Subtype, Writer, is_sound_name, read_info
from twinlib.errors import AudioError

DRIFT_DEGREE = 4
"""Degree of the polynomial that models the drift common to all clips."""


def concatenate_clips(folder: Path, out: Path, skip: int = 0, subtract_drift: bool = False) -> int:
    """Concatenate the WAV files of a folder, ordered by the numbers in their names, into WAV (float) or FLAC (24 bit).

    Drops `skip` samples at the start of each clip. `subtract_drift` removes the slow curve common to all clips, a
    polynomial fitted to their mean, such as the start-up transient of a simulation. Returns the number of clips. Raises
    `AudioError` if the folder has no clips, or if they differ in format or length.
    """
    clips = sorted(
        (path for path in folder.glob("*") if path.suffix.lower() == ".wav" and is_sound_name(path)),
        key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name),
    )
    if not clips:
        raise AudioError(f"{folder} contains no .wav files: give the folder of the clips")
    first = read_info(clips[0])
    if skip >= first.frames:
        raise AudioError(f"{clips[0]} has only {first.frames} samples: {skip} cannot be skipped")
    for clip in clips:
        info = read_info(clip)
        if (info.sample_rate, info.channels, info.frames) != (first.sample_rate, first.channels, first.frames):
            raise AudioError(f"{clip} and {clips[0]} differ in sample rate, channels or length: all clips must match")
    drift = _common_drift(clips, skip) if subtract_drift else np.float32(0.0)
    subtype: Subtype = "PCM_24" if out.suffix.lower() == ".flac" else "FLOAT"
    frames = len(clips) * (first.frames - skip)
    with Writer(out, first.sample_rate, first.channels, subtype, frames) as writer:
        for clip in clips:
            writer.write(_read(clip, skip) - drift)
    return len(clips)


def _read(clip: Path, skip: int) -> Signal:
    with Reader(clip) as reader:
        return reader.read(skip)


def _common_drift(clips: list[Path], skip: int) -> Signal:
    """Return the drift common to all clips, `(frames, channels)`."""
    total: npt.NDArray[np.float64] = _read(clips[0], skip).astype(np.float64)
    for clip in clips[1:]:
        total += _read(clip, skip)
    mean = total / len(clips)
    position = np.linspace(-1.0, 1.0, len(mean))
    fit = np.polynomial.chebyshev.chebfit(position, mean, DRIFT_DEGREE)
    curve: Signal = np.polynomial.chebyshev.chebval(position, fit).T.astype(np.float32)
    return curve
