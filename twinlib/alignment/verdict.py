"""The verdict on an alignment: checks and their findings, excluded ranges, and the `Alignment` built from all of it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from twinlib.alignment.clock import ClockModel, LagFit, wet_sample_period
from twinlib.alignment.lag_track import LagTrack, counted, inlier_share, inliers
from twinlib.alignment.locate import MAX_DECK_DRIFT_PPM
from twinlib.alignment.residual import ResidualScan, improves_with_shift, scan_residual
from twinlib.alignment.result import (
    Alignment,
    Dropout,
    Excluded,
    Measurement,
    Reference,
    Repair,
    Window,
    build_alignment,
)
from twinlib.alignment.warp import choose_warp
from twinlib.alignment.wow_flutter import MAX_FLUTTER, is_device_phase, residual_rms, wander_rms
from twinlib.capture import find_silence
from twinlib.db import db_to_amp
from twinlib.estimation import FRAME, Sweep, find_sweeps
from twinlib.findings import Finding, Span, refused, suspect, verdict
from twinlib.intervals import Range, contains, find_runs, merge_ranges, overlap
from twinlib.progress import Progress
from twinlib.resampling import WARP_KERNEL, Channel, Curve

MAX_RESIDUAL_RMS = 0.02
"""Lag residual in samples rms above which an alignment is suspect: an error-to-signal ratio of 2e-5 to 2e-4."""

MAX_DRIFT_PPM = 500.0
"""Drift between two sound cards is smaller."""

MIN_DECK_DRIFT_PPM = 2000.0
"""Drift from which the speed of a tape deck is the likely cause."""

MAX_PLAUSIBLE_DRIFT_PPM = 10_500.0
"""Drift up to which a tape deck at another speed is followed."""

MIN_SHARE = 0.5
"""Share of the audible windows that must be inliers, and of the programme that must not be excluded."""

AUDIBLE_HZ = 20_000.0
"""Bandwidth that a take below the dry sample rate should have."""

MAX_CURVE_ERROR = 0.05
"""Standard error in samples of a clock curve above which the lag is unknown."""

MAX_OUTLIER_WINDOWS, MAX_POOLED_WINDOWS = 3, 10
"""Consecutive outlier windows from which a span is excluded if the residual is not informative; and if in addition only
the correlation pooled over all windows shows the lag, as for single notes through a fuzz."""

ALLOWED_MISSING_SECONDS = 0.5
"""Latency that a pair may lack at its ends without a finding."""

SWEEP_END = 4096
"""Samples on either side of the ends of a sweep in which crackles are its own."""

MAX_BRIEF_SAMPLES = 8 * FRAME
"""Length of a fault, with its margins, up to which it counts as one of milliseconds."""

MAX_LOW_SNR_SHARE = 0.1
"""Share of the audible part that noise may mask without a finding."""


class AlignmentReport:
    """Builder of the `Alignment` of one capture: collects the fit, the findings and the excluded ranges.

    With a `reference` (loop-back) channel, the clock is measured on it and the device is measured on `wet`.
    """

    def __init__(
        self, dry: Channel, wet: Channel, reference: Channel | None, guard_samples: int, repair: frozenset[Repair]
    ) -> None:
        self.dry, self.wet, self.reference, self.guard, self.repair = dry, wet, reference, guard_samples, repair
        self.rate = dry.rate
        self.findings: list[Finding] = []
        self.excluded: list[Excluded] = []
        self.dropouts: list[Dropout] = []
        self.fit: LagFit | None = None
        self.device: tuple[LagTrack, float, int] | None = None
        self.is_take = False
        self.clicks_found = False
        self.clicks_contradict = False
        self.wet_mean = 0.0
        self._is_device_phase: bool | None = None

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """The sine sweeps of a pair. Those of a reel are short, and its clicks and its music give the lag."""
        return [] if self.is_take else find_sweeps(replace(self.dry, rectified=False))

    @property
    def swept(self) -> list[Range]:
        """The dry ranges of the sweeps."""
        return [sweep.range for sweep in self.sweeps]

    @property
    def clock_channel(self) -> Channel:
        """The channel on which the clock is measured: the loop-back if there is one."""
        return self.reference if self.reference is not None else self.wet

    @property
    def clock_dry(self) -> Channel:
        """The dry signal as `clock_channel` contains it: a loop-back is no rectifier."""
        return self.dry if self.reference is None else replace(self.dry, rectified=False)

    @property
    def polarity(self) -> int:
        """The polarity of the device, 1 or -1."""
        if self.device is not None:
            return self.device[2]
        return self.fit.polarity if self.fit is not None else 1

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)

    def trusts_clicks(self, fit: LagFit) -> bool:
        """Whether the line through two clicks describes the clock: a straight lag, apart from integer dropouts.

        Digital takes do not need it, since they are shifted.
        """
        if (
            not fit.clock.has_integer_steps(wet_sample_period(self.wet))
            or fit.clock.curve is not None
            or self._wander(fit) > MAX_RESIDUAL_RMS
        ):
            return False
        return choose_warp(fit.clock, self.dry, is_take=True)[0] == "sinc"

    def refuses_speed(self, drift_ppm: float) -> bool:
        """Add a finding if the speed of a deck is too far off to be followed; return whether it is."""
        if abs(drift_ppm) <= MAX_PLAUSIBLE_DRIFT_PPM:
            return False
        percent = abs(drift_ppm) * 1e-4
        if abs(drift_ppm) > MAX_DECK_DRIFT_PPM:
            self.add(refused("wrong-sample-rate", percent=drift_ppm * 1e-4))
        else:
            self.add(refused("deck-speed", percent=percent, direction="slow" if drift_ppm > 0 else "fast"))
        return True

    def add_device(self, device: tuple[LagTrack, float, int]) -> bool:
        """Add the track, gain in dB and polarity of the device's channel, measured on the clock of the loop-back.

        Returns whether the device is detected.
        """
        self.device = device
        track, gain_db, _ = device
        share = float(track.detected.mean())
        if not np.isfinite(gain_db) or share < MIN_SHARE:
            self.add(refused("device-not-detected", share=share))
            return False
        return True

    def assess(self, fit: LagFit, programme: Range, progress: Progress) -> bool:
        """Run all checks on a fit, the residual scan included, and add their findings and excluded ranges.

        Returns whether the files match.
        """
        self.fit = fit
        if not self._is_plausible(fit):
            return False
        scan = self._scan(fit, programme, progress)
        self._add_dropouts(fit.clock)
        self._check_windows(fit, scan)
        self._check_clock(fit)
        self._check_ends(fit, programme)
        if scan is not None:
            self._check_residual(scan)
        self._check_gaps(fit, programme)
        share = self._excluded_share(programme)
        if share > 1.0 - MIN_SHARE:
            self.add(refused("mostly-excluded", share=share))
        return True

    def build(self) -> Alignment:
        """Build the alignment from all that was added."""
        fit = self.fit
        clock = fit.clock if fit is not None else ClockModel.identity()
        warp, pieces = choose_warp(clock, self.dry, self.is_take or self.reference is not None)
        lag, drift_ppm = float(clock.fit.lags[0]), clock.fit.drift_ppm
        gain_db = self.device[1] if self.device is not None else fit.gain_db if fit is not None else 0.0
        measurement = Measurement(
            polarity=1 if self.polarity > 0 else -1, gain_db=gain_db, lag_samples=lag, drift_ppm=drift_ppm
        )
        if fit is not None:
            error = clock.fit.drift_error_ppm
            reference = None
            if self.reference is not None:
                reference = Reference(self.reference.channel, 1 if fit.polarity > 0 else -1, fit.gain_db)
            measurement = replace(
                measurement,
                drift_error_ppm=error if np.isfinite(error) else None,
                residual_rms_samples=residual_rms(fit.track),
                wander_rms_samples=_curve_rms(clock, fit.track),
                confidence=inlier_share(fit.track),
                reference=reference,
                track=_windows(clock, fit.track),
            )
        if clock.curve is None:
            lag = float(Curve(np.array(pieces[0].positions), np.array(pieces[0].lags))(np.array([0.0]))[0])
        return build_alignment(
            self.dry,
            self.wet,
            measurement,
            self.findings,
            pieces,
            guard_samples=self.guard,
            repair=self.repair,
            applied_gain=db_to_amp(-gain_db) if "gain" in self.repair else 1.0,
            applied_dc=self.wet_mean if "dc" in self.repair else 0.0,
            warp=warp,
            applied_line=(lag, 0.0 if warp == "shift" else drift_ppm),
            dropouts=self.dropouts,
            excluded=self.excluded,
            is_pair=not self.is_take,
        )

    def _exclude(self, start: float, stop: float, code: str) -> None:
        low, high = max(int(start), self.dry.start), min(int(stop), self.dry.stop)
        if low < high:
            self.excluded.append(Excluded(low, high, code))

    def _wet_span(self, fit: LagFit, start: float, stop: float) -> Span:
        """Return the span of the wet file that belongs to dry samples [start, stop)."""
        timemap = fit.clock.time_map(self.dry.start, self.dry.stop)
        return Span("wet", timemap.wet(start) / self.rate, timemap.wet(stop) / self.rate)

    def _wander(self, fit: LagFit) -> float:
        """Return the rms in samples of the clock's wander about its fit; phase of the device does not count.

        One clock was preferred to a curve for a pair of a pooled fit; in a sweep, the delay of the device at the
        frequency of a window looks like a wander.
        """
        if fit.pooled and not self.is_take:
            return 0.0
        rms = wander_rms(fit.track, self.rate)
        if rms <= MAX_RESIDUAL_RMS or fit.clock.curve is not None:
            return rms
        if self._is_device_phase is None:
            self._is_device_phase = is_device_phase(self.dry, self.clock_channel, fit)
        return 0.0 if self._is_device_phase else rms

    def _is_plausible(self, fit: LagFit) -> bool:
        """Whether the fit describes this pair of files."""
        share = inlier_share(fit.track)
        if share < MIN_SHARE and not fit.pooled:
            self.add(refused("low-match", share=share))
        # The windows of a sweep have the delay of the device at their frequency.
        if int(inliers(fit.track).sum()) < 3 and not (fit.pooled and self.sweeps):
            self.add(refused("too-short"))
        self.refuses_speed(fit.clock.fit.drift_ppm)
        return verdict(self.findings) != "refused"

    def _scan(self, fit: LagFit, programme: Range, progress: Progress) -> ResidualScan | None:
        """Scan the part of the programme that is on the wet file."""
        timemap = fit.clock.time_map(self.dry.start, self.dry.stop)
        start = max(programme[0], int(timemap.dry(self.wet.start)) + 1)
        stop = min(programme[1], int(timemap.dry(self.wet.stop)))
        if start >= stop:
            return None
        exact = replace(self.wet, exact=True)
        scan = scan_residual(self.dry, exact, timemap, start, stop, self.polarity, self.swept, progress)
        self.wet_mean = scan.mean
        return scan

    def _add_dropouts(self, clock: ClockModel) -> None:
        timemap = clock.time_map(self.dry.start, self.dry.stop)
        for number, step in enumerate(clock.steps):
            lost = -round(float(clock.fit.lags[number + 1] - clock.fit.lags[number]))
            ends = (
                max(timemap.wet(step.first, number), float(self.wet.start)) / self.rate,
                min(timemap.wet(step.last, number + 1), float(self.wet.stop)) / self.rate,
            )
            # The wet file contains both copies of repeated samples, but no lost samples.
            span = Span("wet", min(ends), max(ends))
            self.dropouts.append(Dropout(span.start, span.stop, lost))
            finding = suspect("lost-samples" if lost >= 0 else "repeated-samples", span, samples=abs(lost))
            self._exclude(step.first - WARP_KERNEL.half_width, step.last + WARP_KERNEL.half_width, finding.code)
            self.add(finding)

    def _check_windows(self, fit: LagFit, scan: ResidualScan | None) -> None:
        """Exclude runs of windows without a delay, or with an outlier delay, unless the residual is normal there."""
        track, size = fit.track, fit.windows.size
        fits, counts = inliers(track), counted(track)
        for first, last in find_runs(~fits & counts):
            undetected = bool((track.weight[first:last] == 0).any())
            before = track.position[first - 1] if first else track.position[first] - size
            after = track.position[last] if last < len(fits) else track.position[last - 1] + size
            # Steady tones hardly determine a delay: such windows are harmless if the residual is normal.
            # A window of a sweep is undetected only where the wet signal is muted.
            is_muted = undetected and fit.pooled and bool(self.sweeps)
            if scan is not None and scan.is_informative:
                if not is_muted and scan.is_similar(int(before), int(after)):
                    continue
            elif not is_muted and last - first < (MAX_POOLED_WINDOWS if fit.pooled else MAX_OUTLIER_WINDOWS):
                continue
            samples = float(np.median(track.residual[first:last]))
            signs, extent = set(track.sign[first:last].astype(int).tolist()), (int(before), int(after))
            if len(signs) == 1 and not undetected and not self._explains(fit, scan, extent, samples, signs.pop()):
                continue
            span = self._wet_span(fit, before, after)
            finding = suspect("not-recognised", span) if undetected else suspect("misaligned", span, samples=samples)
            self._exclude(before, after, finding.code)
            self.add(finding)

    def _explains(self, fit: LagFit, scan: ResidualScan | None, span: Range, samples: float, sign: int) -> bool:
        """Whether a shift by some samples, times `sign`, explains a span: the residual must fall by it.

        The delay of a distorting device depends on the programme; a shift by that delay does not lower the residual.
        """
        if scan is None or self.reference is not None or span[0] >= span[1]:
            return True
        wet = replace(self.wet, exact=True)
        timemap = fit.clock.time_map(self.dry.start, self.dry.stop)
        return improves_with_shift(self.dry, wet, timemap, scan.model, fit.polarity, span, samples, sign)

    def _check_clock(self, fit: LagFit) -> None:
        drift_ppm, rms = fit.clock.fit.drift_ppm, self._wander(fit)
        if abs(drift_ppm) > MIN_DECK_DRIFT_PPM:
            percent, direction = abs(drift_ppm) * 1e-4, "slow" if drift_ppm > 0 else "fast"
            self.add(suspect("deck-speed", percent=percent, direction=direction))
        elif abs(drift_ppm) > MAX_DRIFT_PPM:
            self.add(suspect("high-drift", drift_ppm=drift_ppm))
        wet_rate = self.wet.reader.info.sample_rate
        if wet_rate < self.rate and wet_rate / 2.0 < AUDIBLE_HZ:
            self.add(suspect("low-sample-rate", wet_rate=wet_rate, nyquist_hz=wet_rate / 2.0, dry_rate=self.rate))
        if rms > MAX_RESIDUAL_RMS:
            self.add(suspect("wander", rms_samples=rms, limit_samples=MAX_RESIDUAL_RMS))
        if fit.flutter > MAX_FLUTTER:
            self.add(suspect("flutter", rms_samples=fit.flutter, limit_samples=MAX_RESIDUAL_RMS))

    def _check_ends(self, fit: LagFit, programme: Range) -> None:
        """Report programme before or after the wet file."""
        timemap = fit.clock.time_map(self.dry.start, self.dry.stop)
        allowed = max(0.0 if self.is_take else ALLOWED_MISSING_SECONDS * self.rate, 1.0)
        first, last = round(timemap.dry(self.wet.start)), round(timemap.dry(self.wet.stop))
        missing = self.wet.start - timemap.wet(programme[0])
        if missing > allowed and self._sounding_samples(programme[0], first) > allowed:
            self.add(suspect("missing-start", seconds=missing / self.rate, sample=first))
        missing = timemap.wet(programme[1]) - self.wet.stop
        if missing > allowed and self._sounding_samples(last, programme[1]) > allowed:
            self.add(suspect("missing-end", seconds=missing / self.rate, sample=last))

    def _sounding_samples(self, start: int, stop: int) -> float:
        """Return the number of dry samples in [start, stop) without the silence of a pair; infinite for a take."""
        if self.is_take:
            return math.inf
        silence = find_silence(self.dry.reader, self.dry.channel)
        return stop - start - sum(max(0, min(stop, last) - max(start, first)) for first, last in silence)

    def _check_residual(self, scan: ResidualScan) -> None:
        """Exclude faults that do not shift the rest of the take."""
        assert self.fit is not None
        if scan.low_snr_share > MAX_LOW_SNR_SHARE:
            self.add(suspect("noisy", share=scan.low_snr_share))
        for first, last in scan.non_finite:
            self._exclude(first - WARP_KERNEL.half_width, last + WARP_KERNEL.half_width, "non-finite")
        if scan.non_finite:
            span = self._wet_span(self.fit, *scan.non_finite[0])
            self.add(suspect("non-finite", span, count=len(scan.non_finite)))
        known = [(each.start, each.stop) for each in self.excluded]
        brief, outliers = _divide_by_length(scan.brief, scan.outliers)
        # A sweep may begin and end abruptly.
        ends = [(end - SWEEP_END, end + SWEEP_END) for sweep in self.swept for end in sweep]
        brief = [each for each in brief if not any(contains(other, each) for other in known)]
        brief = [each for each in brief if not any(overlap(each, end) for end in ends)]
        for first, last in brief:
            self._exclude(first, last, "brief-faults")
        if brief:
            self.add(suspect("brief-faults", self._wet_span(self.fit, *brief[0]), count=len(brief)))
        for first, last in outliers:
            if not any(overlap((first, last), other) for other in known):
                self._exclude(first, last, "disturbed")
                self.add(suspect("disturbed", self._wet_span(self.fit, first, last)))

    def _check_gaps(self, fit: LagFit, programme: Range) -> None:
        """Exclude ends that a click contradicts, and spans in which a clock curve is uncertain."""
        clock, position = fit.clock, fit.track.position[inliers(fit.track)]
        if self.clicks_contradict:
            for first, last in ((programme[0], position[0]), (position[-1], programme[1])):
                self._exclude(first, last, "unknown-lag")
            self.add(suspect("click-mismatch"))
        if clock.curve is None or clock.curve_errors is None:
            return
        knots = clock.curve[0]
        places, spacing = np.clip(knots, *programme), float(knots[1] - knots[0])
        uncertain = find_runs(clock.curve_errors > MAX_CURVE_ERROR)
        gaps = [(float(places[max(0, a - 1)]), float(places[min(b, len(places) - 1)])) for a, b in uncertain]
        # Beyond its outer knots the curve is extrapolated.
        ends = (programme[0], float(knots[0]) - spacing), (float(knots[-1]) + spacing, programme[1])
        gaps = [(a, b) for a, b in (*gaps, *ends) if a < b]
        for first, last in gaps:
            self._exclude(first, last, "unknown-lag")
        if gaps:
            self.add(suspect("unknown-lag", count=len(gaps), seconds=sum(b - a for a, b in gaps) / self.rate))

    def _excluded_share(self, programme: Range) -> float:
        start, step = programme[0], WARP_KERNEL.half_width
        mask = np.zeros(-(-(programme[1] - start) // step), np.bool_)
        for each in self.excluded:
            mask[max(0, each.start - start) // step : max(0, each.stop - start) // step] = True
        return float(mask.mean())


def _divide_by_length(brief: Sequence[Range], outliers: Sequence[Range]) -> tuple[list[Range], list[Range]]:
    """Return the faults of milliseconds, and all longer ones, each fault in one of the two."""
    longer = merge_ranges([*outliers, *(each for each in brief if each[1] - each[0] > MAX_BRIEF_SAMPLES)])
    brief = [each for each in brief if not any(contains(other, each) for other in longer)]
    margin = 2 * FRAME
    longer = [each for each in longer if not any(contains((a - margin, b + margin), each) for a, b in brief)]
    return brief, longer


def _curve_rms(clock: ClockModel, track: LagTrack) -> float:
    return float(np.std(Curve(*clock.curve)(track.position))) if clock.curve is not None else 0.0


def _windows(clock: ClockModel, track: LagTrack) -> tuple[Window, ...]:
    lags = clock.lags(track.position) + track.residual
    columns = (column.tolist() for column in (track.position, lags, track.weight, track.residual))
    return tuple(Window(*row) for row in zip(*columns, strict=True))
