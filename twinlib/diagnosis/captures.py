"""Comparison of the captures of one device: all must have the same constant lag, polarity and gain."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from twinlib.alignment import Alignment
from twinlib.capture import Known
from twinlib.diagnosis.known import common_lag, median_lag
from twinlib.diagnosis.messages import MESSAGES
from twinlib.diagnosis.same_settings import compare_settings
from twinlib.estimation import mad_sigma
from twinlib.findings import Finding, Severity, suspect, verdict

MAX_LAG_SPREAD = 8.0
"""Distance in samples of a lag from the median of the captures that the phase of the device explains."""

DRIFT_BLOCKS = 8
MIN_DRIFT_RATIO = 6.0
"""Ratio of a drift to its standard error, by the medians of blocks of windows, from which it is evident. Lags that
depend on the programme are correlated, so that the error from single windows is too small."""

MIN_DRIFT_SAMPLES = 0.1
"""Smallest change of the lag from the first to the last block that is a drift."""

MIN_GAIN_DB = 6.0
MIN_GAIN_DEVIATIONS = 6.0
"""A gain is an outlier if it differs from the median by more than both; a distorting device compresses loud music."""


def compare_captures(alignments: Mapping[str, Alignment]) -> dict[str, Any]:
    """Return the comparison of the captures of a device (contract `captures/1`).

    `captures` holds for each capture its findings, with `verdict` and `reasons`, and `shift`: the lag in samples to
    apply instead of its own, None if its own is right. Pairs on one clock get the same lag. A capture whose lag or
    drift is an outlier is named; so are outliers of polarity, gain and settings. Refused captures are not compared.
    """
    usable = {name: one for name, one in sorted(alignments.items()) if one.verdict != "refused"}
    shifts, findings = _compare_lags(usable)
    for name, finding in [*_compare_polarity(usable), *_compare_gain(usable), *compare_settings(usable)]:
        findings.setdefault(name, []).append(finding)
    captures = {}
    for name in sorted(alignments):
        found = findings.get(name, [])
        captures[name] = {
            "shift": shifts.get(name),
            "verdict": verdict(found),
            "reasons": list(MESSAGES.reasons(found)),
            "findings": [finding.to_dict() for finding in found],
        }
    return {"captures": captures}


def _compare_lags(usable: Mapping[str, Alignment]) -> tuple[dict[str, float], dict[str, list[Finding]]]:
    """Return the lags to apply instead of the own ones, and the findings, by capture."""
    shifts: dict[str, float] = {}
    findings: dict[str, list[Finding]] = {}
    lags = {name: median_lag(one) for name, one in usable.items() if _has_comparable_lag(one)}
    if len(lags) < 2:
        return shifts, findings
    near = [name for name in lags if abs(lags[name] - float(np.median(list(lags.values())))) <= MAX_LAG_SPREAD]
    steady = [name for name in near if not drifts(usable[name])]
    if 2 * len(steady) <= len(lags):
        return shifts, findings
    typical = float(np.median([lags[name] for name in steady]))
    shift = common_lag(typical)
    for name, lag in lags.items():
        one, drift = usable[name], usable[name].drift_ppm
        if name not in near:
            findings[name] = [suspect("lag-outlier", samples=lag, median=typical, lag=shift)]
        elif name not in steady:
            findings[name] = [suspect("drift-outlier", drift_ppm=drift)]
        elif one.warp != "shift" or one.applied_lag_samples != shift:
            shifts[name] = shift
            severity: Severity = "suspect" if one.applied_drift_ppm else "info"
            findings[name] = [Finding("shifted-alike", severity, values=_shift_values(one, shift))]
    return shifts, findings


def _shift_values(one: Alignment, shift: float) -> dict[str, float]:
    return {"lag": shift, "samples": one.applied_lag_samples, "drift_ppm": one.applied_drift_ppm}


def _has_comparable_lag(one: Alignment) -> bool:
    """Whether the lag of a capture is comparable: a pair of one straight piece, whose lag the user has not given."""
    if not one.is_pair or one.reference is not None or len(one.pieces) > 1 or len(one.pieces[0].positions) > 2:
        return False
    return one.known is None or (one.known.lag is None and one.known.same_clock is not False)


def drifts(one: Alignment) -> bool:
    """Whether the drift of a capture is evident from the medians of blocks of its windows."""
    windows = [(window.position, window.lag) for window in one.track if window.weight > 0]
    if (one.known is not None and one.known.same_clock) or len(windows) < 2 * DRIFT_BLOCKS:
        return False
    blocks = [np.median(block, axis=0) for block in np.array_split(np.array(windows), DRIFT_BLOCKS)]
    position, lag = np.array(blocks).T
    position = position - position.mean()
    slope = float(position @ lag / (position @ position))
    error = float(np.sqrt(np.sum((lag - lag.mean() - slope * position) ** 2) / (len(lag) - 2) / (position @ position)))
    return abs(slope) > MIN_DRIFT_RATIO * error and abs(slope) * float(np.ptp(position)) > MIN_DRIFT_SAMPLES


def _compare_polarity(usable: Mapping[str, Alignment]) -> list[tuple[str, Finding]]:
    """Return a finding for each capture whose polarity is not that of the majority."""
    polarity = {name: one.polarity for name, one in usable.items()}
    majority = 1 if 2 * sum(sign > 0 for sign in polarity.values()) >= len(polarity) else -1
    # The captures of a device have the same `repair`: all inverted ones are corrected, or none.
    is_corrected = any(one.applied_polarity < 0 for one in usable.values())
    return [
        (name, suspect("polarity-outlier" if is_corrected else "polarity-uncorrected"))
        for name, sign in polarity.items()
        if sign != majority and (usable[name].known or Known()).polarity is None
    ]


def _compare_gain(usable: Mapping[str, Alignment]) -> list[tuple[str, Finding]]:
    """Return a finding for each of at least three captures whose gain differs from that of the others.

    The settings of takes with a witness are compared by the witness.
    """
    gains = {name: one.gain_db for name, one in usable.items() if one.witness is None}
    if len(gains) < 3:
        return []
    median = float(np.median(list(gains.values())))
    deviation = mad_sigma(np.array(list(gains.values())) - median)
    limit = max(MIN_GAIN_DB, MIN_GAIN_DEVIATIONS * deviation)
    return [
        (name, suspect("gain-outlier", gain_db=gain, median_db=median))
        for name, gain in gains.items()
        if abs(gain - median) > limit
    ]
