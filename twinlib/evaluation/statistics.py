"""Streaming statistics for the figures: long-term spectra, and the transfer from dry to wet samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.evaluation.metrics import Framer, hann_window

Curve = npt.NDArray[np.float64]


class WelchSpectrum:
    """The long-term power density of a signal (Welch 1967): Hann windows with 50 % overlap."""

    def __init__(self, length: int, sample_rate: int) -> None:
        self._framer, self._window = Framer(length, length // 2), hann_window(length)
        self._sum = np.zeros(length // 2 + 1)
        self._frames = 0
        self._scale = 2.0 / (sample_rate * float(np.sum(np.square(self._window))))
        self.frequencies: Curve = np.arange(length // 2 + 1, dtype=np.float64) * (sample_rate / length)
        """The centres of the bins in Hz, `(length / 2 + 1,)`."""

    def start(self) -> None:
        """Start a new span."""
        self._framer.start()

    def add(self, samples: Signal) -> None:
        """Add the next samples `(frames,)`."""
        frames = self._framer.frames(samples)
        spectrum = fft.rfft(frames * self._window, axis=1)
        self._sum += np.sum(np.square(spectrum.real) + np.square(spectrum.imag), axis=0, dtype=np.float64)
        self._frames += len(frames)

    def density(self) -> Curve:
        """Return the one-sided power density, full scale squared per Hz, `(length / 2 + 1,)`; zeros if empty."""
        return self._sum * self._scale / max(self._frames, 1)


@dataclass(frozen=True)
class TransferQuantiles:
    """The distribution of the output at each input level: `level` `(bins,)` and three output quantiles `(bins,)`."""

    level: Curve
    low: Curve
    middle: Curve
    high: Curve


class TransferHistogram:
    """A histogram of output over input samples. The spread at one input level shows the memory of the device."""

    BINS = 256

    def __init__(self, dry_peak: float, wet_peak: float) -> None:
        self._dry_edge, self._wet_edge = dry_peak or 1.0, 1.25 * wet_peak or 1.0
        self._counts = np.zeros((self.BINS, self.BINS), np.int64)

    def _bin_indices(self, samples: Signal, edge: float) -> npt.NDArray[np.intp]:
        position = np.floor((samples.astype(np.float64) / edge + 1) * (self.BINS / 2))
        return np.clip(position, 0, self.BINS - 1).astype(np.intp)

    def add(self, dry: Signal, wet: Signal) -> None:
        """Add the next dry samples and their outputs, both `(frames,)` and aligned without the guard."""
        joint = self._bin_indices(dry, self._dry_edge) * self.BINS + self._bin_indices(wet, self._wet_edge)
        self._counts += np.bincount(joint, minlength=self.BINS**2).reshape(self.BINS, self.BINS)

    def quantiles(self, low: float = 0.05, high: float = 0.95, min_samples: int = 100) -> TransferQuantiles:
        """Return output quantiles for the input levels with at least `min_samples` samples."""
        rows = np.flatnonzero(self._counts.sum(axis=1) >= min_samples)
        centres: Curve = (np.arange(self.BINS, dtype=np.float64) + 0.5) / (self.BINS / 2) - 1
        values = np.array(
            [[self._quantile(row, share) for share in (low, 0.5, high)] for row in rows.tolist()]
        ).reshape(-1, 3)
        return TransferQuantiles(centres[rows] * self._dry_edge, values[:, 0], values[:, 1], values[:, 2])

    def _quantile(self, row: int, share: float) -> float:
        # Linear interpolation within the bin, so that curves are smoother than the bin width.
        sums = np.concatenate([[0], np.cumsum(self._counts[row])])
        edges = np.arange(self.BINS + 1) / (self.BINS / 2) - 1
        return float(np.interp(share * sums[-1], sums, edges)) * self._wet_edge
