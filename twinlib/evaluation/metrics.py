"""Errors of a prediction against the device, pooled over all evaluated audio.

Pooled means sums of error energy over sums of signal energy of the whole split. In a mean of ratios of short pieces,
the quietest pieces would dominate.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft
from scipy.signal.windows import hann

from twinlib.audio import Signal
from twinlib.db import MIN_ESR, amp_to_db, power_to_db
from twinlib.errors import DatasetError, ModelError
from twinlib.evaluation.loudness import LoudnessMeter, TruePeakMeter, max_loudness_difference

RESOLUTIONS = (512, 1024, 2048)
"""The window lengths in samples of the multi-resolution STFT distance."""

POWER_FLOOR = 1e-7
"""The floor of STFT bin powers, about the noise of 16 bits; without a floor, silence would dominate the mean."""

MEL_WINDOW = 2048
"""The window length in samples of the log-mel distance, one of `RESOLUTIONS`."""

MEL_BANDS = 64
"""The number of bands of the log-mel distance."""

Metrics = dict[str, float | None]
"""Metrics by name; None if a metric is undefined, such as the loudness of less than 400 ms."""


def round_metric(value: float | None) -> float | None:
    """Round to nine significant digits; further digits depend on the order of summation."""
    return None if value is None else float(f"{value:.9g}")


def mel_filter_bank(length: int, sample_rate: int, bands: int = MEL_BANDS) -> Signal:
    """Return triangular power weights of STFT bins, float32 `(length / 2 + 1, bands)`.

    The centres are equidistant from 0 Hz to half the sample rate on the mel scale 2595 log10(1 + f / 700)
    (O'Shaughnessy 1987). Each triangle has height 1 and extends to the centres of its neighbours.
    """
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    mels = 2595 * np.log10(1 + np.arange(length // 2 + 1) * (sample_rate / length) / 700)
    centres = np.arange(1, bands + 1)
    heights = 1 - np.abs(mels[:, None] / top * (bands + 1) - centres)
    weights: Signal = np.maximum(heights, 0.0).astype(np.float32)
    return weights


class Framer:
    """Overlapping complete frames of a signal in blocks; the frames are independent of the block size."""

    def __init__(self, length: int, hop: int) -> None:
        self._length, self._hop = length, hop
        self._rest = np.zeros(0, np.float32)

    def start(self) -> None:
        """Start a new span: discard buffered samples."""
        self._rest = np.zeros(0, np.float32)

    def frames(self, samples: Signal) -> Signal:
        """Return the frames `(count, length)` that end within the next samples `(frames,)`."""
        joined = np.concatenate([self._rest, samples])
        if len(joined) < self._length:
            self._rest = joined
            return np.zeros((0, self._length), np.float32)
        frames = sliding_window_view(joined, self._length)[:: self._hop]
        self._rest = joined[len(frames) * self._hop :]
        return frames


def hann_window(length: int) -> Signal:
    """Return the periodic Hann window, float32 `(length,)`."""
    window: Signal = hann(length, sym=False).astype(np.float32)
    return window


@dataclass
class _StftDistance:
    """Spectral convergence plus log-magnitude distance at one resolution (Yamamoto et al. 2020, arXiv 1910.11480).

    With mel weights `bands` `(length / 2 + 1, count)` also the distance of the band levels in dB.

    Differences from `auraloss.freq.STFTLoss`: sums run over all evaluated audio instead of one batch; the window fills
    the whole FFT, with a hop of a quarter; frames are complete, without padding; the power floor is `POWER_FLOOR`
    instead of 1e-8.
    """

    length: int
    bands: Signal | None = None
    difference: float = 0.0
    energy: float = 0.0
    log_distance: float = 0.0
    bins: int = 0
    band_distance: float = 0.0
    band_count: int = 0
    framers: tuple[Framer, Framer] = field(init=False)
    window: Signal = field(init=False)

    def __post_init__(self) -> None:
        self.framers = (Framer(self.length, self.length // 4), Framer(self.length, self.length // 4))
        self.window = hann_window(self.length)

    def _magnitudes(self, framer: Framer, samples: Signal) -> Signal:
        spectrum = fft.rfft(framer.frames(samples) * self.window, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        magnitudes: Signal = np.sqrt(np.maximum(power, np.float32(POWER_FLOOR)))
        return magnitudes

    def add(self, wet: Signal, predicted: Signal) -> None:
        device, twin = (
            self._magnitudes(framer, samples) for framer, samples in zip(self.framers, (wet, predicted), strict=True)
        )
        if not device.size:
            return
        self.difference += _energy(device - twin)
        self.energy += _energy(device)
        self.log_distance += float(np.sum(np.abs(np.log(device) - np.log(twin)), dtype=np.float64))
        self.bins += device.size
        if self.bands is not None:
            levels = [
                np.log10(np.maximum(np.square(magnitudes) @ self.bands, POWER_FLOOR)) for magnitudes in (device, twin)
            ]
            self.band_distance += 10 * float(np.sum(np.abs(levels[0] - levels[1]), dtype=np.float64))
            self.band_count += levels[0].size

    def distance(self) -> float | None:
        return math.sqrt(self.difference / self.energy) + self.log_distance / self.bins if self.bins else None


class ErrorAccumulator:
    """The errors of a prediction against the device, both in blocks of any size.

    Call `start` before each span, then `add` in order, then `result`.
    """

    def __init__(self, sample_rate: int, preemphasis: float = 0.85) -> None:
        self._sample_rate, self._preemphasis = sample_rate, preemphasis
        self._count = 0
        self._wet_energy = self._error_energy = 0.0
        self._pre_wet_energy = self._pre_error_energy = 0.0
        self._wet_sum = self._error_sum = self._error_magnitude = 0.0
        self._last: tuple[float, float] | None = None
        self._predicted_energy = 0.0
        self._mel = _StftDistance(MEL_WINDOW, mel_filter_bank(MEL_WINDOW, sample_rate))
        self._stfts = [self._mel if length == MEL_WINDOW else _StftDistance(length) for length in RESOLUTIONS]
        self._loudness = (LoudnessMeter(sample_rate), LoudnessMeter(sample_rate))
        self._peaks = (TruePeakMeter(), TruePeakMeter())

    def start(self) -> None:
        """Start a new span: filters and frames do not cross its border."""
        self._last = None
        for stft in self._stfts:
            for framer in stft.framers:
                framer.start()
        for peak in self._peaks:
            peak.start()

    def add(self, wet: Signal, predicted: Signal) -> None:
        """Add the next samples `(frames,)` float32 of the device and of the prediction.

        Raises `DatasetError` if the shapes differ or the wet signal is not finite, `ModelError` if the prediction is
        not finite.
        """
        if wet.shape != predicted.shape or wet.ndim != 1:
            raise DatasetError(
                f"the wet signal has shape {wet.shape}, its prediction {predicted.shape}: pass equal, mono ones"
            )
        if not np.isfinite(predicted).all():
            seconds = (self._count + int(np.argmin(np.isfinite(predicted)))) / self._sample_rate
            raise ModelError(
                f"the twin's output is NaN or infinite {seconds:.2f} s into the evaluation: train it again"
            )
        if not np.isfinite(wet).all():
            seconds = (self._count + int(np.argmin(np.isfinite(wet)))) / self._sample_rate
            raise DatasetError(
                f"the wet signal is NaN or infinite {seconds:.2f} s into the evaluation: record it again"
            )
        if not len(wet):
            return
        exact = wet.astype(np.float64)
        error = predicted.astype(np.float64) - exact
        self._count += len(wet)
        self._wet_energy += _energy(exact)
        self._error_energy += _energy(error)
        self._predicted_energy += _energy(predicted)
        self._wet_sum += float(np.sum(exact))
        self._error_sum += float(np.sum(error))
        self._error_magnitude += float(np.sum(np.abs(error)))
        self._add_preemphasised(exact, error)
        for stft in self._stfts:
            stft.add(wet, predicted)
        for loudness, peak, samples in zip(self._loudness, self._peaks, (wet, predicted), strict=True):
            loudness.add(samples)
            peak.add(samples)

    def _add_preemphasised(self, wet: npt.NDArray[np.float64], error: npt.NDArray[np.float64]) -> None:
        # The first sample of a span has no predecessor, so the output starts with the second sample.
        before = self._last
        self._last = (float(wet[-1]), float(error[-1]))
        if before is not None:
            wet, error = np.concatenate([[before[0]], wet]), np.concatenate([[before[1]], error])
        self._pre_wet_energy += _energy(wet[1:] - self._preemphasis * wet[:-1])
        self._pre_error_energy += _energy(error[1:] - self._preemphasis * error[:-1])

    def result(self) -> Metrics:
        """Return all metrics by name.

        seconds: duration of the evaluated audio. esr: error energy over wet energy; esr_db: esr in dB;
        esr_preemphasis: ESR after the filter 1 - a z^-1. mae: mean absolute error, dc: mean error, dc_device: mean of
        the device, all with full scale 1. mr_stft: spectral convergence plus log-magnitude distance, mean over
        `RESOLUTIONS`, Hann windows, hops of a quarter. log_mel_db: mean absolute difference of mel band levels in dB,
        Hann windows of `MEL_WINDOW`, hops of a quarter, `MEL_BANDS` bands of `mel_filter_bank`, power floor
        `POWER_FLOOR`.

        Prediction minus device: lufs_difference_db: integrated loudness (ITU-R BS.1770-4).
        lufs_short_term_difference_db: short-term loudness (EBU Tech 3341, windows of 3 s) at the largest deviation, in
        LU. true_peak_difference_db: true peak (ITU-R BS.1770-4, Annex 2). crest_difference_db: crest factor, the ratio
        of the sample peak to the rms of all evaluated audio.

        Raises `DatasetError` if the wet signal is silent.
        """
        if not self._count or self._wet_energy <= 0.0 or self._pre_wet_energy <= 0.0:
            raise DatasetError("the wet signal of the evaluated audio is silent: check the recording")
        distances = [stft.distance() for stft in self._stfts]
        device, twin = (loudness.lufs() for loudness in self._loudness)
        wet_peak, predicted_peak = self._peaks
        esr = self._error_energy / self._wet_energy
        return {
            "seconds": self._count / self._sample_rate,
            "esr": esr,
            "esr_db": power_to_db(esr, MIN_ESR),
            "esr_preemphasis": self._pre_error_energy / self._pre_wet_energy,
            "mae": self._error_magnitude / self._count,
            "dc": self._error_sum / self._count,
            "dc_device": self._wet_sum / self._count,
            "mr_stft": None if None in distances else sum(d for d in distances if d is not None) / len(distances),
            "log_mel_db": self._mel.band_distance / self._mel.band_count if self._mel.band_count else None,
            "lufs_difference_db": None if device is None or twin is None else twin - device,
            "lufs_short_term_difference_db": max_loudness_difference(*self._loudness),
            "true_peak_difference_db": _ratio_db(predicted_peak.true_peak, wet_peak.true_peak),
            "crest_difference_db": _ratio_db(
                predicted_peak.sample_peak * math.sqrt(self._wet_energy),
                wet_peak.sample_peak * math.sqrt(self._predicted_energy),
            ),
        }


def _ratio_db(numerator: float, denominator: float) -> float | None:
    """Return an amplitude ratio in dB; None if either amplitude is zero."""
    return amp_to_db(numerator / denominator) if min(numerator, denominator) > 0.0 else None


def _energy(samples: npt.NDArray[np.float64] | Signal) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))
