"""The lag track: the residual lag of each window of the programme after warping by the current clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.db import amp_to_db, power_to_db
from twinlib.estimation import (
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
from twinlib.intervals import Range, merge_ranges
from twinlib.resampling import MEASURE_BAND, MEASURE_KERNEL, WARP_KERNEL, Channel, TimeMap, interpolate

INLIER_SAMPLES = 0.5
"""A window is an inlier within this distance of the clock."""

MAX_FIRST_RESIDUAL, MAX_RESIDUAL = 8.0, 2.0
"""Maximum distance from the clock, in samples, of windows for the response of the device: initially, and later."""

DISPLACED_SAMPLES = 16.0
"""Distance from the clock, in samples, of a window displaced by two cancelling steps: no device delays that much."""

MIN_SHORT_WEIGHT = 100.0
"""Inverse variance (0.1 samples rms) from which a short window can show a step; windows of few tones have less."""

LAG_FLOOR = 0.003
"""Samples rms: the limit of any window's precision, set by a device's programme-dependent delay."""

MIN_LEVEL_DB = -60.0
"""Windows with less band-limited rms in the dry signal (dB of full scale) are skipped."""

MIN_PROMINENCE = 7.0
"""Correlation peak over the noise of its correlation from which a window's delay is detected."""

MIN_CERTAINTY = 4.0
"""Below that prominence, agreement of the bins over that of chance from which a delay near 0 is detected."""

EXPECTED_REACH = 4
"""Range of `MIN_CERTAINTY`, in samples around 0."""

MAX_WINDOWS = 480
"""Windows of a take of any length: enough for a line or a slow curve, at constant work."""

BATCH = 4
"""Windows transformed together, in a third of the time of single transforms."""

FAINT_DB = 20.0
"""A window this far below the median level may be masked by noise, so that a missing delay does not count."""

CENTROID_PARTS = 512
"""Parts of a window from whose energies its centroid is computed."""


@dataclass(frozen=True)
class WindowPlan:
    """Window starts on the dry clock and the window size, a power of two."""

    starts: npt.NDArray[np.int64]
    size: int

    @property
    def span(self) -> Range:
        """The dry range from the first to the last window."""
        return int(self.starts[0]), int(self.starts[-1]) + self.size


@dataclass(frozen=True)
class LagTrack:
    """The windows with signal: energy centroid on the dry clock, residual lag, inverse variance, sign, level.

    `weight` is 0 where no delay was detected; `level_db` is the level of the dry signal.
    """

    position: Real
    residual: Real
    weight: Real
    sign: Real
    level_db: Real

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """Mask of the windows with a detected delay."""
        return np.asarray(self.weight > 0)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Mask of the windows with a detected delay and the right polarity."""
        return np.asarray(self.detected & (self.sign > 0))

    def select(self, windows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "LagTrack":
        """Return the track of some windows, by mask or number."""
        return LagTrack(*(getattr(self, column.name)[windows] for column in fields(self)))


@dataclass(frozen=True)
class Response:
    """The device's mean response: in-band unit phasors without their delay, the delay, and the in-band gain.

    `weight` is the weight of each bin of a half-whitened cross-spectrum: it grows with coherence and does not depend on
    the programme's level (Hannan & Thomson 1973).
    """

    phase: Complex
    weight: Real
    delay: float
    gain_db: float


def plan_windows(start: int, stop: int, sample_rate: int) -> WindowPlan:
    """Plan windows of about 0.74 s over [start, stop), every 0.37 s or more; shorter windows for short signals."""
    frames = stop - start
    size = 1 << int(np.log2(0.75 * sample_rate))
    while size > 2048 and frames < 8 * size:
        size //= 2
    hop = max(size // 2, frames // MAX_WINDOWS)
    return WindowPlan(np.arange(start, max(start, stop - size) + 1, hop, dtype=np.int64), size)


def plan_dense_windows(start: int, stop: int, size: int) -> WindowPlan:
    """Plan windows of `size` samples over [start, stop) that overlap by half."""
    return WindowPlan(np.arange(start, max(start, stop - size) + 1, size // 2, dtype=np.int64), size)


def band_spectra(tapered: npt.NDArray[np.float32], bins: slice) -> Complex:
    """Return the in-band spectra of tapered windows `(windows, size)`, complex64 `(windows, bins)`."""
    return np.asarray(scipy.fft.rfft(tapered)[:, bins])


def band_level_db(spectrum: Complex, taper: npt.NDArray[np.float32]) -> float:
    """Return the in-band rms of a tapered window in dB of full scale."""
    return _level_db(np.square(np.abs(spectrum)), taper)


def _level_db(power: npt.NDArray[np.float32], taper: npt.NDArray[np.float32]) -> float:
    energy = 2.0 * _total(power) / len(taper) / float(np.square(taper).sum())
    return power_to_db(energy, 1e-30)


def _total(power: npt.NDArray[np.float32]) -> float:
    # Without BLAS, whose sums depend on the number of threads in the last bit.
    return float(power.sum(dtype=np.float64))


def energy_centroid(tapered: npt.NDArray[np.float32]) -> float:
    """Return the energy-weighted mean index of a tapered window, to which its delay refers."""
    size = max(1, len(tapered) // CENTROID_PARTS)
    parts = tapered.reshape(-1, size)
    energy = np.einsum("ij,ij->i", parts, parts).astype(np.float64)
    middles = np.arange(len(energy)) * size + 0.5 * (size - 1)
    return float((middles * energy).sum()) / (float(energy.sum()) + 1e-300)


def measure_lags(
    dry: Channel,
    wet: Channel,
    windows: WindowPlan,
    time_map: TimeMap,
    known: Response | None,
    polarity: int,
    excluded: Sequence[tuple[int, int]] = (),
    everything: bool = False,
    between_hz: tuple[float, float] = (LOW_HZ, HIGH_HZ),
) -> tuple[LagTrack, Response | None]:
    """Measure the residual lag of each window after warping the wet signal onto the dry clock by `time_map`.

    The `known` response of the device is removed, so that the programme does not modulate the lag, and bins are
    weighted by coherence. Also returns the response pooled over the windows near the clock, None without such windows.
    Skips windows that touch an excluded range or extend beyond the wet file; with `everything`, measures all
    windows and reads zeros beyond the file. Only frequencies `between_hz` are used.
    """
    # glibc returns freed memory unless a larger block was freed before. Fetching it anew for every batch would add a
    # sixth to the time.
    np.empty(1 << 22, np.uint8)
    size, (low_hz, high_hz) = windows.size, between_hz
    bins = band(size, dry.rate, min(high_hz, wet.max_hz), low_hz)
    taper = np.hanning(size).astype(np.float32)
    rows: list[tuple[float, float, float, float, float]] = []
    expected = None
    if known is not None:
        expected = (known.phase.conj() * known.weight).astype(np.complex64)
    pooled = np.zeros(bins.stop - bins.start, np.complex128)
    dry_power, wet_power = np.zeros(len(pooled)), np.zeros(len(pooled))

    kernel = MEASURE_KERNEL if MEASURE_BAND * wet.rate > HIGH_HZ else WARP_KERNEL

    def warped(start: int, stop: int) -> Signal:
        return interpolate(wet, time_map, start, stop, kernel)

    usable = windows.starts
    if not everything:
        first_wet, last_wet = (places + time_map.lags(places.astype(np.float64)) for places in (usable, usable + size))
        usable = usable[(first_wet >= wet.start) & (last_wet <= wet.stop)]
    for first, last in excluded:
        usable = usable[(usable >= last) | (usable + size <= first)]
    for batch in np.split(usable, range(BATCH, len(usable), BATCH)):
        tapered = read_windows(dry.read, batch.tolist(), size) * taper
        spectra = band_spectra(tapered, bins)
        powers = np.square(np.abs(spectra))
        levels = [_level_db(power, taper) for power in powers]
        loud = [number for number, level in enumerate(levels) if level >= MIN_LEVEL_DB]
        if not loud:
            continue
        spectra = spectra[loud]
        others = polarity * band_spectra(read_windows(warped, batch[loud].tolist(), size) * taper, bins)
        crosses = spectra.conj() * others
        found = estimate_delays(crosses, bins, size, min(4096, size // 4), expected)
        for number, other, cross, (delay, sign) in zip(loud, others, crosses, found, strict=True):
            position, level = int(batch[number]) + energy_centroid(tapered[number]), levels[number]
            if delay is None:
                rows.append((position, 0.0, 0.0, 0.0, level))
                continue
            rows.append((position, delay.delay, 1.0 / (1.0 / max(delay.weight, 1e-12) + LAG_FLOOR**2), sign, level))
            if abs(delay.delay) < (MAX_FIRST_RESIDUAL if known is None else MAX_RESIDUAL) and sign > 0:
                share = 1.0 / _total(powers[number])
                pooled += share * cross
                dry_power += share * powers[number]
                wet_power += share * np.abs(other) ** 2
    measured = LagTrack(*np.array(rows).reshape(-1, 5).T)
    return measured, _response(pooled, dry_power, wet_power, bins, size) if dry_power.any() else None


def read_windows(read: Callable[[int, int], Signal], starts: Sequence[int], size: int) -> Signal:
    """Read the windows of `size` samples at `starts`, `(windows, size)`; overlapping windows share their samples."""
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
    """Estimate the delay within +-`reach` samples and the sign of cross-spectra `(windows, bins)`; None if unclear.

    `expected`, from the device's response, multiplies the half-whitened spectra. Tones repeat every period, so that no
    single peak is prominent; a delay near 0 on which all bins agree is accepted too.
    """
    halves = phat_weighted(crosses, 0.5)
    if expected is not None:
        halves = halves * expected
    peaks = integer_peaks(phat_weighted(crosses) if expected is None else halves, bins, size, reach)
    found: list[tuple[Delay | None, int]] = []
    for half, peak in zip(halves, peaks, strict=True):
        prominent = peak.prominence >= MIN_PROMINENCE
        delay = None
        if prominent or abs(peak.delay) <= EXPECTED_REACH:
            delay = subsample_delay(peak.sign * half, bins, size, peak.delay)
        if delay is None:
            found.append((None, 0))
        else:
            found.append((delay if prominent or delay.certainty >= MIN_CERTAINTY else None, peak.sign))
    return found


def _response(pooled: Complex, dry_power: Real, wet_power: Real, bins: slice, size: int) -> Response:
    cross, power = (
        octave_smoothed(pooled, bins),
        octave_smoothed(dry_power, bins).real * octave_smoothed(wet_power, bins).real,
    )
    coherence = np.clip(np.abs(cross) ** 2 / (power + 1e-300), 0.0, 1.0)
    unit = cross / (np.abs(cross) + 1e-300)
    # Weighted by coherence alone: with the bass of the music, a filter's phase would act as a delay.
    weighted = np.asarray(unit * coherence)
    delay = subsample_delay(weighted, bins, size, first_peak(weighted, bins, size, 64)).delay
    omega = 2.0 * np.pi * np.arange(bins.start, bins.stop) / size
    aligned = pooled * np.exp(1j * omega * delay)
    gain = max(abs(float(aligned.real.sum())) / float(dry_power.sum()), 1e-9)
    phase = np.asarray(unit * np.exp(1j * omega * delay))
    weight = coherence / (1.01 - coherence) / (power**0.25 + 1e-300)
    return Response(phase, weight / weight.max(), delay, amp_to_db(gain))


def inliers(measured: LagTrack) -> npt.NDArray[np.bool_]:
    """Mask of the detected windows within half a sample of the clock."""
    return np.asarray(measured.valid & (np.abs(measured.residual) < INLIER_SAMPLES))


def counted(track: LagTrack) -> npt.NDArray[np.bool_]:
    """Return the mask of windows with a delay, or loud enough to have one."""
    if not len(track.level_db):
        return np.zeros(0, np.bool_)
    loud = track.level_db > float(np.median(track.level_db)) - FAINT_DB
    return np.asarray(track.detected | loud)


def inlier_share(track: LagTrack) -> float:
    """Return the share of the counted windows whose delay agrees with the clock."""
    counts = counted(track)
    return float(inliers(track)[counts].mean()) if counts.any() else 0.0
