"""Ranges and faults of a capture on the dry clock, as input for the division into segments."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinlib.alignment import Alignment, Excluded
from twinlib.errors import DatasetError
from twinlib.intervals import Range
from twinlib.resampling import TimeMap

WARP_REACH = 64
"""Samples on either side of a fault of the wet file that windowed-sinc interpolation contaminates."""


@dataclass(frozen=True)
class CaptureSource:
    """An aligned capture; all positions are samples of the dry file.

    `start` and `stop` bound the part to divide. `available` is the range with samples in the wet file, and in the
    loop-back channel if it replaces the dry signal (`looped_back`). `clipped` are the ranges where the interface
    clipped; `excluded` are those that the alignment excludes, with its reasons. `timemap` holds the lag. `settings` is
    the canonical JSON of the knob positions; `refused` holds the reasons if the capture is refused.
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
    excluded: tuple[Excluded, ...]
    looped_back: bool
    timemap: TimeMap
    track_positions: tuple[float, ...]
    track_residuals: tuple[float, ...]

    @property
    def borders(self) -> list[Range]:
        """Ranges that no left context may overlap: excluded ranges, and ranges outside the loop-back channel."""
        borders = [(one.start, one.stop) for one in self.excluded]
        if self.looped_back:
            first, last = self.available
            borders += [(low, high) for low, high in ((self.start, first), (last, self.stop)) if low < high]
        return borders

    def lag(self, position: float) -> float:
        """Return the lag in samples at a dry position, as the warp applies it; positive if the wet file is late."""
        return float(self.timemap.lags(np.array([position]))[0])

    def residual(self, position: float) -> float:
        """Return the residual lag in samples at a dry position, from the measured windows; NaN if there are none."""
        if not self.track_positions:
            return math.nan
        return float(np.interp(position, self.track_positions, self.track_residuals))


def capture_source(
    device: str,
    capture: str,
    take: Mapping[str, Any],
    alignment: Alignment,
    dry_range: Range | None = None,
) -> CaptureSource:
    """Return the ranges and faults of a take (`take/1`) and its alignment.

    `dry_range` is the range of the dry file to use, by default all of it. Raises `DatasetError` if a key of the take is
    missing, if take and alignment differ in the sample rate of the recording, or if the range exceeds the dry file.
    """
    try:
        return _read(device, capture, take, alignment, dry_range)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"capture {capture} of {device}: its take or alignment has no usable {error}: "
            "delete take.json and alignment.json of this capture and run again"
        ) from None


def _read(
    device: str,
    capture: str,
    take: Mapping[str, Any],
    alignment: Alignment,
    dry_range: Range | None,
) -> CaptureSource:
    if int(take["sample_rate"]) != alignment.wet_sample_rate:
        raise DatasetError(
            f"capture {capture} of {device} was recorded at {take['sample_rate']} Hz but aligned at "
            f"{alignment.wet_sample_rate} Hz: align it again"
        )
    start, stop = dry_range or (0, alignment.dry_frames)
    if not 0 <= start < stop <= alignment.dry_frames:
        raise DatasetError(
            f"capture {capture} of {device} uses samples {start} to {stop} of a dry file of "
            f"{alignment.dry_frames} samples: correct start and stop of its pair"
        )
    guard, looped_back = alignment.guard_samples, alignment.reference is not None
    clock = _Clock(alignment.timemap, alignment.sample_rate, alignment.wet_sample_rate, guard)
    first, last = clock.available(start, *alignment.wet_range)
    refused = [
        reason
        for verdict, reasons in ((take["verdict"], take["reasons"]), (alignment.verdict, alignment.reasons))
        if verdict == "refused"
        for reason in (reasons or ["refused"])
    ]
    track = sorted((window.position, window.residual) for window in alignment.track if window.weight > 0)
    return CaptureSource(
        device=device,
        capture=capture,
        start=start,
        stop=stop,
        sample_rate=alignment.sample_rate,
        guard_samples=guard,
        settings=json.dumps(take["settings"], sort_keys=True, ensure_ascii=False),
        simulated=bool(take["simulated"]),
        take_sha256=str(take["sha256"]),
        refused=tuple(refused),
        # A loop-back channel ends with the wet file and is not delayed by the guard.
        available=(first, last - guard if looped_back else last),
        clipped=tuple(clock.contaminated(*run) for run in _clipped(take, alignment.wet_frames)),
        # The response to dry sample n is at n + guard.
        excluded=tuple(replace(one, stop=one.stop + guard) for one in alignment.excluded),
        looped_back=looped_back,
        timemap=clock.timemap,
        track_positions=tuple(position for position, _ in track),
        track_residuals=tuple(residual for _, residual in track),
    )


def _clipped(take: Mapping[str, Any], wet_frames: int) -> list[Range]:
    """Return the runs of clipped samples of the wet file.

    A take lists its first runs only, and counts all runs in `clips`. If there are more, all samples after the last
    listed run count as clipped. The clipping of an accepted wet file is that of the device.
    """
    if any(finding["code"] == "accepted" for finding in take.get("findings", ())):
        return []
    runs = [(int(run["start"]), int(run["start"]) + int(run["samples"])) for run in take["clipped"]]
    if int(take["clips"]) > len(runs):
        runs.append((runs[-1][1] if runs else 0, wet_frames))
    return runs


@dataclass(frozen=True)
class _Clock:
    """The warp as applied: dry sample n is read at `timemap.wet(n - guard)`, in samples at the dry rate."""

    timemap: TimeMap
    rate: int
    wet_rate: int
    guard: int

    def dry(self, wet: int, reach: int = 0) -> float:
        """Return the dry position of a sample of the wet file, `reach` samples of the dry rate later."""
        return self.timemap.dry(wet * self.rate / self.wet_rate + reach) + self.guard

    def contaminated(self, start: int, stop: int) -> Range:
        """Return the dry samples that depend on samples [start, stop) of the wet file."""
        reach = WARP_REACH
        if self.wet_rate != self.rate:
            # Resampling spreads a fault, like the warp.
            reach += math.ceil(WARP_REACH * max(1.0, self.rate / self.wet_rate))
        # Interpolation reaches along the wet file, where lost and repeated samples do not count as on the dry clock.
        return math.floor(self.dry(start, -reach)), math.ceil(self.dry(stop, reach))

    def available(self, start: int, wet_start: int, wet_stop: int) -> Range:
        """Return the dry samples that have a wet sample.

        If the wet file starts with the dry file, only the samples of the guard are missing. They are never evaluated:
        the receptive field of a twin is longer than the guard, and outputs begin one receptive field after a border.
        """
        first = math.ceil(self.dry(wet_start))
        if first - self.guard <= start:
            first = min(first, start)
        return first, math.floor(self.dry(wet_stop - 1)) + 1
