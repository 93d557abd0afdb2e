"""A take: the properties of one recording, as in `take.json` (contract `take/1`)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twinlib.findings import Finding, Verdict
from twinlib.sound_header import Header


@dataclass(frozen=True)
class ClippedRun:
    """Consecutive samples at full scale: first sample in the wet file, number of samples, time of the first sample."""

    start: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class Take:
    """Properties of one recording: those of the chosen `channel` (from 1), and `peaks_dbfs` of every channel.

    - Levels are in dB of full scale. `dc` is the mean, relative to full scale.
    - `noise_floor_dbfs`: the highest rms level among the quietest second (at most 5 %) of windows of 50 ms. `snr_db`:
      the ratio of the rms level to it.
    - `clips`: the number of clipped runs. `clipped`: the first 100 of them.
    - `hum_hz`: the fundamental of mains hum, to 0.01 Hz. `hum_dbfs`: the rms level of the fundamental and its harmonics
      (`twinlib.capture.hum`) in the quietest second that is not digital silence. Both are None without hum.
    - `reasons`: the sentences of the `findings` behind the `verdict`. `notes`: the sentences of the other findings.
    - `header`: whether the header of the file announces the right length (`twinlib.audio.AudioInfo`).
    """

    path: str
    sha256: str
    format: str
    subtype: str
    sample_rate: int
    channels: int
    channel: int
    frames: int
    seconds: float
    bit_depth: int | None
    peak_dbfs: float
    peaks_dbfs: tuple[float, ...]
    rms_dbfs: float
    dc: float
    noise_floor_dbfs: float
    snr_db: float
    clips: int
    clipped_samples: int
    clipped: tuple[ClippedRun, ...]
    simulated: bool
    hum_hz: float | None
    hum_dbfs: float | None
    verdict: Verdict = "ok"
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    header: Header = "complete"
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `twinlib.files.write_json(path, TAKE, ...)`."""
        return dataclasses.asdict(self)
