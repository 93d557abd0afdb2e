"""Alignment by clicks alone, for a reel of measuring signals: a steady tone tells no delay, a repeated one a wrong one.

The clicks stand between the signals. They tell one line; a click that stands off it tells that samples were lost
between two clicks, and then nothing can be measured there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from twinlib.alignment import locate
from twinlib.alignment.channel import Channel
from twinlib.alignment.click_drift import CLICK_FLOOR, detect_click
from twinlib.alignment.clock import Line, LineFit, fit_line
from twinlib.alignment.messages import MESSAGES
from twinlib.alignment.pipeline import GUARD_SAMPLES, POLARITY, open_channel
from twinlib.alignment.result import Alignment, Reference, Repair, Window
from twinlib.alignment.time_map import Piece
from twinlib.alignment.verdict import MOST_DRIFT_PPM, MOST_RESIDUAL, diagnose_mismatch
from twinlib.audio import Reader
from twinlib.db import amp_to_db, db_to_amp
from twinlib.findings import Finding, Span, refused, suspect, verdict
from twinlib.progress import Progress, SubProgress, no_progress

LEAST_MARKERS = 3
"""Clicks without which a line cannot be trusted."""

MOST_STEP = 0.5
"""Samples by which the lag may change from one click to the next besides the drift: more, and a whole one was lost."""

MOST_SPREAD_DB = 1.0
"""How far the gains of a device's takes of music may lie apart: their music differs, and their gains with it."""

_PASSES = 2


@dataclass(frozen=True)
class _Heard:
    """The clicks that were heard: dry places, lags and gains `(clicks,)`, the line through them, and the polarity."""

    places: npt.NDArray[np.float64]
    lags: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]
    fit: LineFit
    polarity: Literal[1, -1]

    @property
    def residuals(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.lags - np.array([self.fit.line.at(place) for place in self.places.tolist()]))

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.residuals))))

    @property
    def gain_db(self) -> float:
        return amp_to_db(float(np.median(self.gains)), 1e-6)


@dataclass(frozen=True)
class _Undone:
    """The gain and the DC that the warp undoes; why these are not to be trusted, and whether they are known at all."""

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
    """Align one channel (from 0) of `wet` with `dry` by the clicks at the dry positions `markers`, and nothing else.

    The same contract as `align` (`alignment/2`), with a window a click; `gain_db` is that of the clicks. A take with
    lost or repeated samples is refused, for a repaired measuring signal measures nothing; one whose clocks wander is
    suspect, and followed from click to click. A twin has learned from takes of music whose gain and DC `repair` may
    have undone, and to a device that saturates clicks tell another gain than music: what was undone there, by the
    alignments `programme` of these takes, is undone here, in the mean. Raises as `align` does.
    """
    undone = _undone(programme, repair)
    with Reader(dry) as dry_reader, Reader(wet) as wet_reader:
        rate = dry_reader.info.sample_rate
        played = open_channel(dry_reader, channel if dry_reader.info.channels > channel else 0, rate, None)
        device = open_channel(wet_reader, channel, rate, None)
        loop = None
        if reference_channel is not None:
            loop = open_channel(wet_reader, reference_channel, rate, None, "reference_channel")
        clock = loop or device
        waveform = locate.click_waveform(played, markers[0])
        found = locate.find_clicks(clock, waveform, SubProgress(progress, 90.0, clock.stop - clock.start))
        match = locate.match_clicks(markers, found, 0.001 * rate)
        least = max(LEAST_MARKERS, len(markers) // 2)
        heard = _heard(played, clock, sorted(match.places), match.line, match.polarity) if match is not None else None
        progress(10.0)
        if heard is None or len(heard.places) < least:
            there = 0 if heard is None else len(heard.places)
            findings = [
                refused("few-clicks", found=there, expected=len(markers)),
                diagnose_mismatch(played, clock, False),
            ]
            return _alignment(played, device, None, None, guard_samples, repair, undone, findings)
        findings = _findings(heard, rate, len(markers))
        if undone.finding is not None:
            findings.insert(0, undone.finding)
        reference = None
        if loop is not None:
            assert reference_channel is not None
            reference = Reference(reference_channel, heard.polarity, heard.gain_db)
            places = [round(place) for place in heard.places.tolist()]
            through = [_heard(played, device, places, heard.fit.line, polarity) for polarity in (1, -1)]
            best = max((one for one in through if one is not None), key=lambda one: len(one.places), default=None)
            if best is None or len(best.places) < least:
                findings = [refused("clicks-not-on-device")]
                return _alignment(played, device, None, None, guard_samples, repair, undone, findings)
            heard = _Heard(heard.places, heard.lags, best.gains, heard.fit, best.polarity)
        return _alignment(played, device, heard, reference, guard_samples, repair, undone, findings)


def _undone(programme: Sequence[Alignment], repair: Collection[Repair]) -> _Undone:
    """What was undone in the takes of music, in the mean of those that could be aligned."""
    if not {"gain", "dc"} & set(repair):
        return _Undone()
    usable = [one for one in programme if one.verdict != "refused"]
    if not usable:
        return _Undone(finding=refused("unknown-gain"))
    gains = [amp_to_db(one.applied_gain) for one in usable]
    spread = max(gains) - min(gains)
    finding = suspect("uncertain-gain", spread_db=spread) if spread > MOST_SPREAD_DB else None
    gain = db_to_amp(float(np.mean(gains)))
    return _Undone(gain, float(np.mean([one.applied_dc for one in usable])), finding)


def _heard(dry: Channel, wet: Channel, places: Sequence[int], line: Line, polarity: int) -> _Heard | None:
    """The clicks measured exactly, from a line that is right within some samples; None if fewer than two are there."""
    rows = [(place, line.at(place), line.drift_ppm) for place in places]
    found: list[tuple[float, float, float]] = []
    fit = LineFit(line, np.inf)
    for _ in range(_PASSES):
        found = []
        for place, lag, drift in rows:
            one = detect_click(dry, wet, place, lag, drift, polarity)
            if one is not None:
                found.append((float(place), lag + one.delay, one.gain))
        if len(found) < 2:
            return None
        at, lags, _ = np.array(found).T
        fit = fit_line(at, lags, np.full(len(at), 1.0 / CLICK_FLOOR**2))
        rows = [(round(place), lag, fit.line.drift_ppm) for place, lag, _ in found]
    at, lags, gains = np.array(found).T
    return _Heard(at, lags, gains, fit, 1 if polarity > 0 else -1)


def _findings(heard: _Heard, rate: int, expected: int) -> list[Finding]:
    # The drift that most neighbours agree on, which no step bends.
    apart = np.diff(heard.places)
    steps = np.diff(heard.lags) - float(np.median(np.diff(heard.lags) / apart)) * apart
    worst = int(np.argmax(np.abs(steps)))
    if abs(steps[worst]) > MOST_STEP:
        low, high = ((heard.places[at] + heard.lags[at]) / rate for at in (worst, worst + 1))
        span, samples = Span("wet", float(low), float(high)), round(abs(float(steps[worst])))
        return [refused("probe-samples-lost" if steps[worst] < 0 else "probe-samples-repeated", span, samples=samples)]
    drift = heard.fit.line.drift_ppm
    if abs(drift) > MOST_DRIFT_PPM:
        return [refused("click-spacing", drift_ppm=drift)]
    findings = []
    if len(heard.places) < expected:
        findings.append(suspect("missing-clicks", missing=expected - len(heard.places), expected=expected))
    if heard.rms > MOST_RESIDUAL:
        findings.append(suspect("click-jitter", rms_samples=heard.rms))
    return findings


def _alignment(
    dry: Channel,
    wet: Channel,
    heard: _Heard | None,
    reference: Reference | None,
    guard_samples: int,
    repair: Collection[Repair],
    undone: _Undone,
    findings: Sequence[Finding],
) -> Alignment:
    info = wet.reader.info
    line = heard.fit.line if heard is not None else Line(0.0, 0.0)
    wanders = heard is not None and heard.rms > MOST_RESIDUAL and verdict(findings) != "refused"
    knots = [float(dry.start), float(dry.stop)]
    lags = [line.at(knot) for knot in knots]
    if heard is not None and wanders:
        knots, lags = heard.places.tolist(), heard.lags.tolist()
    polarity: Literal[1, -1] = heard.polarity if heard is not None else 1
    gain_db = heard.gain_db if heard is not None else 0.0
    return Alignment(
        sample_rate=dry.rate,
        wet_sample_rate=info.sample_rate,
        dry_frames=dry.reader.info.frames,
        wet_frames=info.frames,
        dry_range=(dry.start, dry.stop),
        wet_range=(0, info.frames),
        lag_samples=line.lag,
        drift_ppm=line.drift_ppm,
        drift_error_ppm=heard.fit.drift_error_ppm if heard is not None else None,
        polarity=polarity,
        gain_db=gain_db,
        residual_rms_samples=(0.0 if wanders else heard.rms) if heard is not None else None,
        wander_rms_samples=heard.rms if heard is not None and wanders else 0.0,
        confidence=1.0 if heard is not None and verdict(findings) != "refused" else 0.0,
        dropouts=(),
        excluded=(),
        verdict=verdict(findings),
        reasons=MESSAGES.reasons(findings),
        findings=tuple(findings),
        guard_samples=guard_samples,
        reference=reference,
        warp="sinc",
        applied_lag_samples=line.lag,
        applied_drift_ppm=line.drift_ppm,
        applied_polarity=polarity if "polarity" in repair else 1,
        applied_gain=undone.gain,
        applied_dc=undone.dc,
        pieces=(Piece(dry.start, dry.stop, tuple(knots), tuple(lags)),),
        track=_windows(heard, wanders) if heard is not None else (),
    )


def _windows(heard: _Heard, wanders: bool) -> tuple[Window, ...]:
    residuals = np.zeros(len(heard.places)) if wanders else heard.residuals
    rows = zip(heard.places.tolist(), heard.lags.tolist(), residuals.tolist(), strict=True)
    return tuple(Window(place, lag, 1.0 / CLICK_FLOOR**2, residual) for place, lag, residual in rows)
