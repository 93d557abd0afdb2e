"""Alignment of a take of the probe reel, by its clicks alone.

Measuring signals have no unique delay: that of a steady tone is undefined, that of a repeated signal ambiguous. The
clicks between them define one line. A click off that line indicates lost samples; the take is then useless for
measurements.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib.alignment.clock import CLICK_FLOOR
from twinlib.alignment.locate import diagnose_mismatch
from twinlib.alignment.pipeline import GUARD_SAMPLES, POLARITY
from twinlib.alignment.result import Alignment, Measurement, Reference, Repair, Window, build_alignment
from twinlib.alignment.tracker import MAX_TRACKED_DRIFT_PPM
from twinlib.alignment.verdict import MAX_DRIFT_PPM, MAX_RESIDUAL_RMS
from twinlib.audio import Reader
from twinlib.db import amp_to_db, db_to_amp
from twinlib.estimation import Line, LineFit, click_waveform, detect_click, find_clicks, fit_line, match_clicks
from twinlib.findings import Finding, Span, refused, suspect, verdict
from twinlib.progress import Progress, SubProgress, no_progress
from twinlib.resampling import Channel, Piece, open_channel

MIN_CLICKS = 3
"""Minimum number of clicks for a line."""

MAX_LAG_STEP = 0.5
"""Change of the lag in samples between two clicks, drift apart, above which a sample was lost."""

MAX_GAIN_SPREAD_DB = 1.0
"""Spread of the gains of a device's takes of music; different music gives slightly different gains."""

_ITERATIONS = 2


@dataclass(frozen=True)
class _Clicks:
    """Detected clicks: dry positions, lags and gains `(clicks,)`, the line through them, and the polarity."""

    positions: npt.NDArray[np.float64]
    lags: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]
    fit: LineFit
    polarity: int

    @property
    def residuals(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.lags - np.array([self.fit.line.at(position) for position in self.positions.tolist()]))

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.residuals))))

    @property
    def gain_db(self) -> float:
        return amp_to_db(float(np.median(self.gains)), 1e-6)


@dataclass(frozen=True)
class _LevelRepair:
    """The gain and the DC that the warp corrects, and a finding if they are uncertain or unknown."""

    gain: float = 1.0
    dc: float = 0.0
    finding: Finding | None = None


def align_probe_take(
    dry: Path,
    wet: Path,
    markers: Sequence[int],
    *,
    channel: int = 0,
    reference_channel: int | None = None,
    guard_samples: int = GUARD_SAMPLES,
    repair: Collection[Repair] = POLARITY,
    programme: Sequence[Alignment] = (),
    progress: Progress = no_progress,
) -> Alignment:
    """Align one channel (from 0) of `wet` with `dry` by the clicks at the dry positions `markers` alone.

    Returns the same contract as `align`, with one window per click; `gain_db` is the gain of the clicks. Takes with
    lost or repeated samples are refused, since a repaired measuring signal is useless. A take with a wandering clock
    is suspect, and its time map is a curve through the clicks.

    A saturating device has another gain for clicks than for music. Gain and DC are therefore corrected as in the takes
    of music that the twin learns from: by the mean over their alignments, `programme`.

    Raises `AudioError` and `AlignmentError` like `align`.
    """
    level = _level_repair(programme, repair)
    with Reader(dry) as dry_reader, Reader(wet) as wet_reader:
        rate = dry_reader.info.sample_rate
        played = open_channel(dry_reader, channel if dry_reader.info.channels > channel else 0, rate, None)
        device = open_channel(wet_reader, channel, rate, None)
        loopback = None
        if reference_channel is not None:
            loopback = open_channel(wet_reader, reference_channel, rate, None, "reference_channel")
        clicks, findings = _measure_clicks(played, loopback or device, markers, progress)
        if clicks is not None and level.finding is not None:
            findings.insert(0, level.finding)
        reference = None
        if clicks is not None and loopback is not None:
            reference = Reference(loopback.channel, 1 if clicks.polarity > 0 else -1, clicks.gain_db)
            clicks = _measure_device(played, device, clicks, len(markers))
            if clicks is None:
                reference, findings = None, [refused("clicks-not-on-device")]
        pieces, measurement = _describe(played, clicks, reference, findings)
        return build_alignment(
            played,
            device,
            measurement,
            findings,
            pieces,
            guard_samples=guard_samples,
            repair=repair,
            applied_gain=level.gain,
            applied_dc=level.dc,
        )


def _level_repair(programme: Sequence[Alignment], repair: Collection[Repair]) -> _LevelRepair:
    """Return the mean gain and DC that the warp corrects in the usable takes of music."""
    if not {"gain", "dc"} & set(repair):
        return _LevelRepair()
    usable = [alignment for alignment in programme if alignment.verdict != "refused"]
    if not usable:
        return _LevelRepair(finding=refused("unknown-gain"))
    gains = [amp_to_db(alignment.applied_gain) for alignment in usable]
    spread = max(gains) - min(gains)
    finding = suspect("uncertain-gain", spread_db=spread) if spread > MAX_GAIN_SPREAD_DB else None
    gain = db_to_amp(float(np.mean(gains)))
    return _LevelRepair(gain, float(np.mean([alignment.applied_dc for alignment in usable])), finding)


def _measure_clicks(
    dry: Channel, wet: Channel, markers: Sequence[int], progress: Progress
) -> tuple[_Clicks | None, list[Finding]]:
    """Find and measure the clicks on the channel of the clock; None if there are too few clicks."""
    waveform = click_waveform(dry, markers[0])
    peaks = find_clicks(wet, waveform, SubProgress(progress, 90.0, wet.stop - wet.start))
    match = match_clicks(markers, peaks, 0.001 * dry.rate, MAX_TRACKED_DRIFT_PPM)
    clicks = _measure(dry, wet, sorted(match.positions), match.line, match.polarity) if match is not None else None
    progress(10.0)
    found = len(clicks.positions) if clicks is not None else 0
    if clicks is None or found < _min_clicks(len(markers)):
        few = refused("few-clicks", found=found, expected=len(markers))
        return None, [few, diagnose_mismatch(dry, wet, clicks_found=False)]
    return clicks, _check_clicks(clicks, dry.rate, len(markers))


def _min_clicks(expected: int) -> int:
    return max(MIN_CLICKS, expected // 2)


def _measure(dry: Channel, wet: Channel, positions: Sequence[int], line: Line, polarity: int) -> _Clicks | None:
    """Measure clicks exactly, given a line that is correct within some samples; None if fewer than two are detected."""
    rows = [(position, line.at(position), line.drift_ppm) for position in positions]
    found: list[tuple[float, float, float]] = []
    fit = LineFit(line, np.inf)
    for _ in range(_ITERATIONS):
        found = []
        for position, lag, drift in rows:
            click = detect_click(dry, wet, position, lag, drift, polarity)
            if click is not None and click.sign > 0:
                found.append((float(position), lag + click.delay, click.gain))
        if len(found) < 2:
            return None
        at, lags, _ = np.array(found).T
        fit = fit_line(at, lags, np.full(len(at), 1.0 / CLICK_FLOOR**2))
        rows = [(round(position), lag, fit.line.drift_ppm) for position, lag, _ in found]
    at, lags, gains = np.array(found).T
    return _Clicks(at, lags, gains, fit, 1 if polarity > 0 else -1)


def _measure_device(dry: Channel, wet: Channel, clicks: _Clicks, expected: int) -> _Clicks | None:
    """Return the clicks of the loop-back with the gains and the polarity of the device's channel."""
    positions = [round(position) for position in clicks.positions.tolist()]
    trials = [_measure(dry, wet, positions, clicks.fit.line, polarity) for polarity in (1, -1)]
    best = max((trial for trial in trials if trial is not None), key=lambda trial: len(trial.positions), default=None)
    if best is None or len(best.positions) < _min_clicks(expected):
        return None
    return replace(clicks, gains=best.gains, polarity=best.polarity)


def _check_clicks(clicks: _Clicks, rate: int, expected: int) -> list[Finding]:
    # The median drift between neighbours is robust against a step.
    spacing = np.diff(clicks.positions)
    steps = np.diff(clicks.lags) - float(np.median(np.diff(clicks.lags) / spacing)) * spacing
    worst = int(np.argmax(np.abs(steps)))
    if abs(steps[worst]) > MAX_LAG_STEP:
        low, high = ((clicks.positions[at] + clicks.lags[at]) / rate for at in (worst, worst + 1))
        span, samples = Span("wet", float(low), float(high)), round(abs(float(steps[worst])))
        return [refused("probe-samples-lost" if steps[worst] < 0 else "probe-samples-repeated", span, samples=samples)]
    drift_ppm = clicks.fit.line.drift_ppm
    if abs(drift_ppm) > MAX_DRIFT_PPM:
        return [refused("click-spacing", drift_ppm=drift_ppm)]
    findings = []
    if len(clicks.positions) < expected:
        findings.append(suspect("missing-clicks", missing=expected - len(clicks.positions), expected=expected))
    if clicks.rms > MAX_RESIDUAL_RMS:
        findings.append(suspect("click-jitter", rms_samples=clicks.rms))
    return findings


def _describe(
    dry: Channel, clicks: _Clicks | None, reference: Reference | None, findings: Sequence[Finding]
) -> tuple[tuple[Piece, ...], Measurement]:
    """Return the time map and the measurement: a line, or a curve through all clicks if the clock wanders."""
    knots = [float(dry.start), float(dry.stop)]
    if clicks is None:
        return (Piece(dry.start, dry.stop, tuple(knots), (0.0, 0.0)),), Measurement()
    line, is_usable = clicks.fit.line, verdict(findings) != "refused"
    wanders = clicks.rms > MAX_RESIDUAL_RMS and is_usable
    lags = [line.at(knot) for knot in knots]
    residuals = clicks.residuals.tolist()
    if wanders:
        knots, lags, residuals = clicks.positions.tolist(), clicks.lags.tolist(), [0.0] * len(residuals)
    rows = zip(clicks.positions.tolist(), clicks.lags.tolist(), residuals, strict=True)
    measurement = Measurement(
        lag_samples=line.lag,
        drift_ppm=line.drift_ppm,
        drift_error_ppm=clicks.fit.drift_error_ppm,
        polarity=1 if clicks.polarity > 0 else -1,
        gain_db=clicks.gain_db,
        residual_rms_samples=0.0 if wanders else clicks.rms,
        wander_rms_samples=clicks.rms if wanders else 0.0,
        confidence=1.0 if is_usable else 0.0,
        reference=reference,
        track=tuple(Window(position, lag, 1.0 / CLICK_FLOOR**2, residual) for position, lag, residual in rows),
    )
    return (Piece(dry.start, dry.stop, tuple(knots), tuple(lags)),), measurement
