"""Comparison of repeats of one excerpt: how much two recordings differ beyond their noise, and that noise.

Sums and differences of two repeats, rather than one as the reference of the other, keep the noise of the reference out
of the result. All functions take arrays and know nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.excitation import witness_steps

Array = npt.NDArray[np.float64]

FRAME_SECONDS = 0.046
"""Length of the frames of the spectra: short enough for tremolo, long enough for the combs of chorus."""

SETTLE_SECONDS = (0.15, 0.03)
"""Skipped start of the first step, which follows silence, and of the other steps."""

BLOCK_SECONDS = 0.25
"""Length of the blocks in which the remaining error of the clock is removed."""

BANDS_HZ = (40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 5120.0, 10240.0, 16000.0)
"""Edges of the bands of the features."""

MASKED_HZ = 1000.0
"""Hum has most of its energy below this frequency. If its phase is the same in two repeats, it is not in their
difference."""

BAND_SHARE = 0.4
"""Share of the sample rate up to which repeats are compared. Above it, the result of interpolation depends on the
fraction of the lag."""

MARGIN_SECONDS = 0.05
"""Silence before and after each repeat that is read with it, for the decay of the device."""

SILENCE_SECONDS = 0.2
"""Silence before each repeat from which the noise below `MASKED_HZ` is measured too."""

ONSET_SECONDS = 0.005
"""End of that silence that is left out: filters of converters ring before a sound too."""

DECAYED_RATIO = 0.8
"""Power of the second half of that silence relative to all of it, below which the first holds a decay."""

MIN_SNR, MIN_SNR_OF_HUM = 30.0, 30_000.0
"""Power of a bin relative to silence from which it counts: hum is as steady as the excerpt, but not of the device."""

MIN_CLEAR_SHARE = 0.5
"""Share of the energy of a step that these bins need: otherwise it is mostly noise, and is not compared."""

DISTORTION_RATIO = 4.0
"""Ratio of the energies that no filter predicts in two differences from which the larger one is no noise."""

HUM_COHERENCE = 0.4
"""Coherence of successive frames of silence from which a bin holds hum."""


@dataclass(frozen=True)
class Difference:
    """The difference of two repeats.

    `change` is its energy, by step, as far as a filter of the other repeat predicts it, relative to the energy of the
    repeats, `power`, and without noise; `error` is the standard error, and `rest` the energy that is not predicted.
    `flutter` is the variance of the gain within the steps, likewise without noise. `noise` is the noise power of one
    repeat and `low_noise` its share below `MASKED_HZ`.
    """

    change: Array
    error: Array
    rest: Array
    power: Array
    flutter: float
    noise: float
    low_noise: float

    def exceeds(self, change: float) -> npt.NDArray[np.bool_]:
        """Return the mask of steps that change by more than a share of their energy, and more than noise."""
        return np.asarray(self.change > np.maximum(change, 5.0 * self.error))

    def with_distortion(self, others: Sequence["Difference"]) -> "Difference":
        """Return the difference with the rest as a part of the change, where it is larger than in one of the others.

        The distortion of a fuzz that is driven harder differs, but hardly its levels. Noise does not depend on the
        level, or is proportional to it.
        """
        rests, powers = (np.array(values) for values in zip(*((each.rest, each.power) for each in others), strict=True))
        rests[powers == 0.0] = np.inf
        steady = np.min(rests * np.maximum(powers, 1e-30), axis=0) / np.maximum(self.power, 1e-30)
        usual = np.maximum(steady, rests.min(axis=0))
        return replace(
            self, change=self.change + np.where(self.rest > DISTORTION_RATIO * usual, self.rest - usual, 0.0)
        )

    @property
    def largest(self) -> float:
        """The largest change of a step that is above noise, as a share of the energy."""
        return float(np.max(np.where(self.change > 5.0 * self.error, self.change, 0.0)))


def measure_difference(first: Array, second: Array, required: Array, rate: int) -> Difference:
    """Compare two repeats; `required` (`required_power`) is the power of bins that count."""
    middle, difference = 0.5 * (first + second), _without_delay(first, second, rate)
    change, error, rest, powers, flutter, weight = [], [], [], [], 0.0, 0.0
    for part in _analysed_steps(rate):
        m, d = (_spectra(samples[part], rate) for samples in (middle, difference))
        power = np.square(np.abs(m))
        clear = power.mean(axis=0) > required
        if power[:, clear].sum() < MIN_CLEAR_SHARE * power.sum():
            clear[:] = False
        m, d, power = (np.where(clear, values, 0.0) for values in (m, d, power))
        total = power.sum(axis=0) + 1e-30
        gain = (d * m.conj()).sum(axis=0) / total
        noise = np.square(np.abs(d - gain * m)).sum(axis=0) / (len(m) - 1)
        change.append(float((np.square(np.abs(gain)) * total - noise).sum() / total.sum()))
        error.append(float(np.sqrt(np.square(noise).sum()) / total.sum()))
        rest.append(float(len(m) * noise.sum() / total.sum()))
        powers.append(float(power.sum()) / len(m))
        by_frame = power.sum(axis=1) + 1e-30
        gains = (d * m.conj()).real.sum(axis=1) / by_frame
        expected = 0.5 * (power * noise).sum(axis=1) / by_frame**2
        weights = by_frame / by_frame.mean()
        mean = float(np.average(gains, weights=weights))
        flutter += float((weights * (np.square(gains - mean) - expected)).sum())
        weight += len(gains) - 1
    noise_power, low = _noise_power(middle, difference, rate)
    by_step = [np.array(values) for values in (change, error, rest, powers)]
    return Difference(by_step[0], by_step[1], by_step[2], by_step[3], flutter / weight, noise_power, low)


@dataclass(frozen=True)
class Unexplained:
    """Energy of a signal, and what one gain and what one filter of another signal leave of it.

    All are relative to the energy of a reference, as means over the steps, so that soft steps count as loud ones.
    """

    total: float
    gain: float
    filter: float


def explain_change(before: Array, after: Array, required: Array, rate: int) -> Unexplained | None:
    """Explain the difference of two repeats by their mean; None if all steps are mostly noise.

    After another level, a gain leaves noise, and after another tone, a filter. After another drive, the steps differ
    in gain.
    """
    middle = 0.5 * (before + after)
    return _explain(middle, _without_delay(before, after, rate), middle, required, rate)


def explain_device(dry: Array, repeat: Array, required: Array, rate: int) -> Unexplained | None:
    """Explain a repeat by the dry signal: what a filter leaves is distortion and noise."""
    return _explain(dry, repeat, repeat, required, rate)


def _explain(inputs: Array, outputs: Array, reference: Array, required: Array, rate: int) -> Unexplained | None:
    x, y = [], []
    for part in _analysed_steps(rate):
        a, b, c = (_spectra(samples[part], rate) for samples in (inputs, outputs, reference))
        power = np.square(np.abs(c))
        clear = power.mean(axis=0) > required
        energy = power[:, clear].sum()
        if energy > MIN_CLEAR_SHARE * power.sum():
            x.append(np.where(clear, a, 0.0) / np.sqrt(energy))
            y.append(np.where(clear, b, 0.0) / np.sqrt(energy))
    if not x:
        return None
    both, power = np.concatenate(y) * np.concatenate(x).conj(), np.square(np.abs(np.concatenate(x)))
    total = float(np.square(np.abs(np.concatenate(y))).sum())
    by_gain = float(np.square(both.real.sum()) / (power.sum() + 1e-30))
    by_filter = float((np.square(np.abs(both.sum(axis=0))) / (power.sum(axis=0) + 1e-30)).sum())
    return Unexplained(*((total - part) / len(x) for part in (0.0, by_gain, by_filter)))


def mean_inverse_power(repeat: Array, rate: int) -> float:
    """Return the mean over the steps of the inverse of their power."""
    return float(np.mean([1.0 / (np.mean(np.square(repeat[part])) + 1e-30) for part in _analysed_steps(rate)]))


def measure_levels(repeat: Array, rate: int) -> Array:
    """Return the power of a repeat in dB of full scale by step and band of `BANDS_HZ`, `(steps, bands)`."""
    return 10.0 * np.log10(np.array([_band_powers(repeat[part], rate) for part in _analysed_steps(rate)]) + 1e-30)


def required_power(silence: Array, rate: int) -> Array:
    """Return the power by bin from which a bin of a frame counts, given silence `(repeats, samples)`."""
    frames = np.array([_spectra(part, rate) for part in silence])
    power = np.square(np.abs(frames)).mean(axis=(0, 1))
    # Two frames apart, so that they do not overlap.
    steady = np.abs((frames[:, 2:] * frames[:, :-2].conj()).mean(axis=1)).mean(axis=0)
    snr = np.where(steady > HUM_COHERENCE * power, MIN_SNR_OF_HUM, MIN_SNR)
    return np.asarray(snr * power + 1e-20)


def limit_band(repeat: Array, max_hz: float, rate: int) -> Array:
    """Return repeats `(..., samples)` without frequencies above a limit."""
    spectrum = fft.rfft(repeat)
    spectrum[..., round(max_hz * repeat.shape[-1] / rate) :] = 0.0
    return np.asarray(fft.irfft(spectrum, repeat.shape[-1]))


@dataclass(frozen=True)
class Silence:
    """The noise power of silence: in all, by band of `BANDS_HZ`, below `MASKED_HZ`, and above `max_hz`."""

    power: float
    bands: Array
    low: float
    high: float


def measure_silence(silence: Array, max_hz: float, rate: int) -> Silence:
    """Measure the noise of silence `(repeats, samples)`, or that of its second half if a decay ends in the first."""
    whole, later = (_without_line(silence[:, first:]) for first in (0, silence.shape[1] // 2))
    steady = later if np.mean(np.square(later)) < DECAYED_RATIO * np.mean(np.square(whole)) else whole
    bands = np.mean([_band_powers(part, rate) for part in steady], axis=0)
    power = float(np.mean(np.square(steady)))
    low, below = (float(np.mean([_power_below(part, hertz, rate) for part in steady])) for hertz in (MASKED_HZ, max_hz))
    return Silence(power, bands, low, max(0.0, power - below))


def measure_linearity(dry: Array, repeat: Array, noise: float, rate: int) -> float:
    """Return the energy of a repeat that one gain and delay of the dry signal do not explain.

    It is without noise, whose power is `noise`, and relative to the energy of each step that is louder than noise. A
    bypass may delay more or less than the device, to which the take is aligned.
    """
    reach = round(MARGIN_SECONDS * rate / 2)
    correlation = fft.irfft(fft.rfft(repeat) * fft.rfft(dry).conj(), len(dry))
    delay = int(np.argmax(np.abs(np.roll(correlation, reach)[: 2 * reach]))) - reach
    delayed = np.roll(dry, delay)
    basis = np.stack([_derivative(delayed, order) for order in range(3)])
    powers = [(part, float(np.mean(np.square(repeat[part])))) for part in _analysed_steps(rate)]
    loudest = max(power for _, power in powers)
    heard = [(part, power) for part, power in powers if power > min(MIN_SNR * noise, 0.5 * loudest)]
    scales = [1.0 / np.sqrt(power * (part.stop - part.start) + 1e-30) for part, power in heard]
    both = np.concatenate(
        [s * np.vstack((basis, repeat))[:, part] for s, (part, _) in zip(scales, heard, strict=True)], 1
    )
    left = float(np.square(_residual(both[:3], both[3])).sum())
    return (left - sum(noise / (power + 1e-30) for _, power in heard)) / len(heard)


@cache
def _analysed_steps(rate: int) -> tuple[slice, ...]:
    """Return the samples of each step in which the device has settled."""
    steps, margin = witness_steps(rate), round(MARGIN_SECONDS * rate)
    skips = [margin + round(seconds * rate) for seconds in (SETTLE_SECONDS[0], *[SETTLE_SECONDS[1]] * len(steps[1:]))]
    return tuple(slice(step.start + skip, step.stop + margin) for step, skip in zip(steps, skips, strict=True))


def _hann(count: int) -> Array:
    """Return the periodic window; `scipy.signal` would take longer to import than a take to diagnose."""
    return np.asarray(np.hanning(count + 1)[:-1])


def _without_line(rows: Array) -> Array:
    """Return rows without their mean and slope."""
    ramp = np.linspace(-1.0, 1.0, rows.shape[1])
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred - np.outer(centred @ ramp / (ramp @ ramp), ramp))


def _spectra(samples: Array, rate: int) -> npt.NDArray[np.complex128]:
    """Return spectra of frames that overlap by half, `(frames, bins)`."""
    size = 2 * round(FRAME_SECONDS * rate / 2)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    return np.asarray(fft.rfft(frames * _hann(size), axis=1))


def _without_delay(first: Array, second: Array, rate: int) -> Array:
    """Return `second - first` without the part due to a delay and a drift between them, block by block."""
    # The difference is antisymmetric in the delay, so that even derivatives have no part in it.
    middle, out = 0.5 * (first + second), second - first
    slope, third = _derivative(middle, 1), _derivative(middle, 3)
    for block in _blocks(len(first), rate):
        ramp = np.linspace(-1.0, 1.0, block.stop - block.start)
        out[block] = _residual(np.stack([slope[block], ramp * slope[block], third[block]]), out[block])
    return out


def _noise_power(middle: Array, difference: Array, rate: int) -> tuple[float, float]:
    """Return the noise power of one repeat, in all and below `MASKED_HZ`, without changes of gain."""
    left = difference.copy()
    for block in _blocks(len(left), rate):
        local = middle[block]
        left[block] = _residual(np.stack([local, np.linspace(-1.0, 1.0, len(local)) * local]), left[block])
    return 0.5 * float(np.mean(np.square(left))), 0.5 * _power_below(left, MASKED_HZ, rate)


def _blocks(frames: int, rate: int) -> list[slice]:
    count = round(frames / (BLOCK_SECONDS * rate))
    edges = np.linspace(0, frames, count + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _residual(basis: Array, target: Array) -> Array:
    """Return what a least-squares combination of the rows of `basis` leaves of `target`."""
    weights = np.linalg.lstsq(basis @ basis.T, basis @ target, rcond=None)[0]
    return np.asarray(target - weights @ basis)


def _derivative(samples: Array, order: int) -> Array:
    """Return a derivative by time in samples."""
    spectrum = fft.rfft(samples)
    factor = (2j * np.pi * np.arange(len(spectrum)) / len(samples)) ** order
    return np.asarray(fft.irfft(factor * spectrum, len(samples)))


def _band_powers(samples: Array, rate: int) -> Array:
    window = _hann(len(samples))
    power = 2.0 * np.square(np.abs(fft.rfft(samples * window))) / (np.square(window).sum() * len(samples))
    hertz = np.arange(len(power)) * rate / len(samples)
    edges = np.searchsorted(hertz, [edge for edge in BANDS_HZ if edge < 0.45 * rate])
    return np.asarray(np.add.reduceat(power, edges)[:-1])


def _power_below(samples: Array, hertz: float, rate: int) -> float:
    window = _hann(len(samples))
    power = 2.0 * np.square(np.abs(fft.rfft(samples * window))) / (np.square(window).sum() * len(samples))
    return float(power[: round(hertz * len(samples) / rate)].sum())
