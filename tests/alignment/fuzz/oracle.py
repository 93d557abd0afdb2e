"""The oracle: where an alignment of a damaged recording is wrong."""

import math

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.ndimage import uniform_filter1d

from twinlib.alignment.pipeline import Alignment

from ..conftest import RATE, Array
from .faults import Mutilation
from .recordings import Base, Recording

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator


MOST_OFF = 0.05
"""Tolerance of the lag in samples."""

MOST_UNANSWERED = RATE // 50
"""Tolerated samples in a row without an answer: 20 ms."""

GRID = RATE // 200
"""Samples between two checks: 5 ms."""

MISSING_SECONDS = 0.5
"""Tolerated missing part of a pair at either end."""

IN_STEP = (-4, 16)
"""Lags of a pair on one clock that are left to the twin, by `judge`."""


def read_back(mutilation: Mutilation) -> tuple[Array, int] | None:
    """Return the aligned channel as decoded from the file, and its rate; None if it cannot be read."""
    try:
        samples, rate = soundfile.read(str(mutilation.take), dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError):
        return None
    if mutilation.channel >= samples.shape[1] or not len(samples):
        return None
    return samples[:, mutilation.channel], int(rate)


def wrongs(mutilation: Mutilation, found: Alignment) -> list[str]:
    """Describe the errors of an alignment outside `excluded`; an empty list if it is correct."""
    decoded = read_back(mutilation)
    if decoded is None:
        return ["an alignment of a file that cannot be read"]
    samples, rate = decoded
    here, programme = mutilation.base, mutilation.base.sounding
    frames = min(len(samples), len(mutilation.recording))
    recording = mutilation.recording.part(0, frames)
    damaged = recording.lost | ~_sounds(samples[:frames], recording)
    damaged |= here.polarity * recording.sign != found.polarity
    positions = np.arange(len(here.dry), dtype=np.float64)
    said = positions + found.lags(positions)
    if not np.isfinite(said).all():
        return ["a lag that is not finite"]
    off = np.full(len(positions), np.inf)
    scale = RATE / rate
    for first, last in _pieces(recording.dry):
        low, high = math.ceil(recording.dry[first]), math.floor(recording.dry[last - 1])
        low, high = max(low, here.programme[0]), min(high, here.programme[1] - 1)
        if high - low < MOST_UNANSWERED:
            continue
        slope = (recording.dry[last - 1] - recording.dry[first]) / (last - 1 - first)
        wet = first + (positions[low : high + 1] - recording.dry[first]) / slope
        whole = np.clip(wet.astype(np.int64), first, last - 1)
        broken = damaged[whole] | damaged[np.minimum(whole + 1, last - 1)]
        error = np.where(broken, np.inf, np.abs(wet * scale - said[low : high + 1]))
        off[low : high + 1] = np.minimum(off[low : high + 1], error)
    answered = np.isfinite(off)
    judged = programme.copy()
    for one in found.excluded:
        judged[max(0, one.start) : max(0, one.stop)] = False
    missing = (said < 0.0) | (said >= len(samples) * scale - 1.0)
    if found.verdict == "ok":
        # No finding reported a late start or an early end.
        room = round(MISSING_SECONDS * RATE) if here.clicks is None else 0
        missing[room : len(missing) - room] = False
    judged &= ~missing
    if here.clicks is None:
        off = _in_step(off, found)
    out = []
    grid = np.zeros(len(positions), bool)
    grid[::GRID] = True
    bad = judged & answered & grid & (off > MOST_OFF)
    if bad.any():
        places = np.flatnonzero(bad)
        out.append(
            f"off by up to {off[bad].max():.3f} samples at {len(places)} places from {places[0]} to {places[-1]} "
            f"({places[0] / RATE:.3f} s to {places[-1] / RATE:.3f} s) of the dry file, {_level(here, places)}"
        )
    runs = [run for run in _runs(judged & ~answered) if run[1] - run[0] > MOST_UNANSWERED]
    if runs:
        first, last = max(runs, key=lambda run: run[1] - run[0])
        most = sum(stop - start for start, stop in runs) / RATE
        out.append(
            f"no answer in {len(runs)} stretches, {1000 * most:.0f} ms in all, the longest {first} to {last} "
            f"({first / RATE:.3f} s to {last / RATE:.3f} s) of the dry file, {_level(here, np.arange(first, last))}"
        )
    return out


def _level(here: Base, places: npt.NDArray[np.int64]) -> str:
    """Describe the dry level at a position, relative to the loudest 6 ms within 1.5 s."""
    power = uniform_filter1d(here.dry**2, 256)
    low, high = max(0, int(places[0]) - 3 * RATE // 2), int(places[-1]) + 3 * RATE // 2
    mean = float(power[places].mean()) + 1e-12
    below = 10.0 * math.log10(float(power[low:high].max()) / mean)
    return f"{10.0 * math.log10(mean):.0f} dBFS ({below:.0f} dB below the loudest near it)"


def _sounds(samples: Array, recording: Recording) -> Mask:
    """Return where the added signal has less power than the original."""
    with np.errstate(all="ignore"):
        error = samples - recording.dc - recording.clean
        error = np.where(np.isfinite(error), np.clip(error, -1e3, 1e3), 1e3)
    window = RATE // 200
    # The error of a missing sample has the power of the sample, up to rounding.
    return np.asarray(uniform_filter1d(error**2, window) < 0.98 * uniform_filter1d(recording.clean**2, window))


def _pieces(dry: Array) -> list[tuple[int, int]]:
    """Return the spans [first, last) with consecutive dry positions."""
    consecutive = np.abs(np.diff(dry) - 1.0) < 0.01
    edges = np.flatnonzero(np.diff(np.concatenate(([False], consecutive, [False])).astype(np.int8)))
    return [(int(first), int(last) + 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _in_step(off: Array, found: Alignment) -> Array:
    """Ignore the constant lag of a few samples that a pair on one clock may keep (`IN_STEP`)."""
    if found.warp != "shift" or found.applied_lag_samples != 0.0:
        return off
    for constant in range(max(-IN_STEP[0], IN_STEP[1]) + 1):
        close = np.abs(off - constant) < MOST_OFF
        if close.sum() > 0.5 * np.isfinite(off).sum():
            return np.where(close, 0.0, off)
    return off


def _runs(where: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], where.astype(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
