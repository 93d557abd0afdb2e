"""Folders of short sound files, as published sets of pairs often are, joined into one file."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib.audio import Reader, Signal, Writer, read_info
from twinlib.errors import AudioError

DRIFT_DEGREE = 4
"""Degree of the polynomial that stands for the slow drift which all clips share."""


def join_clips(folder: Path, out: Path, skip: int = 0, subtract_drift: bool = False) -> int:
    """Join the WAV files of a folder, in the order of their numbers, into one WAV (float) or FLAC (24 bit).

    `skip` samples are left out at the start of every clip. `subtract_drift` takes away the slow curve that all clips
    have in common, a polynomial fitted to their mean: the start-up of a simulation, which no dry signal explains.
    Returns how many clips were joined; raises `AudioError` if there are none, or if they differ in format or length.
    """
    clips = sorted(folder.glob("*.wav"), key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name))
    if not clips:
        raise AudioError(f"{folder} holds no .wav files")
    first = read_info(clips[0])
    if skip >= first.frames:
        raise AudioError(f"{clips[0]} has {first.frames} samples: {skip} cannot be left out")
    for clip in clips:
        info = read_info(clip)
        if (info.sample_rate, info.channels, info.frames) != (first.sample_rate, first.channels, first.frames):
            raise AudioError(f"{clip} differs from {clips[0]} in rate, channels or length: they do not belong together")
    drift = _drift(clips, skip) if subtract_drift else np.zeros((first.frames - skip, first.channels), np.float32)
    with Writer(
        out, first.sample_rate, first.channels, "PCM_24" if out.suffix.lower() == ".flac" else "FLOAT"
    ) as writer:
        for clip in clips:
            writer.write(_read(clip, skip) - drift)
    return len(clips)


def _read(clip: Path, skip: int) -> Signal:
    with Reader(clip) as reader:
        return reader.read(skip)


def _drift(clips: list[Path], skip: int) -> Signal:
    """What all clips have in common, `(frames, channels)`."""
    mean: npt.NDArray[np.float64] = np.mean([_read(clip, skip) for clip in clips], axis=0, dtype=np.float64)
    place = np.linspace(-1.0, 1.0, len(mean))
    fit = np.polynomial.chebyshev.chebfit(place, mean, DRIFT_DEGREE)
    curve: Signal = np.polynomial.chebyshev.chebval(place, fit).T.astype(np.float32)
    return curve
