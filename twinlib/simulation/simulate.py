"""A reel through a simulated device into a simulated sound card: a take whose truth is known."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Reader, Signal, Subtype, Writer
from twinlib.db import db_to_amp
from twinlib.progress import Progress, no_progress
from twinlib.simulation.circuits import CircuitStream
from twinlib.simulation.settings import Recorder, SimulatedClipper, SimulatedTransformer

REACH = 64
"""Samples on either side that the recorder's clock interpolates from."""

_SUBTYPES: dict[int, Subtype] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}


@dataclass(frozen=True)
class GroundTruth:
    """What the recorder did: wet index = lag_samples + (1 + drift_ppm * 1e-6) * dry index; polarity and gain."""

    lag_samples: float
    drift_ppm: float
    polarity: Literal[1, -1]
    gain_db: float
    frames: int


def _generator(recorder: Recorder, reel: str, use: int) -> np.random.Generator:
    name = int.from_bytes(hashlib.sha256(reel.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([recorder.seed, name, use])))


def ground_truth(recorder: Recorder, reel: str, sample_rate: int, frames: int) -> GroundTruth:
    """What the recorder will do to a reel of so many frames: random where the settings leave it open."""
    random = _generator(recorder, reel, 0)
    seconds, fraction = float(random.uniform(0.05, 1.5)), float(random.uniform(0.0, 1.0))
    seconds = seconds if recorder.offset_seconds is None else recorder.offset_seconds
    fraction = fraction if recorder.lag_fraction is None else recorder.lag_fraction
    lag = math.floor(seconds * sample_rate) + fraction
    end = lag + (1.0 + recorder.drift_ppm * 1e-6) * frames + recorder.tail_seconds * sample_rate
    return GroundTruth(lag, recorder.drift_ppm, -1 if recorder.invert else 1, recorder.gain_db, math.ceil(end))


def simulate_take(
    reel: Path,
    out: Path,
    simulate: SimulatedClipper | SimulatedTransformer,
    reel_name: str,
    progress: Progress = no_progress,
) -> GroundTruth:
    """Play a reel through the circuit and record it to `out`; each channel has its own circuit. Constant memory.

    Random numbers come from `recorder.seed` and `reel_name`: the same bytes every time. `progress` counts samples of
    the take. The returned truth is for judging an aligner, never for aligning.
    """
    recorder = simulate.recorder
    with Reader(reel) as reader:
        info = reader.info
        known = ground_truth(recorder, reel_name, info.sample_rate, info.frames)
        subtype = _SUBTYPES[recorder.bit_depth]
        played = _device(reader, simulate)
        with Writer(out, info.sample_rate, info.channels, subtype, known.frames) as writer:
            for start, block in _recorded(played, known, info.channels):
                samples = _chain(block, start, recorder, known, info.sample_rate)
                noise = _noise_of(recorder, reel_name, start, samples.shape)
                writer.write(_converted(samples + noise, recorder.bit_depth))
                progress(len(samples))
    return known


def _device(reader: Reader, simulate: SimulatedClipper | SimulatedTransformer) -> Iterator[Signal]:
    streams = [CircuitStream(simulate, reader.info.sample_rate) for _ in range(reader.info.channels)]
    for _, block in reader.blocks():
        yield np.stack([stream.process(block[:, i]) for i, stream in enumerate(streams)], axis=1)
    yield np.stack([stream.flush() for stream in streams], axis=1)


def _recorded(
    played: Iterator[Signal], known: GroundTruth, channels: int
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Blocks of the take on the recorder's clock: sample k is what was played at (k - lag) / (1 + drift)."""
    rate = 1.0 / (1.0 + known.drift_ppm * 1e-6)
    held, origin, ended = np.zeros((0, channels), np.float32), 0, False
    for start in range(0, known.frames, BLOCK):
        stop = min(start + BLOCK, known.frames)
        first = math.floor((start - known.lag_samples) * rate) - REACH
        last = math.floor((stop - 1 - known.lag_samples) * rate) + REACH + 2
        while not ended and origin + len(held) < last:
            block = next(played, None)
            ended = block is None
            held = held if block is None else np.concatenate((held, block))
        window = np.zeros((last - first, channels))
        low, high = max(first, origin), min(last, origin + len(held))
        if low < high:
            window[low - first : high - first] = held[low - origin : high - origin]
        out = np.zeros((stop - start, channels))
        for i in range(channels):
            _resample(np.ascontiguousarray(window[:, i]), first, known.lag_samples, rate, start, out[:, i])
        drop = min(max(0, first - origin), len(held))
        held, origin = held[drop:], origin + drop
        yield start, out


@numba.njit(cache=True)
def _resample(samples: Any, origin: int, lag: float, rate: float, start: int, out: Any) -> None:
    # A sinc under Nuttall's four-term window, evaluated at each place: no table, nothing shared with the aligner.
    turn = math.pi / REACH
    turn_cos, turn_sin = math.cos(turn), math.sin(turn)
    for k in range(out.shape[0]):
        place = (start + k - lag) * rate
        whole = math.floor(place)
        fraction = place - whole
        base = int(whole) - origin
        if fraction < 1e-12:
            out[k] = samples[base]
            continue
        numerator = math.sin(math.pi * fraction) / math.pi
        offset = fraction + REACH - 1
        c, s = math.cos(turn * offset), math.sin(turn * offset)
        sign = 1.0 if (REACH - 1) % 2 == 0 else -1.0
        total = 0.0
        for i in range(1 - REACH, REACH + 1):
            c2 = 2.0 * c * c - 1.0
            weight = 0.355768 + 0.487396 * c + 0.144232 * c2 + 0.012604 * c * (2.0 * c2 - 1.0)
            total += samples[base + i] * sign * numerator / (fraction - i) * weight
            c, s = c * turn_cos + s * turn_sin, s * turn_cos - c * turn_sin
            sign = -sign
        out[k] = total


def _chain(
    block: npt.NDArray[np.float64], start: int, recorder: Recorder, known: GroundTruth, sample_rate: int
) -> npt.NDArray[np.float64]:
    out = known.polarity * db_to_amp(recorder.gain_db) * block
    if recorder.hum_dbfs is not None:
        turns = (start + np.arange(len(block))) * (recorder.hum_hz / sample_rate)
        out += db_to_amp(recorder.hum_dbfs) * np.sin(2.0 * np.pi * (turns % 1.0))[:, None]
    return np.asarray(out)


def _noise_of(recorder: Recorder, reel: str, start: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    if recorder.noise_dbfs is None:
        return np.zeros(shape)
    random = _generator(recorder, reel, 1 + start // BLOCK)
    return np.asarray(db_to_amp(recorder.noise_dbfs) * random.standard_normal(shape))


def _converted(samples: npt.NDArray[np.float64], bit_depth: int) -> Signal:
    """What a converter gives: whole steps of its bits, clipped at full scale."""
    if bit_depth == 32:
        return np.clip(samples, -1.0, 1.0).astype(np.float32)
    steps = 2.0 ** (bit_depth - 1)
    return (np.clip(np.round(samples * steps), -steps, steps - 1.0) / steps).astype(np.float32)
