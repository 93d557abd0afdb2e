"""The lag along the programme: window after window, measured against the line so far, fitted, measured again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.alignment import sinc
from twinlib.alignment.line import Fit, Line, fit_line
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import Complex, Real, arrival, band, fine_delay, smoothed, whitened, whole_peak
from twinlib.progress import Progress, silent

QUIET_DB = -60.0
"""A window of the dry signal whose band-limited rms lies below this (dB of full scale) says nothing."""

LEAST_PROMINENCE = 7.0
"""A window's peak counts if it stands this many times above the noise of its correlation."""

AGREES = 0.5
"""Samples from the line within which a window agrees with it."""

NEAR = 8.0
"""Samples from the line within which a window tells of the device's response."""

MOST_PASSES = 6

FLOOR = 0.003
"""Samples rms that no window is better than: programme-dependent delay of devices, not noise."""


@dataclass(frozen=True)
class Plan:
    """The windows: their starts on the dry clock and their size, a power of two."""

    starts: npt.NDArray[np.int64]
    size: int


@dataclass(frozen=True)
class Measured:
    """The windows that carry signal: energy centroid on the dry clock, residual lag, inverse variance, sign.

    `weight` is zero where no delay stands out.
    """

    position: Real
    residual: Real
    weight: Real
    sign: Real


@dataclass(frozen=True)
class Response:
    """The device's mean response: in-band phase (unit, its delay taken out), delay, gain in the band.

    `weight` is what a bin of a half-whitened cross-spectrum counts: more where dry and wet cohere, and equally where
    the programme is loud and where it is soft (Hannan & Thomson 1973).
    """

    phase: Complex
    weight: Real
    delay: float
    gain_db: float


@dataclass(frozen=True)
class Track:
    """The fitted line and the windows measured against it."""

    fit: Fit
    measured: Measured
    gain_db: float
    polarity: int


def plan(start: int, stop: int, sample_rate: int) -> Plan:
    """Windows of about 0.74 s over [start, stop), every 0.4 to 2 s; shorter ones where there is little signal."""
    frames = stop - start
    longest = 1 << int(np.log2(0.75 * sample_rate))
    size = longest
    while size > 2048 and frames < 8 * size:
        size //= 2
    hop = int(np.clip(frames // 120, size // 2, 2 * sample_rate))
    return Plan(np.arange(start, max(start, stop - size) + 1, hop, dtype=np.int64), size)


def measure(
    dry: Channel, wet: Channel, windows: Plan, line: Line, known: Response | None, polarity: int, sample_rate: int
) -> tuple[Measured, Response | None]:
    """The residual lag of each window after the wet signal is put on the dry clock by `line`.

    What is `known` of the device's response is taken out, so that the programme does not modulate the lag, and bins
    count by their coherence, for harmonics tell no time. Also returns the response measured here, pooled over the
    windows that lie near the line.
    """
    size, bins = windows.size, band(windows.size, sample_rate)
    taper = np.hanning(size)
    slope = line.drift_ppm * 1e-6
    rows: list[tuple[float, float, float, float]] = []
    expected: Complex | float = 1.0
    if known is not None:
        expected = known.phase.conj() * known.weight
    pooled = np.zeros(bins.stop - bins.start, np.complex128)
    dry_power, wet_power = np.zeros(len(pooled)), np.zeros(len(pooled))
    for start in windows.starts.tolist():
        x = dry.read(start, start + size) * taper
        spectrum = np.fft.rfft(x)[bins]
        energy = float((np.abs(spectrum) ** 2).sum())
        if 2.0 * energy / size / float((taper**2).sum()) < 10.0 ** (QUIET_DB / 10.0):
            continue
        first, last = sinc.support(line.lag, slope, start, start + size)
        if last <= wet.start or first >= wet.stop:
            continue
        y = sinc.interpolate(wet.read(first, last), first, line.lag, slope, start, start + size) * taper
        position = start + float((np.arange(size) * x**2).sum() / (x**2).sum())
        other = polarity * np.fft.rfft(y)[bins]
        cross = spectrum.conj() * other
        seen = whitened(cross) if known is None else whitened(cross, 0.5) * expected
        peak = whole_peak(seen, bins, size, min(4096, size // 4))
        if peak.prominence < LEAST_PROMINENCE:
            rows.append((position, 0.0, 0.0, 0.0))
            continue
        delay = fine_delay(peak.sign * whitened(cross, 0.5) * expected, bins, size, peak.delay)
        rows.append((position, delay.delay, 1.0 / (1.0 / max(delay.weight, 1e-12) + FLOOR**2), peak.sign))
        if abs(delay.delay) < NEAR and peak.sign > 0:
            share = 1.0 / energy
            pooled += share * spectrum.conj() * other
            dry_power += share * np.abs(spectrum) ** 2
            wet_power += share * np.abs(other) ** 2
    columns = np.array(rows).reshape(-1, 4)
    measured = Measured(*columns.T)
    return measured, _response(pooled, dry_power, wet_power, bins, size) if dry_power.any() else None


def _response(pooled: Complex, dry_power: Real, wet_power: Real, bins: slice, size: int) -> Response:
    cross, power = smoothed(pooled, bins), smoothed(dry_power, bins).real * smoothed(wet_power, bins).real
    coherence = np.clip(np.abs(cross) ** 2 / (power + 1e-300), 0.0, 1.0)
    unit = cross / (np.abs(cross) + 1e-300)
    # Weighted by coherence alone: the music's own bass would let a filter's phase stand for a delay.
    weighted = unit * coherence
    delay = fine_delay(weighted, bins, size, arrival(weighted, bins, size, 64)).delay
    omega = 2.0 * np.pi * np.arange(bins.start, bins.stop) / size
    turned = pooled * np.exp(1j * omega * delay)
    gain = max(abs(float(turned.real.sum())) / float(dry_power.sum()), 1e-9)
    phase = np.asarray(unit * np.exp(1j * omega * delay))
    weight = coherence / (1.01 - coherence) / (power**0.25 + 1e-300)
    return Response(phase, weight / weight.max(), delay, 20.0 * float(np.log10(gain)))


def agreeing(measured: Measured) -> npt.NDArray[np.bool_]:
    """The windows that stand out and lie within half a sample of the line."""
    return np.asarray((measured.weight > 0) & (np.abs(measured.residual) < AGREES) & (measured.sign > 0))


def follow(
    dry: Channel,
    wet: Channel,
    windows: Plan,
    line: Line,
    polarity: int,
    sample_rate: int,
    progress: Progress = silent,
) -> Track | None:
    """Refine a rough line (right within some hundred samples) on the programme until it stands still.

    None if fewer than two windows of the programme can be recognised in the wet signal.
    """
    known: Response | None = None
    fit: Fit | None = None
    for number in range(MOST_PASSES):
        measured, response = measure(dry, wet, windows, line, known, polarity, sample_rate)
        progress(1.0)
        heard = measured.weight > 0
        if heard.sum() < 2:
            return None
        if number == 0 and float((measured.weight * measured.sign).sum()) < 0:
            polarity = -polarity
            measured = Measured(measured.position, measured.residual, measured.weight, -measured.sign)
        fit = fit_line(measured.position[heard], measured.residual[heard], measured.weight[heard])
        change = fit.line
        if response is not None and number > 0:
            # The windows give the drift. The constant is the delay of the mean response: until the device's phase is
            # known they take it for delay, and afterwards they see none.
            known = response
            middle = float(np.median(measured.position[heard]))
            change = Line(response.delay - fit.line.drift_ppm * 1e-6 * middle, fit.line.drift_ppm)
        ends = [abs(change.at(float(p))) for p in (measured.position[0], measured.position[-1])]
        if (number > 2 and max(ends) < 1e-3) or number == MOST_PASSES - 1:
            break
        line = Line(line.lag + change.lag, line.drift_ppm + change.drift_ppm)
    assert fit is not None
    gain_db = known.gain_db if known is not None else 0.0
    return Track(Fit(line, fit.drift_error_ppm), measured, gain_db, polarity)
