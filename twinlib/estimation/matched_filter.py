"""Detection of known clicks by matched filter, the line through several, and the exact delay of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation.delay import MIDDLE_HZ, Complex, band, integer_peaks, subsample_delay
from twinlib.estimation.line_fit import Line
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel, TimeMap, interpolate

SIZE = 1 << 16
"""Samples of one transform of the matched filter."""

MAX_PEAKS = 16
"""Peaks of one transform that are kept."""

CLICK_REACH = 64
"""Search range for a click, in samples around the expected lag."""

MIN_CORRELATION = 0.35
"""Normalised correlation of a click; music reaches about 0.3 by chance in an hour."""


@dataclass(frozen=True)
class ClickPeak:
    """A candidate for a click: its position in the wet file and the signed correlation, -1 to 1."""

    position: float
    correlation: float


@dataclass(frozen=True)
class ClickFit:
    """A click on both files: cross-spectrum `(bins,)` at `omega` (radians a sample), delay in samples relative to the
    assumed lag, gain, and sign. An envelope filter may invert the click, but not the programme.
    """

    cross: Complex
    omega: npt.NDArray[np.float64]
    delay: float
    gain: float
    sign: int


@dataclass(frozen=True)
class ClickMatch:
    """Matched clicks: line, polarity, and the wet position of each click that was found."""

    line: Line
    polarity: int
    positions: dict[int, float]


def click_waveform(dry: Channel, click: int) -> Signal:
    """Return the waveform of the click at dry position `click`, without its silent end."""
    samples = dry.read(click, click + dry.rate // 4)
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * float(np.abs(samples).max(initial=1e-9)))
    return samples[: loud[-1] + 1] if len(loud) else samples[:0]


def find_clicks(wet: Channel, click: Signal, progress: Progress = no_progress) -> list[ClickPeak]:
    """Return the 64 best matches of the click in the wet file, best first, with parabolic interpolation.

    The correlation is normalised by the local energy, so that loud music does not mask a click. It uses the band that
    every device passes, at half the sample rate or less.
    """
    length = len(click)
    bins = band(SIZE, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    short_size = scipy.fft.next_fast_len(3 * bins.stop, real=True)
    decimation = SIZE / short_size
    template = np.zeros(short_size // 2 + 1, np.complex64)
    template[bins] = scipy.fft.rfft(click, SIZE)[bins]
    norm = float(np.sqrt(np.square(np.abs(template), dtype=np.float64).sum() * 2.0 / SIZE))
    step = SIZE - 2 * length
    span, kept = round(length / decimation), int(step / decimation) + 3
    found: list[ClickPeak] = []
    for start in range(wet.start - length, wet.stop, step):
        samples = wet.read(start, start + SIZE)
        progress(min(step, wet.stop - start))
        if not samples.any():
            continue
        spectrum = np.zeros(short_size // 2 + 1, np.complex64)
        spectrum[bins] = scipy.fft.rfft(samples)[bins]
        # A band-limited signal keeps its energy at the lower rate, scaled by the ratio of the rates.
        limited = scipy.fft.irfft(spectrum, short_size).astype(np.float64) / decimation
        energy = np.concatenate((np.zeros(1), np.cumsum(limited**2))) * decimation
        local_norm = np.sqrt(np.maximum(energy[span : span + kept] - energy[:kept], 0.0))
        values = scipy.fft.irfft(spectrum * template.conj(), short_size)[:kept].astype(np.float64) / decimation
        # Rounding errors in digital silence correlate with anything: a floor 80 dB below the click excludes them.
        ratio = values / (norm * np.maximum(local_norm, 1e-4 * norm))
        found += _peaks(ratio, start, decimation, length)
        found = sorted(found, key=lambda peak: (-abs(peak.correlation), peak.position))[:64]
    return found


def _peaks(ratio: npt.NDArray[np.float64], start: int, decimation: float, spacing: int) -> list[ClickPeak]:
    heights = np.abs(ratio)
    inner = (heights[1:-1] >= heights[:-2]) & (heights[1:-1] > heights[2:]) & (heights[1:-1] > 0.3)
    peaks: list[ClickPeak] = []
    positions = np.flatnonzero(inner) + 1
    for position in positions[np.argsort(-heights[positions], kind="stable")]:
        if len(peaks) == MAX_PEAKS:
            break
        if any(abs(peak.position - start - position * decimation) < spacing for peak in peaks):
            continue
        left, top, right = ratio[position - 1 : position + 2]
        curvature = left - 2.0 * top + right
        fraction = 0.5 * (left - right) / curvature if curvature else 0.0
        peaks.append(ClickPeak(start + decimation * float(position + fraction), float(top)))
    return peaks


def match_clicks(
    clicks: Sequence[int], found: Sequence[ClickPeak], slack: float, max_drift_ppm: float
) -> ClickMatch | None:
    """Return the line and polarity that explain most of the peaks; None if no peak is strong enough.

    `slack` is the allowed deviation of a click from its position, in samples, in addition to the drift.
    """
    best: tuple[float, list[tuple[int, ClickPeak]]] | None = None
    strong = sorted(
        (peak for peak in found if abs(peak.correlation) >= MIN_CORRELATION), key=lambda peak: peak.position
    )
    for anchor in strong:
        for click in clicks:
            chosen = []
            for other in clicks:
                tolerance = slack + abs(other - click) * max_drift_ppm * 1e-6 if other != click else 0.0
                near = [
                    peak
                    for peak in strong
                    if abs(peak.position - anchor.position - (other - click)) <= tolerance
                    and peak.correlation * anchor.correlation > 0
                ]
                if near:
                    chosen.append((other, max(near, key=lambda peak: abs(peak.correlation))))
            score = sum(peak.correlation**2 for _, peak in chosen)
            # Of two similar explanations the earlier wins: the first detected click is the first click of the reel.
            if best is None or score > best[0] + 0.05:
                best = (score, chosen)
    if best is None:
        return None
    chosen = best[1]
    dry = np.array([click for click, _ in chosen], float)
    lag = np.array([peak.position - click for click, peak in chosen])
    drift = float(np.polyfit(dry - dry[0], lag, 1)[0]) if len(dry) > 1 else 0.0
    line = Line(float(np.mean(lag - drift * dry)), drift * 1e6)
    sign = 1 if chosen[0][1].correlation > 0 else -1
    return ClickMatch(line, sign, {click: peak.position for click, peak in chosen})


def detect_click(
    dry: Channel, wet: Channel, click: int, lag: float, drift_ppm: float, polarity: int
) -> ClickFit | None:
    """Measure the click at a dry position where `lag` is right within `CLICK_REACH` samples; None without a click."""
    length = len(click_waveform(dry, click))
    size = 1 << int(np.ceil(np.log2(2 * max(length, 128))))
    bins = band(size, dry.rate, wet.max_hz)
    start = click - (size - length) // 4
    timemap = TimeMap.straight(lag - drift_ppm * 1e-6 * click, drift_ppm, start, start + size)
    x = np.fft.rfft(dry.read(start, start + size).astype(np.float64))[bins]
    y = interpolate(wet, timemap, start, start + size).astype(np.float64)
    cross = x.conj() * polarity * np.fft.rfft(y)[bins]
    peak = integer_peaks(cross[np.newaxis], bins, size, CLICK_REACH)[0]
    if abs(peak.delay) >= CLICK_REACH:
        return None
    cross = peak.sign * cross
    delay = subsample_delay(cross, bins, size, peak.delay).delay
    omega = 2.0 * np.pi * np.arange(bins.start, bins.stop) / size
    gain = float((cross * np.exp(1j * omega * delay)).real.sum() / np.square(np.abs(x)).sum())
    return ClickFit(cross, omega, delay, gain, peak.sign)
