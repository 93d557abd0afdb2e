"""The lag along the programme: window after window, measured against what is known of the lag so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.alignment import fractional_delay
from twinlib.alignment.channel import Channel
from twinlib.alignment.delay import (
    HIGH_HZ,
    LOW_HZ,
    Complex,
    Delay,
    Real,
    band,
    first_peak,
    integer_peaks,
    octave_smoothed,
    phat_weighted,
    subsample_delay,
)
from twinlib.alignment.time_map import TimeMap
from twinlib.audio import Signal
from twinlib.db import amp_to_db, power_to_db
from twinlib.intervals import merge_ranges

DISPLACED_SAMPLES = 16.0
"""Samples by which a window lies off where two losses make up for each other: no device delays anything so much."""


MIN_SHORT_WEIGHT = 100.0
"""Inverse variance, 0.1 samples rms, from which a short window can tell a loss: one of few tones cannot."""


MIN_LEVEL_DB = -60.0
"""A window of the dry signal whose band-limited rms lies below this (dB of full scale) says nothing."""

MIN_PROMINENCE = 7.0
"""A window's peak counts if it stands this many times above the noise of its correlation."""

MIN_CERTAINTY = 4.0
"""Where it does not, its delay counts if the bins agree on it so many times better than by chance."""

EXPECTED_REACH = 4
"""Samples from where it should be within which they may."""

INLIER_SAMPLES = 0.5
"""Samples from the line within which a window agrees with it."""

MAX_FIRST_RESIDUAL, MAX_RESIDUAL = 8.0, 2.0
"""Samples from the line within which a window tells of the device's response: at first, and once it is known."""

LAG_FLOOR = 0.003
"""Samples rms that no window is better than: programme-dependent delay of devices, not noise."""

MAX_WINDOWS = 480
"""Windows of a take, however long: enough for a line or a slow curve, and the same work for any length."""

BATCH = 8
"""Windows whose transforms are made at once, which takes a third of the time that they take one after the other."""

CENTROID_PARTS = 512
"""Of a window, whose energies tell its centroid."""


@dataclass(frozen=True)
class WindowPlan:
    """The windows: their starts on the dry clock and their size, a power of two."""

    starts: npt.NDArray[np.int64]
    size: int


@dataclass(frozen=True)
class LagTrack:
    """The windows that carry signal: energy centroid on the dry clock, residual lag, inverse variance, sign, level.

    `weight` is zero where no delay stands out; `level_db` is that of the dry signal.
    """

    position: Real
    residual: Real
    weight: Real
    sign: Real
    level_db: Real

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """The windows whose delay stands out."""
        return np.asarray(self.weight > 0)


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

    def coarser(self, size: int, new_size: int, wet: Channel) -> "Response":
        """The response in the bins of shorter windows: of `new_size` samples where it was measured in `size`."""
        first, bins = band(size, wet.rate, wet.max_hz).start, band(new_size, wet.rate, wet.max_hz)
        places = np.clip(np.arange(bins.start, bins.stop) * (size // new_size) - first, 0, len(self.phase) - 1)
        return replace(self, phase=self.phase[places], weight=self.weight[places])


def plan_windows(start: int, stop: int, sample_rate: int) -> WindowPlan:
    """Windows of about 0.74 s over [start, stop), every 0.37 s or more; shorter ones where there is little signal."""
    frames = stop - start
    size = 1 << int(np.log2(0.75 * sample_rate))
    while size > 2048 and frames < 8 * size:
        size //= 2
    hop = max(size // 2, frames // MAX_WINDOWS)
    return WindowPlan(np.arange(start, max(start, stop - size) + 1, hop, dtype=np.int64), size)


def plan_dense_windows(start: int, stop: int, size: int) -> WindowPlan:
    """Windows of `size` samples over [start, stop), each half over the next."""
    return WindowPlan(np.arange(start, max(start, stop - size) + 1, size // 2, dtype=np.int64), size)


def windowed_spectra(samples: npt.NDArray[np.float32], taper: npt.NDArray[np.float32], bins: slice) -> Complex:
    """The in-band spectra of tapered windows `(windows, size)`, complex64 `(windows, bins)`."""
    return np.asarray(scipy.fft.rfft(samples * taper)[:, bins])


def band_level_db(spectrum: Complex, taper: npt.NDArray[np.float32]) -> float:
    """The rms of a tapered window in the band, in dB of full scale; what lies below `MIN_LEVEL_DB` tells no delay."""
    energy = 2.0 * _energy(spectrum) / len(taper) / float(np.square(taper).sum())
    return power_to_db(energy, 1e-30)


def _energy(spectrum: Complex) -> float:
    # Sums and not products of BLAS, which change in the last bit with the number of its threads.
    return float(np.square(np.abs(spectrum)).sum(dtype=np.float64))


def energy_centroid(samples: npt.NDArray[np.float32], taper: npt.NDArray[np.float32]) -> float:
    """The mean index of a tapered window, weighted by the energy of its parts: when its delay was measured."""
    size = max(1, len(samples) // CENTROID_PARTS)
    parts = (samples * taper).reshape(-1, size)
    energy = np.einsum("ij,ij->i", parts, parts).astype(np.float64)
    middles = np.arange(len(energy)) * size + 0.5 * (size - 1)
    return float((middles * energy).sum()) / (float(energy.sum()) + 1e-300)


def measure_lags(
    dry: Channel,
    wet: Channel,
    windows: WindowPlan,
    timemap: TimeMap,
    known: Response | None,
    polarity: int,
    excluded: Sequence[tuple[int, int]] = (),
    everything: bool = False,
    between_hz: tuple[float, float] = (LOW_HZ, HIGH_HZ),
) -> tuple[LagTrack, Response | None]:
    """The residual lag of each window after the wet signal is put on the dry clock by `timemap`.

    What is `known` of the device's response is taken out, so that the programme does not modulate the lag, and bins
    count by their coherence, for harmonics tell no time. Also returns the response measured here, pooled over the
    windows that lie near the line. Windows that touch an excluded range, or are not all on the wet file, are left out;
    with `everything` none is, and what is not on the file is silence. Only what lies `between_hz` is heard.
    """
    size, (low_hz, high_hz) = windows.size, between_hz
    bins = band(size, dry.rate, min(high_hz, wet.max_hz), low_hz)
    taper = np.hanning(size).astype(np.float32)
    rows: list[tuple[float, float, float, float, float]] = []
    expected = None
    if known is not None:
        expected = (known.phase.conj() * known.weight).astype(np.complex64)
    pooled = np.zeros(bins.stop - bins.start, np.complex128)
    dry_power, wet_power = np.zeros(len(pooled)), np.zeros(len(pooled))

    def played(start: int, stop: int) -> bool:
        if any(first < stop and start < last for first, last in excluded):
            return False
        return everything or (timemap.wet(start) >= wet.start and timemap.wet(stop) <= wet.stop)

    kernel = (
        fractional_delay.MEASURE_KERNEL
        if fractional_delay.MEASURE_BAND * wet.rate > HIGH_HZ
        else fractional_delay.WARP_KERNEL
    )

    def answer(start: int, stop: int) -> Signal:
        return fractional_delay.interpolate(wet, timemap, start, stop, kernel)

    there = [start for start in windows.starts.tolist() if played(start, start + size)]
    for first in range(0, len(there), BATCH):
        starts = there[first : first + BATCH]
        samples = read_windows(dry.read, starts, size)
        spectra = windowed_spectra(samples, taper, bins)
        levels = [band_level_db(spectrum, taper) for spectrum in spectra]
        loud = [number for number, level in enumerate(levels) if level >= MIN_LEVEL_DB]
        if not loud:
            continue
        spectra = spectra[loud]
        others = polarity * windowed_spectra(
            read_windows(answer, [starts[number] for number in loud], size), taper, bins
        )
        crosses = spectra.conj() * others
        found = estimate_delays(crosses, bins, size, min(4096, size // 4), expected)
        for number, spectrum, other, cross, (delay, sign) in zip(loud, spectra, others, crosses, found, strict=True):
            position, level = starts[number] + energy_centroid(samples[number], taper), levels[number]
            if delay is None:
                rows.append((position, 0.0, 0.0, 0.0, level))
                continue
            rows.append((position, delay.delay, 1.0 / (1.0 / max(delay.weight, 1e-12) + LAG_FLOOR**2), sign, level))
            if abs(delay.delay) < (MAX_FIRST_RESIDUAL if known is None else MAX_RESIDUAL) and sign > 0:
                share = 1.0 / _energy(spectrum)
                pooled += share * cross
                dry_power += share * np.abs(spectrum) ** 2
                wet_power += share * np.abs(other) ** 2
    measured = LagTrack(*np.array(rows).reshape(-1, 5).T)
    return measured, _response(pooled, dry_power, wet_power, bins, size) if dry_power.any() else None


def read_windows(read: Callable[[int, int], Signal], starts: Sequence[int], size: int) -> Signal:
    """The windows of `size` samples that begin at `starts`, `(windows, size)`; what they share is read once."""
    out = np.empty((len(starts), size), np.float32)
    for low, high in merge_ranges((start, start + size) for start in starts):
        samples = read(low, high)
        for row, start in enumerate(starts):
            if low <= start < high:
                out[row] = samples[start - low : start - low + size]
    return out


def estimate_delays(
    crosses: Complex, bins: slice, size: int, reach: int, expected: Complex | None = None
) -> list[tuple[Delay | None, int]]:
    """The delay within +-`reach` samples that each cross-spectrum tells, and its sign; None if none stands out.

    `crosses` is `(windows, bins)`. What is `expected` of the device multiplies the half-whitened spectra. Tones have
    many periods, and no delay of theirs stands out; but at the one that is expected all bins agree, and that chance
    hardly does.
    """
    halves = phat_weighted(crosses, 0.5)
    if expected is not None:
        halves = halves * expected
    peaks = integer_peaks(phat_weighted(crosses) if expected is None else halves, bins, size, reach)
    found: list[tuple[Delay | None, int]] = []
    for half, peak in zip(halves, peaks, strict=True):
        stands_out = peak.prominence >= MIN_PROMINENCE
        delay = None
        if stands_out or abs(peak.delay) <= EXPECTED_REACH:
            delay = subsample_delay(peak.sign * half, bins, size, peak.delay)
        if delay is None:
            found.append((None, 0))
        else:
            found.append((delay if stands_out or delay.certainty >= MIN_CERTAINTY else None, peak.sign))
    return found


def _response(pooled: Complex, dry_power: Real, wet_power: Real, bins: slice, size: int) -> Response:
    cross, power = (
        octave_smoothed(pooled, bins),
        octave_smoothed(dry_power, bins).real * octave_smoothed(wet_power, bins).real,
    )
    coherence = np.clip(np.abs(cross) ** 2 / (power + 1e-300), 0.0, 1.0)
    unit = cross / (np.abs(cross) + 1e-300)
    # Weighted by coherence alone: the music's own bass would let a filter's phase stand for a delay.
    weighted = np.asarray(unit * coherence)
    delay = subsample_delay(weighted, bins, size, first_peak(weighted, bins, size, 64)).delay
    omega = 2.0 * np.pi * np.arange(bins.start, bins.stop) / size
    turned = pooled * np.exp(1j * omega * delay)
    gain = max(abs(float(turned.real.sum())) / float(dry_power.sum()), 1e-9)
    phase = np.asarray(unit * np.exp(1j * omega * delay))
    weight = coherence / (1.01 - coherence) / (power**0.25 + 1e-300)
    return Response(phase, weight / weight.max(), delay, amp_to_db(gain))


def inliers(measured: LagTrack) -> npt.NDArray[np.bool_]:
    """The windows that stand out and lie within half a sample of the line."""
    return np.asarray((measured.weight > 0) & (np.abs(measured.residual) < INLIER_SAMPLES) & (measured.sign > 0))
