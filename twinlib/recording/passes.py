"""One pass: play a reel and record the device, as a stream into a file."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinlib.audio import Reader, Signal, Subtype, Writer
from twinlib.db import amp_to_db
from twinlib.errors import StalledStreamError
from twinlib.progress import Progress, no_progress
from twinlib.recording.sound_system import BLOCK_FRAMES, Connection, SoundSystem
from twinlib.resampling import Channel, frames_at_rate, open_channel

LEAD_SECONDS = 1.5
"""Silence before the reel: streams lose their start."""

TAIL_SECONDS = 1.5
"""Silence after the reel, besides the round trip: the decay of the device."""

METER_SECONDS = 0.3
"""Time between two readings of the meter."""

FLOOR_DBFS = -120.0

_MOST_24_BIT = float(np.float32(1.0 - 2.0**-23))


@dataclass(frozen=True)
class Pass:
    """A recorded pass: frames of silence that were played before the reel, and the seconds in the file of each break.

    A break is a place at which the driver reported lost or repeated samples. `is_complete` is False after Ctrl-C.
    `stalled` is the second in the file at which the stream stopped on its own, None if it did not.
    """

    path: Path
    sample_rate: int
    lead_frames: int
    breaks: tuple[float, ...]
    is_complete: bool
    stalled: float | None = None

    @property
    def breaks_of_reel(self) -> tuple[float, ...]:
        """The breaks after the silence before the reel; streams are often interrupted at their start."""
        return tuple(place for place in self.breaks if place >= self.lead_frames / self.sample_rate)


def record_pass(
    system: SoundSystem,
    connection: Connection,
    reel: Path,
    out: Path,
    *,
    subtype: Subtype = "PCM_24",
    lead_seconds: float = LEAD_SECONDS,
    latency_seconds: float | None = None,
    progress: Progress = no_progress,
) -> Pass:
    """Play a reel and record the inputs of a connection into a WAV (RF64 beyond 4 GiB), in constant memory.

    `latency_seconds` is the round trip; None if it is unknown. A reel of another rate is resampled for the interface.
    `KeyboardInterrupt` ends the pass early; the file then holds what was recorded, as after a stall of the stream.
    `progress` counts seconds, with the level as note. Raises `InterfaceError`, and `DiskFullError` before anything is
    played.
    """
    rate = connection.sample_rate
    lead = BLOCK_FRAMES * math.ceil(lead_seconds * rate / BLOCK_FRAMES)
    if latency_seconds is None:
        # Once for the output, once for the input.
        latency_seconds = 2.0 * (connection.latency or 0.0)
    tail = round((TAIL_SECONDS + latency_seconds) * rate)
    breaks: list[float] = []
    position, is_complete, stalled = 0, True, None
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(reel))
        channels = [open_channel(reader, number, rate, None) for number in range(reader.info.channels)]
        frames = lead + frames_at_rate(reader, rate) + tail
        writer = stack.enter_context(Writer(out, rate, len(connection.inputs), subtype, frames + 10 * rate))
        meter = _Meter(rate, progress)
        try:
            for received in system.exchange(connection, _blocks(channels, lead, frames)):
                if received.is_broken:
                    breaks.append(round(position / rate, 3))
                samples = received.samples
                if subtype != "FLOAT":
                    samples = np.clip(samples, -1.0, _MOST_24_BIT)
                writer.write(samples)
                position += len(samples)
                meter.add(samples, len(breaks))
        except KeyboardInterrupt:
            is_complete = False
        except StalledStreamError:
            if not position:
                raise
            stalled = round(position / rate, 3)
    return Pass(out, rate, lead, tuple(breaks), is_complete, stalled)


def _blocks(channels: list[Channel], lead: int, frames: int) -> Iterator[Signal]:
    """Yield the silence before the reel, the reel, and the silence after it."""
    for start in range(-lead, frames - lead, BLOCK_FRAMES):
        yield np.stack([channel.read(start, start + BLOCK_FRAMES) for channel in channels], axis=1)


class _Meter:
    """Report the peak of the recording, now and so far, some times a second."""

    def __init__(self, rate: int, progress: Progress) -> None:
        self._rate, self._progress = rate, progress
        self._frames, self._now, self._highest = 0, 0.0, 0.0

    def add(self, samples: Signal, breaks: int) -> None:
        self._now = max(self._now, float(np.abs(samples).max(initial=0.0)))
        self._highest = max(self._highest, self._now)
        self._frames += len(samples)
        if self._frames < METER_SECONDS * self._rate:
            return
        note = f"peak {_dbfs(self._now)} dBFS, highest {_dbfs(self._highest)}"
        self._progress(self._frames / self._rate, note + (f", {breaks} interruptions" if breaks else ""))
        self._frames, self._now = 0, 0.0


def _dbfs(amplitude: float) -> str:
    return f"{max(FLOOR_DBFS, amp_to_db(amplitude)):.1f}" if amplitude else "-inf"
