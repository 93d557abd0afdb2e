"""The alignment that a judged case comes to, as the contract has it."""

from typing import Literal

import numpy as np

from twinlib.alignment.applied import applied
from twinlib.alignment.clock import Clock
from twinlib.alignment.judge import Case, confidence
from twinlib.alignment.result import Alignment, Reference, Window
from twinlib.alignment.signals import Channel
from twinlib.alignment.timemap import Curve
from twinlib.alignment.track import Measured
from twinlib.alignment.wander import residual_rms


def outcome(case: Case) -> Alignment:
    """All of it as the contract has it."""
    course = case.course
    clock = course.clock if course is not None else Clock.at_rest()
    warp, pieces = applied(clock, case.dry, case.take or case.reference is not None)
    error = clock.fit.drift_error_ppm if course is not None else None
    gain_db = case.through[1] if case.through is not None else course.gain_db if course is not None else 0.0
    polarity: Literal[1, -1] = 1 if case.polarity > 0 else -1
    measured = course.measured if course is not None else None
    reference = None
    if case.reference is not None and course is not None:
        reference = Reference(case.reference.channel, 1 if course.polarity > 0 else -1, course.gain_db)
    info = case.wet.reader.info
    undone = polarity if "polarity" in case.repair else 1
    ends = Curve(np.array(pieces[0].positions), np.array(pieces[0].lags))(np.array([0.0, 1e6]))
    applied_drift = 0.0 if warp == "shift" else clock.fit.drift_ppm
    return Alignment(
        sample_rate=case.rate,
        wet_sample_rate=info.sample_rate,
        dry_frames=case.dry.reader.info.frames,
        wet_frames=info.frames,
        dry_range=(case.dry.start, case.dry.stop),
        wet_range=_wet_range(case.wet),
        lag_samples=float(clock.fit.lags[0]),
        drift_ppm=clock.fit.drift_ppm,
        drift_error_ppm=error if error is not None and np.isfinite(error) else None,
        polarity=polarity,
        gain_db=gain_db,
        residual_rms_samples=residual_rms(measured) if measured is not None else None,
        wander_rms_samples=_wander_rms(clock, measured),
        confidence=confidence(measured),
        dropouts=tuple(case.dropouts),
        excluded=tuple(sorted(case.excluded, key=lambda one: (one.start, one.stop, one.reason))),
        verdict=case.verdict,
        reasons=tuple(case.reasons),
        guard_samples=case.guard,
        reference=reference,
        warp=warp,
        applied_lag_samples=float(ends[0]) if clock.curve is None else float(clock.fit.lags[0]),
        applied_drift_ppm=applied_drift,
        applied_polarity=1 if undone > 0 else -1,
        applied_gain=10.0 ** (-gain_db / 20.0) if "gain" in case.repair else 1.0,
        applied_dc=case.mean if "dc" in case.repair else 0.0,
        pieces=pieces,
        track=_windows(clock, measured) if measured is not None else (),
    )


def _wander_rms(clock: Clock, measured: Measured | None) -> float:
    if clock.curve is None or measured is None:
        return 0.0
    return float(np.std(Curve(*clock.curve)(measured.position)))


def _wet_range(wet: Channel) -> tuple[int, int]:
    info = wet.reader.info
    if info.sample_rate == wet.rate:
        return wet.start, wet.stop
    stop = -(-wet.stop * info.sample_rate // wet.rate)
    return wet.start * info.sample_rate // wet.rate, min(info.frames, stop)


def _windows(clock: Clock, measured: Measured) -> tuple[Window, ...]:
    lags = clock.lags(measured.position) + measured.residual
    rows = zip(
        *(column.tolist() for column in (measured.position, lags, measured.weight, measured.residual)), strict=True
    )
    return tuple(Window(*row) for row in rows)
