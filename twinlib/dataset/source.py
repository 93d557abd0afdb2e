"""What one capture is, as far as cutting it is concerned: its ranges and faults, all on the dry clock."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinlib.alignment.result import Alignment, Excluded
from twinlib.alignment.time_map import TimeMap
from twinlib.errors import DatasetError
from twinlib.intervals import Range

WARP_REACH = 64
"""Samples to either side of a fault of the wet file that its windowed-sinc interpolation spreads it over."""


@dataclass(frozen=True)
class CaptureSource:
    """One dry/wet couple whose wet signal has been put on the dry clock; all positions are samples of the dry file.

    `start` and `stop` bound the part that is cut; `available` is where the wet file has samples to give, and where a
    loop-back channel stands for the dry signal (`looped_back`), that too; `clipped` are the stretches where the
    interface clipped, `excluded` those whose wet signal is no answer to the dry one, with the alignment's reasons.
    `timemap` holds the lag. `settings` is the canonical JSON of the device's knobs; `refused` holds the reasons if the
    capture is useless.
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
        """Ranges that no left context may reach into: what is excluded, and what a loop-back channel lacks."""
        found = [(one.start, one.stop) for one in self.excluded]
        if self.looped_back:
            first, last = self.available
            found += [(low, high) for low, high in ((self.start, first), (last, self.stop)) if low < high]
        return found

    def lag(self, position: float) -> float:
        """The lag in samples at a dry position, as the warp applies it: positive where the wet file is late."""
        return float(self.timemap.lags(np.array([position]))[0])

    def residual(self, position: float) -> float:
        """What the alignment leaves at a dry position, in samples, from its measured windows; NaN if there are none."""
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
    """What cutting needs of a take (`take/1`) and its alignment.

    `dry_range` is the range of the dry file that is used, all of it by default. Raises `DatasetError` if a key of the
    take is missing, the two disagree about the sample rate of the recording, or the range lies outside the dry file.
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
    alignment: Alignment,
    dry_range: Range | None,
) -> CaptureSource:
    if int(take["sample_rate"]) != alignment.wet_sample_rate:
        raise DatasetError(
            f"capture {capture} of {device} was recorded at {take['sample_rate']} Hz, but what was aligned had "
            f"{alignment.wet_sample_rate} Hz: run align again"
        )
    start, stop = dry_range or (0, alignment.dry_frames)
    if not 0 <= start < stop <= alignment.dry_frames:
        raise DatasetError(
            f"capture {capture} of {device} asks for samples {start} to {stop} of a dry file of "
            f"{alignment.dry_frames}: correct start and stop of its pair"
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
        # A loop-back channel ends with the wet file, and it is not delayed.
        available=(first, last - guard if looped_back else last),
        clipped=tuple(clock.faulty(*run) for run in _clipped(take, alignment.wet_frames)),
        # What answers to dry sample n is heard at n + guard.
        excluded=tuple(replace(one, stop=one.stop + guard) for one in alignment.excluded),
        looped_back=looped_back,
        timemap=clock.timemap,
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
    """The warp as applied: dry sample n holds what lies at `timemap.wet(n - guard)`, in samples at the dry rate."""

    timemap: TimeMap
    rate: int
    wet_rate: int
    guard: int

    def dry(self, wet: int) -> float:
        """The dry position that holds a sample of the wet file."""
        return self.timemap.dry(wet * self.rate / self.wet_rate) + self.guard

    def faulty(self, start: int, stop: int) -> Range:
        """Dry samples that hold something of samples [start, stop) of the wet file."""
        reach = WARP_REACH
        if self.wet_rate != self.rate:
            # A change of rate spreads a fault as the warp does.
            reach += math.ceil(WARP_REACH * max(1.0, self.rate / self.wet_rate))
        return math.floor(self.dry(start)) - reach, math.ceil(self.dry(stop)) + reach

    def available(self, start: int, wet_start: int, wet_stop: int) -> Range:
        """Dry samples whose wet sample exists.

        Wet samples that begin with the dry ones lack only the guard's own samples. No twin is judged on these: its
        receptive field is longer than the guard, and outputs begin one receptive field after a border.
        """
        first = math.ceil(self.dry(wet_start))
        if first - self.guard <= start:
            first = min(first, start)
        return first, math.floor(self.dry(wet_stop - 1)) + 1
