"""Alignment of a wet file with its dry file: locate, track, fit the clock, scan the residual, verdict."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twinlib.alignment.clock import (
    LagFit,
    anchor_to_clicks,
    clicks_contradict,
    clicks_in_range,
    clicks_prove_one_clock,
    fit_click_line,
    fit_clock,
    wet_sample_period,
)
from twinlib.alignment.dropouts import coarse_steps, find_steps, with_small_steps
from twinlib.alignment.lag_track import WindowPlan, inlier_share, plan_windows
from twinlib.alignment.locate import diagnose_mismatch, find_anchor, search_deck_speed
from twinlib.alignment.refine import (
    MAX_ITERATIONS,
    MIN_SHARE,
    is_better,
    is_rectified,
    iterate_fit,
    measure_through_device,
    prefer_same_clock,
    remeasure_with_steps,
    without_contradicted_steps,
    without_drift,
)
from twinlib.alignment.result import Alignment, Dropout, Excluded, Repair, Window
from twinlib.alignment.sweep_fit import fit_sweep
from twinlib.alignment.tracker import CoarseTrack, track_lags
from twinlib.alignment.verdict import AlignmentReport
from twinlib.alignment.wow_flutter import MAX_FLUTTER, clock_varies, flutter_rms, remeasure_with_curve
from twinlib.audio import Reader
from twinlib.errors import AlignmentError
from twinlib.estimation import Line, LineFit
from twinlib.findings import Finding
from twinlib.progress import Progress, SubProgress, no_progress
from twinlib.resampling import Channel, open_channel

__all__ = ["GUARD_SAMPLES", "Alignment", "Dropout", "Excluded", "Window", "align"]

GUARD_SAMPLES = 12
"""Default guard: a target that leads its input by one sample costs an error-to-signal ratio of 0.08."""

POLARITY: tuple[Repair, ...] = ("polarity",)
"""Default repair: an inverted cable. Gain and DC belong to the device unless requested otherwise."""


def align(
    dry: Path,
    wet: Path,
    *,
    channel: int = 0,
    reference_channel: int | None = None,
    clicks: Sequence[int] | None = None,
    dry_range: tuple[int, int] | None = None,
    wet_range: tuple[int, int] | None = None,
    lag: float | None = None,
    guard_samples: int = GUARD_SAMPLES,
    repair: Collection[Repair] = POLARITY,
    progress: Progress = no_progress,
) -> Alignment:
    """Align one channel (from 0) of `wet` with `dry`; of a stereo dry file, uses the same channel, else the first.

    `clicks` (dry samples) make the capture a take of a reel: a matched filter locates them, and they refine the drift
    if the programme agrees. Without clicks, or if none is found, loud excerpts locate the programme. A tracker follows
    the lag from there across dropouts. A robust fit gives drift and lag of each piece, and a curve if the clock varies.
    The clock comes from `reference_channel` (from 0) instead of `channel`, if it recorded the dry signal in parallel. A
    wet file at another rate is resampled to the dry rate. Half-open ranges in samples of each file limit the signals.
    A known `lag` decides between the likely lags of a sine sweep. `repair` names the properties that the warp corrects.
    Returns verdict `refused` with the reasons for captures that
    cannot be aligned. `progress` counts to about 100.

    Raises `AudioError` for unreadable files and `AlignmentError` for a range or channel outside of a file.
    """
    with Reader(dry) as dry_reader, Reader(wet) as wet_reader:
        rate = dry_reader.info.sample_rate
        dry_signal = open_channel(dry_reader, channel if dry_reader.info.channels > channel else 0, rate, dry_range)
        wet_signal = open_channel(wet_reader, channel, rate, wet_range)
        if guard_samples < 0:
            raise AlignmentError(f"guard_samples is {guard_samples}: it must not be negative")
        reference = None
        if reference_channel is not None:
            reference = open_channel(wet_reader, reference_channel, rate, wet_range, "reference_channel")
        # The output of a full-wave rectifier (octave-up fuzz) does not resemble its input, but its absolute value.
        linear, rectified = (
            AlignmentReport(view, wet_signal, reference, guard_samples, frozenset(repair))
            for view in (dry_signal, replace(dry_signal, rectified=True))
        )
        places = list(clicks or ())
        if _align(linear, places, progress, lag=lag):
            is_octave = not linear.sweeps and is_rectified(linear.clock_dry, linear.clock_channel, linear.fit)
            return (rectified if is_octave and _align(rectified, places, no_progress) else linear).build()
        if _align(rectified, places, no_progress, lag=lag):
            return rectified.build()
        return _explain_mismatch(linear, places).build()


def _align(
    report: AlignmentReport,
    clicks: list[int],
    progress: Progress,
    anchor: tuple[int, Line] | None = None,
    lag: float | None = None,
) -> bool:
    """Run the stages: locate, track, fit the clock, scan the residual, verdict. Return whether the files match.

    `anchor` is a dry position with a line valid there, if it is known. `lag` decides between likely lags of a sweep.
    """
    report.is_take = bool(clicks)
    dry, wet = report.clock_dry, report.clock_channel
    ends = (min(clicks), max(clicks)) if len(clicks) > 1 else None
    programme = _programme(dry, clicks)
    windows = plan_windows(programme.start, programme.stop, dry.rate)

    if anchor is None:
        part = SubProgress(progress, 10.0, wet.stop - wet.start)
        found, report.clicks_found = find_anchor(dry, wet, windows, clicks, report.sweeps, lag, part)
        if isinstance(found, Finding):
            report.add(found)
            return True
        anchor = found
    guess = anchor[1].at(anchor[0]) if anchor is not None else None
    fit = None
    if anchor is not None:
        if report.refuses_speed(anchor[1].drift_ppm):
            return True
        if any(first <= anchor[0] < last for first, last in report.swept):
            fit = fit_sweep(dry, wet, windows, anchor[1].lag, report.sweeps)
            return fit is not None and report.assess(fit, (dry.start, dry.stop), progress)
        part = SubProgress(progress, 25.0, len(windows.starts))
        coarse = track_lags(dry, wet, windows, *anchor, report.swept, part)
        fit = fit_track(dry, wet, windows, coarse, SubProgress(progress, 35.0, 2 * MAX_ITERATIONS))
    if not clicks or fit is None or inlier_share(fit.track) < MIN_SHARE:
        fit = prefer_same_clock(dry, wet, windows, guess if guess is not None else wet.start - dry.start, fit)
    if fit is None:
        return False
    if ends is not None:
        fit = _refine_drift(report, fit, ends)
    if report.reference is not None:
        device = measure_through_device(report.dry, report.wet, fit)
        if device is None or not report.add_device(device):
            return False
    span = programme.start, ends[1] if ends is not None else dry.stop
    return report.assess(fit, span, SubProgress(progress, 30.0, span[1] - span[0]))


def _programme(dry: Channel, clicks: list[int]) -> Channel:
    """Return the dry signal between the clicks: all reels share their clicks, only this part identifies a reel."""
    start = min(clicks) + dry.rate // 4 if clicks else dry.start
    stop = max(clicks) if len(clicks) > 1 else dry.stop
    return replace(dry, start=start, stop=max(stop, start + 1))


def _explain_mismatch(report: AlignmentReport, clicks: list[int]) -> AlignmentReport:
    """Return the report with the reason why the files do not match; follows a deck that is hardly off its speed."""
    programme, wet = _programme(report.clock_dry, clicks), report.clock_channel
    finding = diagnose_mismatch(programme, wet, report.clicks_found)
    if finding.code == "no-match":
        deck = search_deck_speed(programme, wet)
        again = AlignmentReport(report.dry, report.wet, report.reference, report.guard, report.repair)
        if deck is not None and _align(again, clicks, no_progress, deck):
            return again
    # The share of the audio that matches is the better reason.
    if not report.findings or finding.code not in ("no-match", "other-reel"):
        report.findings = [finding]
    return report


def fit_track(
    dry: Channel, wet: Channel, windows: WindowPlan, coarse: CoarseTrack, progress: Progress = no_progress
) -> LagFit | None:
    """Fit the clock to a coarse track; None if fewer than two windows are detected.

    Once the first fit has converged, the take is measured again at most twice: with the steps of its dropouts, and with
    the curve of a clock that varies (wow and flutter). If the clock varies and has no steps so far, the curve
    comes first, because short windows would mistake it for steps.
    """
    fit = _first_fit(dry, wet, windows, coarse, progress)
    if fit is None:
        return None
    tried_curve = not with_small_steps(fit) and clock_varies(dry, wet, fit)
    if tried_curve:
        fit = remeasure_with_curve(dry, wet, fit, progress)
    if fit.clock.curve is None:
        steps = find_steps(dry, wet, fit, coarse)
        if steps != fit.clock.steps:
            fit = remeasure_with_steps(dry, wet, fit, steps, progress)
    flutter = flutter_rms(dry, wet, fit)
    if not tried_curve and (flutter > MAX_FLUTTER or clock_varies(dry, wet, fit)):
        fit = remeasure_with_curve(dry, wet, fit, progress)
        flutter = flutter_rms(dry, wet, fit)
    return replace(fit, flutter=flutter)


def _first_fit(
    dry: Channel, wet: Channel, windows: WindowPlan, coarse: CoarseTrack, progress: Progress
) -> LagFit | None:
    """Fit the clock with the steps that the coarse track shows."""
    polarity = 1 if float((coarse.weight * coarse.sign).sum()) >= 0 else -1
    valid = coarse.detected & (coarse.sign == polarity)
    if valid.sum() < 2:
        return None
    position, lag = coarse.position[valid], coarse.lag[valid]
    steps = coarse_steps(position, lag, windows.size)
    clock = fit_clock(position, lag, np.ones(len(position)), steps, False, wet_sample_period(wet))
    return iterate_fit(dry, wet, windows, clock, polarity, False, progress)


def _refine_drift(report: AlignmentReport, fit: LagFit, clicks: tuple[int, int]) -> LagFit:
    """Refine the drift by the two clicks of a reel if the programme agrees with them."""
    dry, wet = report.dry, report.clock_channel
    measured = fit_click_line(dry, wet, clicks, fit.clock, fit.polarity)
    if measured is None:
        report.clicks_contradict = clicks_in_range(wet, fit.clock, clicks, dry.rate // 4)
        return fit
    fit, measured = without_contradicted_steps(dry, wet, fit, measured)
    clock = fit.clock
    if clicks_prove_one_clock(measured, clock):
        same = replace(without_drift(fit), pooled=True)
        again = fit_click_line(dry, wet, clicks, same.clock, fit.polarity) if is_better(same, fit) else None
        if again is not None:
            # The clicks give the constant, too: tones of the programme are delayed by other amounts.
            return replace(same, clock=same.clock.offset_by(again.line.lag - float(same.clock.fit.lags[0])))
    line = LineFit(Line(float(clock.fit.lags[0]), clock.fit.drift_ppm), clock.fit.drift_error_ppm)
    found = anchor_to_clicks(line, fit.track, measured) if report.trusts_clicks(fit) else None
    if found is None:
        report.clicks_contradict = clicks_contradict(measured, clock)
        return fit
    return replace(fit, clock=clock.with_line(found[0]), track=found[1])
