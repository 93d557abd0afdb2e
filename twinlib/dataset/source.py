"""What one capture is, as far as cutting it is concerned: its ranges and faults, all on the dry clock."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinlib.errors import DatasetError

WARP_REACH = 64
"""Samples to either side of a fault of the wet file that its windowed-sinc interpolation spreads it over."""

Range = tuple[int, int]
"""A half-open range [start, stop) of samples."""


@dataclass(frozen=True)
class CaptureSource:
    """One dry/wet couple whose wet signal has been put on the dry clock; all positions are samples of the dry file.

    `start` and `stop` bound the part that is cut; `available` is where the wet file has samples to give;
    `clipped` and `lost` are the stretches where the interface clipped and where samples were lost or repeated.
    `settings` is the canonical JSON of the device's knobs; `refused` holds the reasons if the capture is useless.
    """

    device: str
    capture: str
    start: int
    stop: int
    sample_rate: int
    guard_samples: int
    settings: str
    simulated: bool
    take_sha256: str
    refused: tuple[str, ...]
    available: Range
    clipped: tuple[Range, ...]
    lost: tuple[Range, ...]
    lag_samples: float
    drift_ppm: float
    track_positions: tuple[float, ...]
    track_residuals: tuple[float, ...]

    def lag(self, position: float) -> float:
        """The lag in samples at a dry position: positive where the wet file is late."""
        return self.lag_samples + self.drift_ppm * 1e-6 * position

    def residual(self, position: float) -> float:
        """What the alignment leaves at a dry position, in samples, from its measured windows; NaN if there are none."""
        if not self.track_positions:
            return math.nan
        return float(np.interp(position, self.track_positions, self.track_residuals))


def capture_source(
    device: str,
    capture: str,
    take: Mapping[str, Any],
    alignment: Mapping[str, Any],
    dry_range: Range | None = None,
) -> CaptureSource:
    """Read what cutting needs from a take (`take/1`) and its alignment (`alignment/1`).

    `dry_range` is the range of the dry file that is used, all of it by default. Raises `DatasetError` if a key is
    missing, the two disagree about the sample rate, or the range lies outside the dry file.
    """
    try:
        return _read(device, capture, take, alignment, dry_range)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"capture {capture} of {device}: its take or alignment lacks a usable {error}: "
            "delete take.json and alignment.json of this capture and run again"
        ) from None


def _read(
    device: str,
    capture: str,
    take: Mapping[str, Any],
    alignment: Mapping[str, Any],
    dry_range: Range | None,
) -> CaptureSource:
    rate, frames = int(alignment["sample_rate"]), int(alignment["dry_frames"])
    if int(take["sample_rate"]) != rate:
        raise DatasetError(
            f"capture {capture} of {device} was recorded at {take['sample_rate']} Hz and aligned at {rate} Hz: "
            "run align again"
        )
    start, stop = dry_range or (0, frames)
    if not 0 <= start < stop <= frames:
        raise DatasetError(
            f"capture {capture} of {device} asks for samples {start} to {stop} of a dry file of {frames}: "
            "correct start and stop of its pair"
        )
    guard = int(alignment["guard_samples"])
    clock = _Clock(
        float(alignment["applied_lag_samples"]),
        1.0 + 1e-6 * float(alignment["applied_drift_ppm"]),
        guard,
    )
    refused = [
        reason
        for part in (take, alignment)
        if part["verdict"] == "refused"
        for reason in (part["reasons"] or ["refused"])
    ]
    track = sorted(
        (float(window["position"]), float(window["residual"])) for window in alignment["track"] if window["weight"] > 0
    )
    return CaptureSource(
        device=device,
        capture=capture,
        start=start,
        stop=stop,
        sample_rate=rate,
        guard_samples=guard,
        settings=json.dumps(take["settings"], sort_keys=True, ensure_ascii=False),
        simulated=bool(take["simulated"]),
        take_sha256=str(take["sha256"]),
        refused=tuple(refused),
        available=clock.available(start, *map(int, alignment["wet_range"])),
        clipped=tuple(clock.faulty(*run) for run in _clipped(take, int(alignment["wet_frames"]))),
        lost=tuple(
            clock.faulty(math.floor(drop["start"] * rate), math.ceil(drop["stop"] * rate))
            for drop in alignment["dropouts"]
        ),
        lag_samples=float(alignment["lag_samples"]),
        drift_ppm=float(alignment["drift_ppm"]),
        track_positions=tuple(position for position, _ in track),
        track_residuals=tuple(residual for _, residual in track),
    )


def _clipped(take: Mapping[str, Any], wet_frames: int) -> list[Range]:
    """Runs of clipped samples of the wet file.

    A take lists only its first runs and counts them all in `clips`: past the last one listed of more, nothing is known
    to be clean, so all of it counts as clipped.
    """
    runs = [(int(run["start"]), int(run["start"]) + int(run["samples"])) for run in take["clipped"]]
    if int(take["clips"]) > len(runs):
        runs.append((runs[-1][1] if runs else 0, wet_frames))
    return runs


@dataclass(frozen=True)
class _Clock:
    """The warp as applied: dry sample n holds wet sample `lag + rate * (n - guard)`."""

    lag: float
    rate: float
    guard: int

    def dry(self, wet: float) -> float:
        return (wet - self.lag) / self.rate + self.guard

    def faulty(self, start: float, stop: float) -> Range:
        return math.floor(self.dry(start)) - WARP_REACH, math.ceil(self.dry(stop)) + WARP_REACH

    def available(self, start: int, wet_start: int, wet_stop: int) -> Range:
        """Dry samples whose wet sample exists.

        Wet samples that begin with the dry ones lack only the guard's own samples. No twin is judged on these: its
        receptive field is longer than the guard, and outputs begin one receptive field after a border.
        """
        first = math.ceil(self.dry(wet_start))
        if first - self.guard <= start:
            first = min(first, start)
        return first, math.floor(self.dry(wet_stop - 1)) + 1
