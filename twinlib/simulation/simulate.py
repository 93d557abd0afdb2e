"""Simulate a take: a reel through a simulated circuit and a simulated recorder, with known ground truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from twinlib.audio import Reader, Signal, Subtype, Writer
from twinlib.progress import Progress, no_progress
from twinlib.simulation.circuits import CircuitStream
from twinlib.simulation.recorder import GroundTruth, ground_truth, record
from twinlib.simulation.settings import SimulatedClipper, SimulatedTransformer

_SUBTYPES: dict[int, Subtype] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}


def simulate_take(
    reel: Path,
    out: Path,
    simulate: SimulatedClipper | SimulatedTransformer,
    reel_name: str,
    progress: Progress = no_progress,
) -> GroundTruth:
    """Play a reel through the circuit, one circuit per channel, and record it to `out`, in constant memory.

    Random numbers come from `recorder.seed` and `reel_name`, so the bytes are reproducible. `progress` counts samples
    of the take. Use the ground truth to evaluate an aligner, never to align.
    """
    recorder = simulate.recorder
    with Reader(reel) as reader:
        rate, channels = reader.info.sample_rate, reader.info.channels
        truth = ground_truth(recorder, reel_name, rate, reader.info.frames)
        played = _play(reader, simulate)
        with Writer(out, rate, channels, _SUBTYPES[recorder.bit_depth], truth.frames) as writer:
            for block in record(played, recorder, truth, reel_name, rate, channels):
                writer.write(block)
                progress(len(block))
    return truth


def _play(reader: Reader, simulate: SimulatedClipper | SimulatedTransformer) -> Iterator[Signal]:
    """Yield the output of the circuits."""
    streams = [CircuitStream(simulate, reader.info.sample_rate) for _ in range(reader.info.channels)]
    for _, block in reader.blocks():
        yield np.stack([stream.process(block[:, i]) for i, stream in enumerate(streams)], axis=1)
    yield np.stack([stream.flush() for stream in streams], axis=1)
