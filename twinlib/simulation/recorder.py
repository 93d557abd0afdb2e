"""A simulated sound card: start offset, clock drift, polarity, gain, hum, noise and quantisation."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Signal
from twinlib.db import db_to_amp
from twinlib.simulation.settings import Recorder

HALF_WIDTH = 64
"""Samples on either side of the interpolation kernel for the clock of the recorder."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroundTruth:
    """The effect of the recorder: wet index = lag_samples + (1 + drift_ppm * 1e-6) * dry index, polarity and gain."""

    lag_samples: float
    drift_ppm: float
    polarity: Literal[1, -1]
    gain_db: float
    frames: int


def ground_truth(recorder: Recorder, reel: str, sample_rate: int, frames: int) -> GroundTruth:
    """Return the effect of the recorder on a reel of `frames` samples; draws open settings from the seed."""
    random = _generator(recorder, reel, 0)
    seconds, fraction = float(random.uniform(0.05, 1.5)), float(random.uniform(0.0, 1.0))
    seconds = seconds if recorder.offset_seconds is None else recorder.offset_seconds
    fraction = fraction if recorder.lag_fraction is None else recorder.lag_fraction
    lag = math.floor(seconds * sample_rate) + fraction
    end = lag + (1.0 + recorder.drift_ppm * 1e-6) * frames + recorder.tail_seconds * sample_rate
    return GroundTruth(lag, recorder.drift_ppm, -1 if recorder.invert else 1, recorder.gain_db, math.ceil(end))


def record(
    blocks: Iterable[Signal], recorder: Recorder, truth: GroundTruth, reel: str, sample_rate: int, channels: int
) -> Iterator[Signal]:
    """Yield the blocks of the take of a played signal, both `(frames, channels)`."""
    for start, block in _resample_to_clock(iter(blocks), truth, channels):
        samples = _apply_chain(block, start, recorder, truth, sample_rate)
        yield _quantise(samples + _noise(recorder, reel, start, samples.shape), recorder.bit_depth)


def _generator(recorder: Recorder, reel: str, stream: int) -> np.random.Generator:
    name = int.from_bytes(hashlib.sha256(reel.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([recorder.seed, name, stream])))


def _resample_to_clock(played: Iterator[Signal], truth: GroundTruth, channels: int) -> Iterator[tuple[int, Array]]:
    """Yield position and samples of the take on the recorder's clock: take sample k is at (k - lag) / (1 + drift)."""
    rate = 1.0 / (1.0 + truth.drift_ppm * 1e-6)
    buffer, origin, ended = np.zeros((0, channels), np.float32), 0, False
    for start in range(0, truth.frames, BLOCK):
        stop = min(start + BLOCK, truth.frames)
        first = math.floor((start - truth.lag_samples) * rate) - HALF_WIDTH
        last = math.floor((stop - 1 - truth.lag_samples) * rate) + HALF_WIDTH + 2
        while not ended and origin + len(buffer) < last:
            block = next(played, None)
            ended = block is None
            buffer = buffer if block is None else np.concatenate((buffer, block))
        window = np.zeros((last - first, channels))
        low, high = max(first, origin), min(last, origin + len(buffer))
        if low < high:
            window[low - first : high - first] = buffer[low - origin : high - origin]
        out = np.zeros((stop - start, channels))
        for i in range(channels):
            _interpolate(np.ascontiguousarray(window[:, i]), first, truth.lag_samples, rate, start, out[:, i])
        done = min(max(0, first - origin), len(buffer))
        buffer, origin = buffer[done:], origin + done
        yield start, out


@numba.njit(cache=True)
def _interpolate(samples: Any, origin: int, lag: float, rate: float, start: int, out: Any) -> None:
    # A sinc under Nuttall's four-term window, evaluated at every position. It shares no code with the aligner.
    turn = math.pi / HALF_WIDTH
    turn_cos, turn_sin = math.cos(turn), math.sin(turn)
    for k in range(out.shape[0]):
        position = (start + k - lag) * rate
        whole = math.floor(position)
        fraction = position - whole
        base = int(whole) - origin
        if fraction < 1e-12:
            out[k] = samples[base]
            continue
        numerator = math.sin(math.pi * fraction) / math.pi
        offset = fraction + HALF_WIDTH - 1
        c, s = math.cos(turn * offset), math.sin(turn * offset)
        sign = 1.0 if (HALF_WIDTH - 1) % 2 == 0 else -1.0
        total = 0.0
        for i in range(1 - HALF_WIDTH, HALF_WIDTH + 1):
            c2 = 2.0 * c * c - 1.0
            weight = 0.355768 + 0.487396 * c + 0.144232 * c2 + 0.012604 * c * (2.0 * c2 - 1.0)
            total += samples[base + i] * sign * numerator / (fraction - i) * weight
            c, s = c * turn_cos + s * turn_sin, s * turn_cos - c * turn_sin
            sign = -sign
        out[k] = total


def _apply_chain(block: Array, start: int, recorder: Recorder, truth: GroundTruth, sample_rate: int) -> Array:
    """Apply polarity and gain, and add hum."""
    out = truth.polarity * db_to_amp(recorder.gain_db) * block
    if recorder.hum_dbfs is not None:
        turns = (start + np.arange(len(block))) * (recorder.hum_hz / sample_rate)
        out += db_to_amp(recorder.hum_dbfs) * np.sin(2.0 * np.pi * (turns % 1.0))[:, None]
    return np.asarray(out)


def _noise(recorder: Recorder, reel: str, start: int, shape: tuple[int, ...]) -> Array:
    if recorder.noise_dbfs is None:
        return np.zeros(shape)
    random = _generator(recorder, reel, 1 + start // BLOCK)
    return np.asarray(db_to_amp(recorder.noise_dbfs) * random.standard_normal(shape))


def _quantise(samples: Array, bit_depth: int) -> Signal:
    """Round to the steps of a converter and clip at full scale."""
    if bit_depth == 32:
        return np.clip(samples, -1.0, 1.0).astype(np.float32)
    steps = 2.0 ** (bit_depth - 1)
    return (np.clip(np.round(samples * steps), -steps, steps - 1.0) / steps).astype(np.float32)
