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
    """Properties of one recording. `peaks_dbfs` is by channel, everything else of the chosen `channel` (from 1).

    Levels are in dB of full scale. `noise_floor_dbfs` is the highest rms level among the quietest second (at
    most 5 %) of windows of 50 ms; `snr_db` is the ratio of the rms level to it. `clips` counts the clipped runs, and
    `clipped` lists the first 100. `hum_hz` is the fundamental of mains hum, to 0.01 Hz, and `hum_dbfs` the rms level of
    it and its harmonics (`twinlib.capture.hum`), measured in the quietest second that is not digital silence; both are
    None if there is no hum. `reasons` are the sentences of the `findings` behind the `verdict`, `notes` those of the
    others. `header` tells whether the length in the header of the file is right (`twinlib.audio.AudioInfo`).
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
