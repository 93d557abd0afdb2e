"""What the user knows about a pair: its lag, clock and polarity, and a reason to accept it."""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import numpy as np

from twinlib.alignment import ZERO_LAGS, Alignment
from twinlib.capture import Known
from twinlib.diagnosis.amend import amend, remove_findings
from twinlib.findings import refused, suspect
from twinlib.resampling import TimeMap

MAX_LAG_ERROR = 16.0
"""Difference in samples between a given and a measured lag that the phase of the device explains."""

CLOCK_CODES = frozenset(
    {"lost-samples", "repeated-samples", "wander", "flutter", "high-drift", "misaligned", "unknown-lag"}
)
"""Findings that two files on one clock cannot have."""


def apply_known(alignment: Alignment, known: Known, repair: Collection[str]) -> Alignment:
    """Return the alignment of a pair with the lag, clock and polarity that the user knows.

    `repair` names the properties that the warp corrects. What contradicts the measurement is a finding. A refused pair
    with a reason to accept it becomes suspect. A lag with which no sample of the wet file is used refuses the pair.
    """
    lowest, highest = _limits_of_lag(alignment)
    if known.lag is not None and not lowest <= known.lag <= highest:
        outside = refused("lag-outside-file", lag=known.lag, lowest=lowest, highest=highest)
        return replace(amend(alignment, [outside]), known=known)
    found, is_refused = [], alignment.verdict == "refused"
    if known.lag is not None or known.same_clock:
        measured = median_lag(alignment)
        if known.lag is not None and not is_refused and abs(known.lag - measured) > MAX_LAG_ERROR:
            found.append(suspect("lag-contradicts", lag=known.lag, samples=measured))
        alignment = with_constant_lag(alignment, common_lag(measured) if known.lag is None else known.lag)
    if known.polarity is not None:
        if not is_refused and known.polarity != alignment.polarity:
            found.append(suspect("polarity-contradicts", polarity=known.polarity, measured=alignment.polarity))
        applied: Literal[1, -1] = known.polarity if "polarity" in repair else 1
        alignment = replace(alignment, polarity=known.polarity, applied_polarity=applied)
    if is_refused and known.accept is not None:
        findings = tuple(replace(each, severity="suspect") for each in alignment.findings if each.severity != "info")
        alignment = replace(alignment, findings=findings)
        found.append(suspect("accepted", reason=known.accept))
    return replace(amend(alignment, found), known=known)


def _limits_of_lag(alignment: Alignment) -> tuple[int, int]:
    """Return the smallest and the largest lag in samples with which the wet file holds a part of the dry range."""
    start, stop = alignment.dry_range
    wet_frames = alignment.wet_frames * alignment.sample_rate // alignment.wet_sample_rate
    return 1 - stop, wet_frames - 1 - start


def common_lag(lag: float) -> float:
    """Return the lag to apply to a pair on one clock: a whole number of samples, zero if the device may cause it."""
    return 0.0 if ZERO_LAGS[0] <= round(lag) <= ZERO_LAGS[1] else float(round(lag))


def median_lag(alignment: Alignment) -> float:
    """Return the median lag in samples of the windows of an alignment, or the lag in its middle if it has none."""
    lags = [window.lag for window in alignment.track if window.weight > 0]
    middle = np.array([0.5 * (alignment.dry_range[0] + alignment.dry_range[1])])
    return float(np.median(lags)) if lags else float(alignment.lags(middle)[0])


def with_constant_lag(alignment: Alignment, lag: float) -> Alignment:
    """Return the alignment with one lag for the whole file, without the findings that one clock rules out."""
    median, (start, stop) = median_lag(alignment), alignment.dry_range
    track = tuple(replace(window, residual=window.lag - median) for window in alignment.track)
    residuals = [window.residual for window in track if window.weight > 0]
    return replace(
        remove_findings(alignment, CLOCK_CODES),
        lag_samples=median,
        drift_ppm=0.0,
        drift_error_ppm=None,
        residual_rms_samples=float(np.std(residuals)) if residuals else None,
        wander_rms_samples=0.0,
        dropouts=(),
        warp="shift" if lag == round(lag) else "sinc",
        applied_lag_samples=lag,
        applied_drift_ppm=0.0,
        pieces=TimeMap.straight(lag, 0.0, start, stop).pieces,
        track=track,
    )
