"""Measure where a wet signal lies on the clock of its dry signal, and judge whether that can be trusted."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from twinlib.alignment import locate
from twinlib.alignment.channel import Channel, open_channel
from twinlib.alignment.click_drift import anchor_to_clicks, clicks_contradict, clicks_in_range, fit_click_line
from twinlib.alignment.clock import Line, LineFit
from twinlib.alignment.lag_track import WindowPlan, plan_windows
from twinlib.alignment.refine import MAX_ITERATIONS, fit_track, measure_through_device
from twinlib.alignment.result import Alignment, Dropout, Excluded, Repair, Window
from twinlib.alignment.tracker import count_consistent, track_lags
from twinlib.alignment.verdict import AlignmentReport
from twinlib.audio import Reader, Signal
from twinlib.errors import AlignmentError
from twinlib.progress import Progress, SubProgress, no_progress

__all__ = ["GUARD_SAMPLES", "Alignment", "Dropout", "Excluded", "Window", "align"]

GUARD_SAMPLES = 12
"""The default guard: a target that leads its input by one sample costs an error-to-signal ratio of 0.08."""

POLARITY: tuple[Repair, ...] = ("polarity",)
"""What is undone by default: an inverted cable. Gain and DC are the device's own, until somebody says otherwise."""

CLICK_SEARCH_SECONDS = 2.0
"""What the length of a take leaves open about its lag, and this more, is where a click is looked for at first."""


def align(
    dry: Path,
    wet: Path,
    *,
    channel: int = 0,
    reference_channel: int | None = None,
    clicks: Sequence[int] | None = None,
    dry_range: tuple[int, int] | None = None,
    wet_range: tuple[int, int] | None = None,
    guard_samples: int = GUARD_SAMPLES,
    repair: Collection[Repair] = POLARITY,
    progress: Progress = no_progress,
) -> Alignment:
    """Align one channel (from 0) of `wet` with `dry`; a stereo dry file gives the same channel, else its first.

    With `clicks` (dry positions) the capture is a take: a matched filter for the click itself finds them. Without, or
    where they are not found, loud excerpts of the programme are looked for. From there the lag is followed over the
    programme, over losses of samples too, fitted by a line that outliers do not bend, or by a curve where the clocks
    wander, and measured again. The line of a take is that of its clicks where the programme bears them out. With a
    `reference_channel` (from 0) that recorded the dry signal beside the device, this is aligned, and both are read by
    it. A file of another sample rate is resampled to the dry one's. Ranges (samples of each file, half-open) bound
    what is used. `repair` names what the warp undoes. A capture that cannot be aligned is no exception but the verdict
    `refused` with its reasons. `progress` counts to about 100.

    Raises `AudioError` for unreadable files and `AlignmentError` for a range or channel that a file does not have.
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
        report = AlignmentReport(dry_signal, wet_signal, reference, guard_samples, frozenset(repair))
        _align(report, list(clicks or ()), progress)
        return report.build()


def _align(report: AlignmentReport, clicks: list[int], progress: Progress) -> None:
    dry, heard = report.dry, report.clock_channel
    start, stop = dry.start, dry.stop
    if clicks:
        # Clicks stand in every reel: only what lies between them tells one reel from another.
        start = min(clicks) + dry.rate // 4
        stop = max(clicks) if len(clicks) > 1 else stop
    programme = replace(dry, start=start, stop=max(stop, start + 1))
    windows = plan_windows(programme.start, programme.stop, dry.rate)
    place, clicked = _locate(dry, heard, windows, clicks, SubProgress(progress, 10.0, heard.stop - heard.start))
    if place is None:
        report.add(locate.diagnose_mismatch(programme, heard, clicked))
        return
    walked = track_lags(dry, heard, windows, *place, SubProgress(progress, 25.0, len(windows.starts)))
    course = fit_track(dry, heard, windows, walked, SubProgress(progress, 35.0, 2 * MAX_ITERATIONS))
    if course is None:
        report.add(locate.diagnose_mismatch(programme, heard, clicked))
        return
    fit = LineFit(Line(float(course.clock.fit.lags[0]), course.clock.fit.drift_ppm), course.clock.fit.drift_error_ppm)
    ends = (min(clicks), max(clicks)) if len(clicks) > 1 else None
    measured = fit_click_line(dry, heard, ends, course.clock, course.polarity) if ends is not None else None
    if ends is not None and measured is not None:
        found = anchor_to_clicks(fit, course.track, measured) if report.trusts_clicks(course) else None
        if found is not None:
            fit, about_it = found
            course = replace(course, clock=course.clock.with_line(fit), track=about_it)
        else:
            report.clicks_contradict = clicks_contradict(measured, course.clock)
    elif ends is not None:
        report.clicks_contradict = clicks_in_range(heard, course.clock, ends, dry.rate // 4)
    if report.reference is not None:
        through = measure_through_device(dry, report.wet, course)
        if through is None:
            report.add(locate.diagnose_mismatch(programme, report.wet, clicked))
            return
        report.add_device(through)
    report.assess(course, (start, stop), bool(clicks), SubProgress(progress, 30.0, stop - start))


def _locate(
    dry: Channel, wet: Channel, windows: WindowPlan, clicks: list[int], progress: Progress
) -> tuple[tuple[int, Line] | None, bool]:
    """A dry position and the line that is right there, borne out by the programme around it; and if clicks were found.

    Each click found may be any of the reel's; and where none bears out, the programme itself is looked for.
    """
    guesses: list[tuple[int, Line]] = []
    if clicks:
        waveform = locate.click_waveform(dry, clicks[0])
        if not len(waveform) or not float(abs(waveform).max()) > 1e-3:
            path = dry.reader.info.path
            raise AlignmentError(f"{path} holds no click at sample {clicks[0]}: it is not the reel it should be")
        guesses = _locate_clicks(dry, wet, clicks, waveform, progress)
    best: tuple[int, tuple[int, Line] | None] = (0, None)
    for guess in guesses:
        there, found = count_consistent(dry, wet, windows, *guess)
        if found > best[0] and 2 * found >= there:
            best = (found, guess)
    if best[1] is not None:
        return best[1], True
    coarse = locate.search_excerpts(dry, wet, progress)
    if coarse is None:
        return None, bool(guesses)
    return (coarse.position, coarse.line), bool(guesses)


def _locate_clicks(
    dry: Channel, wet: Channel, clicks: list[int], waveform: Signal, progress: Progress
) -> list[tuple[int, Line]]:
    """What the clicks say, likeliest first: looked for where the length of the take leaves room, then everywhere."""
    slack = round(CLICK_SEARCH_SECONDS * dry.rate)
    room = (wet.stop - wet.start) - (dry.stop - dry.start)
    low, high = wet.start - dry.start + min(0, room) - slack, wet.start - dry.start + max(0, room) + slack
    found = []
    for click in clicks:
        first, last = max(wet.start, click + low), min(wet.stop, click + high)
        if first < last:
            found += locate.find_clicks(replace(wet, start=first, stop=last), waveform, progress)
    match = locate.match_clicks(clicks, found, 0.001 * dry.rate)
    if match is None:
        found = locate.find_clicks(wet, waveform, progress)
        match = locate.match_clicks(clicks, found, 0.001 * dry.rate)
    if match is None:
        return []
    steady = abs(match.line.drift_ppm) <= locate.MAX_STEADY_DRIFT_PPM
    guesses = [
        (click, Line(match.places[click] - click, match.line.drift_ppm if steady else 0.0)) for click in match.places
    ]
    # A single click may be any of them.
    if len(match.places) == 1:
        place = next(iter(match.places.values()))
        guesses += [(click, Line(place - click, 0.0)) for click in clicks if click not in match.places]
    return guesses
