"""Modulation: a chorus, flanger, phaser, vibrato or tremolo that was left on.

An oscillator at a constant rate modulates gain or delay. The products of wet and predicted spectra then contain lines
at multiples of that rate, in every bin (cyclostationarity; Gardner 1991), whatever the programme is. Errors of the
device model follow the programme, and have the lines that another distortion of it has, if its notes repeat.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import median_filter, uniform_filter1d

from twinlib.diagnosis.observations import Observations, limit_outliers, standardise
from twinlib.diagnosis.spectra import Complex, Grid, Real
from twinlib.estimation import mad_sigma
from twinlib.resampling import TimeMap

SPAN_WINDOWS = 2048
"""Windows of one spectrum of the modulation, 95 s; those of longer takes are averaged."""

RATES_HZ = (0.15, 9.0)
"""Range of the rates of modulation."""

HARMONICS = 4
"""Multiples of the rate whose lines are summed."""

MIN_CYCLES = 3.0
"""Minimum number of periods in a take."""

MIN_LINES = 1.35
"""Sum of the lines of the products, relative to the mean of the noise, from which something modulates the delay."""

CONTROL_FACTOR = 1.5
"""Multiple of the lines of the programme itself that is subtracted: another distortion may have larger ones."""

FUNDAMENTAL_SHARE = 0.6
"""Mean height of the lines between the multiples of a rate, relative to theirs, from which it is itself a multiple."""

NEGLIGIBLE_ERROR = 0.02
"""Error of the prediction relative to the wet signal, below which lines count less: 17 dB below the signal."""

MIN_GAIN_LINE = 14.0
"""Power of the line of the gain, relative to the noise around it, from which something modulates the gain."""

SECTION_GAIN_LINE = 20.0
"""Increase of `MIN_GAIN_LINE` with the sectioning of the programme."""

MIN_GAIN_SHARE, MIN_SHARE_CYCLES = 0.35, 8.0
"""Share of the variance of the gain that one line has, and periods in the take, from which it is a tremolo whatever the
programme is: a strong line in a take with rests raises the noise around itself. The largest share was 0.09 in 16
held-out pairs of 24 s through unchanged devices of eight kinds, and 0.42 to 0.98 in 16 with a tremolo of 30 %."""

MIN_DEPTH = 0.012
"""Smallest depth of a tremolo: the amplitude of the relative gain."""

MIN_SPEED = 4e-3
"""Smallest change of speed of a vibrato; a tape machine in order stays within 2e-3."""

MIN_VIBRATO_SHARE = 0.4
"""Share of the variance of the clock that the oscillation of a vibrato has."""

COMMON_BINS = 33
"""Neighbouring bins, 360 Hz, whose common error is no modulation of the delay."""

LINE_BINS = 3
"""Half width of a line in bins, of which there are two for each period of the take."""

PROGRAMME_LINE = 12.0
"""Power of a line of the dry level over that around it, from which it is a tempo."""

NOISE_REACH_HZ = 0.5
"""Half width of the neighbourhood of a line whose median is the noise."""

_MEDIAN_RATIO = 1.0 / float(np.log(2.0))
"""Mean of exponentially distributed powers relative to their median."""


@dataclass(frozen=True)
class Modulation:
    """A modulation of `rate_hz`, of the gain with an amplitude `depth`, or of the delay (`depth` 0).

    `share` is that of its line in the variance of the gain.
    """

    rate_hz: float
    depth: float
    statistic: float
    share: float = 0.0

    @property
    def is_evident(self) -> bool:
        """Whether it is most of what the gain varies."""
        return self.share > MIN_GAIN_SHARE


class ProductSpectra:
    """Spectra over time of the phases of the products of wet and predicted spectra, averaged over bins and spans."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._rows: list[Complex] = []
        self._count = 0
        self._sum: Real | None = None
        self._spans = 0

    def add(self, error: Complex, predicted: Complex, audible: Real) -> None:
        """Add windows, in order: the error of the prediction, the prediction, and which windows are audible."""
        product = error * predicted.conj()
        product /= np.abs(product) + np.float32(1e-20)
        # An error common to neighbouring bins, as at the joins of clips, may be periodic; an effect's delay turns every
        # bin by its own phase.
        product -= uniform_filter1d(product, COMMON_BINS, axis=1, mode="nearest")
        product *= audible.astype(np.float32)[:, None]
        self._rows.append(product)
        self._count += len(product)
        while self._count >= SPAN_WINDOWS:
            rows = np.concatenate(self._rows)
            self._transform(rows[:SPAN_WINDOWS])
            self._rows, self._count = [rows[SPAN_WINDOWS:]], self._count - SPAN_WINDOWS

    def spectrum(self) -> tuple[Real, Real] | None:
        """Return rates in Hz and the mean power of each, 1 for noise; None for a take that is too short."""
        if self._sum is None and self._count:
            self._transform(np.concatenate(self._rows))
        if self._sum is None:
            return None
        count = len(self._sum)
        power = self._sum / self._spans
        rates = np.arange(count // 2) / (count * self._grid.hop_seconds)
        return rates, 0.5 * (power[: count // 2] + np.roll(power[::-1], 1)[: count // 2])

    def _transform(self, rows: Complex) -> None:
        present = np.abs(rows)
        count = present.sum(axis=0) + 1e-9
        centred = rows - present * (rows.sum(axis=0) / count)
        size = SPAN_WINDOWS if self._spans else len(rows)
        # Twice the length: a line between two bins keeps its power.
        size = 1 << int(np.ceil(np.log2(2 * max(size, len(rows)))))
        power = np.square(np.abs(scipy.fft.fft(centred, size, axis=0))) / count
        mean = power.mean(axis=1, dtype=np.float64)
        self._sum = mean if self._sum is None else self._sum + mean
        self._spans += 1


def programme_rates(dry_level: Real, hop_seconds: float) -> Real:
    """Return the rates at which the level of the dry signal has lines: its tempo, or the spacing of slices.

    `dry_level` is that of all windows: those excluded for the mutes of a tremolo have lines at its rate.
    """
    level = np.log(dry_level + 1e-2)
    size = 1 << int(np.ceil(np.log2(2 * max(len(level), 2))))
    power = np.square(np.abs(np.fft.rfft(level - level.mean(), size)))
    rates = np.arange(len(power)) / (size * hop_seconds)
    return np.asarray(rates[power > PROGRAMME_LINE * (_noise(rates, power) + 1e-20)])


def find_delay_modulation(
    products: ProductSpectra, control: ProductSpectra, error: float, seconds: float, tempo: Real
) -> Modulation | None:
    """Return the modulation whose lines stand out of the spectra of the products, None if there is none.

    `control` are the products of a distortion of the dry signal, whose lines are those of the programme: of repeated
    notes. `error` is the energy of the error of the prediction relative to the wet signal. Lines at the rates `tempo`
    of the programme do not count.
    """
    found, known = products.spectrum(), control.spectrum()
    if found is None or known is None:
        return None
    rates = found[0]
    candidates = _candidates(rates, seconds)
    if not len(candidates):
        return None
    hidden = _near(rates, tempo, seconds)
    lines = [np.clip(np.where(hidden, 0.0, power - _noise(rates, power)), 0.0, 4.0) for _, power in (found, known)]
    combs = [_comb(each, candidates) for each in lines]
    total = combs[0] - CONTROL_FACTOR * combs[1]
    top = int(total.argmax())
    statistic = float(total[top]) * min(1.0, error / NEGLIGIBLE_ERROR)
    if statistic < MIN_LINES:
        return None
    place = _fundamental(lines[0] - CONTROL_FACTOR * lines[1], hidden, candidates, top)
    return Modulation(float(rates[place]), 0.0, statistic)


def _fundamental(lines: Real, hidden: npt.NDArray[np.bool_], candidates: npt.NDArray[np.int64], top: int) -> int:
    """Return the place of the rate whose multiple the candidate `top` is, or that of `top` itself.

    Where a tempo hides the lowest lines of a modulation, the comb of twice its rate has more lines. Of the true rate,
    the multiples between them are lines, too.
    """
    found = int(candidates[top])
    for divisor in range(HARMONICS, 1, -1):
        multiples = np.arange(1, divisor * HARMONICS + 1)
        places = np.round(found / divisor * multiples).astype(np.int64)
        known = (places < len(lines) - 1) & ~hidden[np.minimum(places, len(lines) - 1)]
        multiples, places = multiples[known], places[known]
        heights = np.max([lines[places + offset] for offset in (-1, 0, 1)], axis=0)
        own = multiples % divisor == 0
        is_rate = found >= divisor * candidates[0] and own.any() and not own.all()
        if is_rate and heights[~own].mean() > FUNDAMENTAL_SHARE * heights[own].mean():
            return round(found / divisor)
    return found


def find_gain_modulation(
    observations: Observations, hop_seconds: float, sectioning: float, tempo: Real
) -> Modulation | None:
    """Return the modulation of the gain over all bands at no rate of the programme, None if there is none."""
    audible = observations.audible
    inside = audible > 0
    if inside.sum() < 32:
        return None
    conditions = standardise(observations.conditions(hop_seconds))
    regressors = np.column_stack((np.ones(len(audible)), conditions))
    energy = observations.weight[-1]
    weight = audible * energy / (energy + np.median(energy[inside]))
    threshold = MIN_GAIN_LINE + SECTION_GAIN_LINE * sectioning
    best: Modulation | None = None
    for series in (observations.gain[-1], observations.energy[-1]):
        found = _clearest_line(_unexplained(series, weight, regressors), weight, hop_seconds, tempo, threshold)
        if found is not None and found.depth > MIN_DEPTH and (best is None or found.statistic > best.statistic):
            best = found
    return best


def find_vibrato(time_map: TimeMap, start: int, stop: int, rate: int) -> Modulation | None:
    """Return an oscillation of the clock too large and too regular for a tape machine, None if there is none."""
    spacing = rate // 40
    positions = np.arange(start, stop, spacing, dtype=np.float64)
    if len(positions) < 64 or all(len(piece.positions) < 3 for piece in time_map.pieces):
        return None
    lags = time_map.lags(positions)
    design = np.column_stack((np.ones(len(positions)), positions - positions.mean()))
    rest = lags - design @ np.linalg.lstsq(design, lags, rcond=None)[0]
    size = 1 << int(np.ceil(np.log2(4 * len(rest))))
    spectrum = np.abs(np.fft.rfft(rest * np.hanning(len(rest)), size)) / (0.5 * len(rest))
    rates = np.arange(len(spectrum), dtype=np.float64) * (rate / spacing / size)
    candidates = _candidates(rates, len(rest) * spacing / rate)
    if not len(candidates):
        return None
    top = int(candidates[spectrum[candidates].argmax()])
    amplitude, hertz = 2.0 * float(spectrum[top]), float(rates[top])
    is_regular = 0.5 * amplitude**2 > MIN_VIBRATO_SHARE * float(rest.var())
    speed = 2.0 * np.pi * hertz * amplitude / rate
    return Modulation(hertz, speed, speed / MIN_SPEED) if is_regular and speed > MIN_SPEED else None


def _near(rates: Real, tempo: Real, seconds: float) -> npt.NDArray[np.bool_]:
    """Return which rates are within one and a half periods in the take of one of the programme."""
    if not len(tempo):
        return np.zeros(len(rates), np.bool_)
    place = np.searchsorted(tempo, rates)
    below, above = tempo[np.maximum(place - 1, 0)], tempo[np.minimum(place, len(tempo) - 1)]
    return np.asarray(np.minimum(np.abs(rates - below), np.abs(rates - above)) < 1.5 / seconds)


def _comb(lines: Real, candidates: npt.NDArray[np.int64]) -> Real:
    """Return the sum of the lines at the first multiples of each candidate."""
    total = np.zeros(len(candidates))
    for harmonic in range(1, HARMONICS + 1):
        # The rate is known to half a bin, and its multiples less well.
        reach = harmonic // 2
        places = [np.clip(candidates * harmonic + offset, 0, len(lines) - 1) for offset in range(-reach, reach + 1)]
        best = np.max([lines[place] for place in places], axis=0)
        total += np.where(candidates * harmonic < len(lines), best, 0.0)
    return total


def _candidates(rates: Real, seconds: float) -> npt.NDArray[np.int64]:
    low = max(RATES_HZ[0], MIN_CYCLES / max(seconds, 1e-9))
    return np.flatnonzero((rates >= low) & (rates <= RATES_HZ[1]))


def _noise(rates: Real, power: Real, factor: float = 1.0) -> Real:
    """Return the power without a line at each rate: the median around it times a factor, or the slope it is on.

    A step of the device has the largest power at the lowest rates, but no lines.
    """
    size = 2 * round(NOISE_REACH_HZ / float(rates[1])) + 1
    around = factor * median_filter(power, size=size, mode="reflect")
    padded = np.pad(power, LINE_BINS, mode="edge")
    return np.asarray(np.maximum(around, np.maximum(padded[: -2 * LINE_BINS], padded[2 * LINE_BINS :])))


def _unexplained(series: Real, weight: Real, regressors: Real) -> Real:
    """Return the part of a series that the conditions do not explain, by robust weighted least squares."""
    inside = weight > 0
    limited = limit_outliers(series, inside)
    rest, robust = limited, np.ones(len(series))
    for _ in range(2):
        weighted = regressors * (weight * robust)[:, None]
        gram = weighted.T @ regressors + 1e-6 * len(series) * np.eye(regressors.shape[1])
        rest = limited - regressors @ np.linalg.solve(gram, weighted.T @ limited)
        scale = mad_sigma(rest[inside]) + 1e-12
        robust = 1.0 / np.maximum(1.0, np.abs(rest) / (2.0 * scale))
    return np.asarray(rest * robust)


def _clearest_line(series: Real, weight: Real, hop_seconds: float, tempo: Real, threshold: float) -> Modulation | None:
    """Return the line of a series above a `threshold` over the noise around it, or with most of the variance."""
    size = 1 << int(np.ceil(np.log2(2 * len(series))))
    seconds = len(series) * hop_seconds
    amplitude = np.abs(np.fft.rfft(weight * series, size))
    rates = np.arange(len(amplitude)) / (size * hop_seconds)
    power = np.square(amplitude)
    ratio = power / (_noise(rates, power, _MEDIAN_RATIO) + 1e-20)
    share = 2.0 * power / (weight.sum() * (weight @ np.square(series)) + 1e-20)
    clear = (ratio > threshold) | ((share > MIN_GAIN_SHARE) & (rates * seconds > MIN_SHARE_CYCLES))
    candidates = _candidates(rates, seconds)
    candidates = candidates[(clear & ~_near(rates, tempo, seconds))[candidates]]
    if not len(candidates):
        return None
    top = int(candidates[ratio[candidates].argmax()])
    depth = 2.0 * amplitude[top] / weight.sum()
    return Modulation(float(rates[top]), float(depth), float(ratio[top]), float(share[top]))
