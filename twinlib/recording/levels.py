"""The level set-up: a short test signal through the device, before the first reel."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from twinlib import audio
from twinlib.audio import Reader, Signal
from twinlib.capture import ingest_take
from twinlib.db import db_to_amp
from twinlib.estimation import MIN_CORRELATION, find_clicks
from twinlib.excitation import make_click, make_witness
from twinlib.progress import Progress, no_progress
from twinlib.recording.passes import record_pass
from twinlib.recording.sound_system import Connection, SoundSystem
from twinlib.resampling import open_channel

TONE_HZ, TONE_SECONDS, SEND_DBFS = 1000.0, 1.0, -1.0
"""The test tone; reels peak at -1 dBFS too."""

QUIET_SECONDS = 2.0
"""Silence in which noise and hum are measured."""

GAP_SECONDS = 0.5
FADE_SECONDS = 0.01

LOWEST_DBFS, HIGHEST_DBFS = -12.0, -3.0
"""Range of a good peak of the return: headroom for louder music, and little noise of the converter."""

TARGET_DBFS = -6.0
CLIPPED_DBFS = -0.2
SILENT_DBFS = -60.0


@dataclass(frozen=True)
class Levels:
    """What the test signal measures. Levels in dBFS are peaks, except those of noise and hum (rms).

    `latency_seconds` is the round trip from the output to the input, negative if the stream lost more than that of its
    start; None, like the polarity, if no click came back.
    `loop_back_dbfs` is None without a loop-back. `breaks` are the interruptions that the driver reported.
    """

    send_dbfs: float
    return_dbfs: float
    loop_back_dbfs: float | None
    noise_dbfs: float
    hum_hz: float | None
    hum_dbfs: float | None
    polarity: Literal[1, -1] | None
    latency_seconds: float | None
    breaks: int

    @property
    def headroom_db(self) -> float:
        """The distance of the return from full scale."""
        return -self.return_dbfs

    @property
    def lost_seconds(self) -> float:
        """What the stream lost of its start at least."""
        return max(0.0, -(self.latency_seconds or 0.0))

    @property
    def problems(self) -> list[str]:
        """What to correct before recording, most important first."""
        found = []
        if self.return_dbfs < SILENT_DBFS:
            found.append("nothing comes back: check cables, power, bypass, and the numbers of the channels")
        elif self.latency_seconds is None:
            found.append("what comes back is not what was played: check the cables and the numbers of the channels")
        elif self.return_dbfs > CLIPPED_DBFS:
            found.append("the input clips: lower its gain by 6 dB or more")
        elif self.return_dbfs > HIGHEST_DBFS:
            found.append(f"little headroom: lower the input gain by {self.return_dbfs - TARGET_DBFS:.0f} dB")
        elif self.return_dbfs < LOWEST_DBFS:
            found.append(f"low level: raise the input gain by {TARGET_DBFS - self.return_dbfs:.0f} dB")
        if self.loop_back_dbfs is not None and not SILENT_DBFS < self.loop_back_dbfs < CLIPPED_DBFS:
            state = "clips: lower its input gain" if self.loop_back_dbfs > SILENT_DBFS else "is silent: check its cable"
            found.append(f"the loop-back {state}")
        if self.lost_seconds:
            found.append(f"the stream lost its first {self.lost_seconds:.2f} s, or more: lower --latency")
        if self.breaks:
            found.append("the stream was interrupted: close other programs, or raise --latency")
        return found

    @property
    def is_usable(self) -> bool:
        """Whether a recording now is of use: the device answers and does not clip."""
        return SILENT_DBFS <= self.return_dbfs <= CLIPPED_DBFS and self.latency_seconds is not None

    def describe(self, input_level_dbu: float | None = None) -> str:
        """Return the measurements in a line; `input_level_dbu` is the level of 0 dBFS at the input of the device."""
        send = f"send {self.send_dbfs:.1f} dBFS"
        if input_level_dbu is not None:
            send += f" ({input_level_dbu + self.send_dbfs:+.1f} dBu)"
        parts = [send, f"return {self.return_dbfs:.1f} dBFS", f"headroom {self.headroom_db:.1f} dB"]
        if self.loop_back_dbfs is not None:
            parts.append(f"loop-back {self.loop_back_dbfs:.1f} dBFS")
        parts.append(f"noise {self.noise_dbfs:.0f} dBFS")
        parts.append(f"hum {self.hum_hz:.0f} Hz at {self.hum_dbfs:.0f} dBFS" if self.hum_hz else "no hum")
        if self.latency_seconds is not None:
            parts.append("inverted" if self.polarity == -1 else "not inverted")
            if not self.lost_seconds:
                parts.append(f"round trip {1e3 * self.latency_seconds:.1f} ms")
        return ", ".join(parts)


def measure_levels(
    system: SoundSystem,
    connection: Connection,
    *,
    channel: int = 1,
    reference_channel: int | None = None,
    progress: Progress = no_progress,
) -> Levels:
    """Play the test signal and measure what comes back.

    `channel` and `reference_channel` (the loop-back) are those of the recording, counted from 1. `progress` counts
    seconds. Raises `InterfaceError`.
    """
    rate = connection.sample_rate
    with tempfile.TemporaryDirectory(prefix="twin-levels-") as folder:
        sent, returned = Path(folder) / "sent.wav", Path(folder) / "returned.wav"
        samples = make_test_signal(rate)
        audio.write(sent, samples, rate, "FLOAT")
        made = record_pass(system, connection, sent, returned, subtype="FLOAT", lead_seconds=1.0, progress=progress)
        if not made.is_complete:
            raise KeyboardInterrupt
        take = ingest_take(returned, channel=channel)
        with Reader(returned) as reader:
            peaks = find_clicks(open_channel(reader, channel - 1, rate, None), make_click(rate))
        clicks = [peak for peak in peaks if abs(peak.correlation) >= MIN_CORRELATION]
        # The tone may hold a weaker match.
        click = max(clicks, key=lambda peak: abs(peak.correlation), default=None)
        lag = None if click is None else click.position - made.lead_frames - QUIET_SECONDS * rate
        return Levels(
            send_dbfs=SEND_DBFS,
            return_dbfs=take.peak_dbfs,
            loop_back_dbfs=None if reference_channel is None else take.peaks_dbfs[reference_channel - 1],
            noise_dbfs=take.noise_floor_dbfs,
            hum_hz=take.hum_hz,
            hum_dbfs=take.hum_dbfs,
            polarity=None if click is None else 1 if click.correlation > 0 else -1,
            latency_seconds=None if lag is None else lag / rate,
            breaks=len(made.breaks_of_reel) + (made.stalled is not None),
        )


def make_test_signal(rate: int) -> Signal:
    """Return silence, the click of a reel, a tone of 1 kHz and the witness, float32 `(frames,)`, at -1 dBFS."""
    return np.concatenate(list(_parts(rate)))


def _parts(rate: int) -> Iterator[Signal]:
    gap = np.zeros(round(GAP_SECONDS * rate), np.float32)
    yield np.zeros(round(QUIET_SECONDS * rate), np.float32)
    yield make_click(rate)
    yield gap
    frames = round(TONE_SECONDS * rate)
    edge = np.minimum(np.arange(frames), np.arange(frames)[::-1]) / (FADE_SECONDS * rate)
    tone = db_to_amp(SEND_DBFS) * np.sin(2.0 * np.pi * TONE_HZ / rate * np.arange(frames)) * np.minimum(1.0, edge)
    yield tone.astype(np.float32)
    yield gap
    yield make_witness(rate)
