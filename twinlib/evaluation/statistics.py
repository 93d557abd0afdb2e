"""What the figures show of hours of audio: long-term spectra and the transfer from dry to wet, gathered in blocks."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.evaluation.metrics import Framer, hann

Curve = npt.NDArray[np.float64]


class Spectrum:
    """The long-term power density of a signal (Welch 1967): Hann windows that overlap by half."""

    def __init__(self, length: int, sample_rate: int) -> None:
        self._framer, self._window = Framer(length, length // 2), hann(length)
        self._sum = np.zeros(length // 2 + 1)
        self._frames = 0
        self._scale = 2.0 / (sample_rate * float(np.sum(np.square(self._window))))
        self.frequencies: Curve = np.arange(length // 2 + 1, dtype=np.float64) * (sample_rate / length)
        """The centres of the bins in Hz, `(length / 2 + 1,)`."""

    def start(self) -> None:
        """A new stretch begins."""
        self._framer.start()

    def add(self, samples: Signal) -> None:
        """The next samples `(frames,)`."""
        frames = self._framer.frames(samples)
        spectrum = fft.rfft(frames * self._window, axis=1)
        self._sum += np.sum(np.square(spectrum.real) + np.square(spectrum.imag), axis=0, dtype=np.float64)
        self._frames += len(frames)

    def density(self) -> Curve:
        """The one-sided power density, full scale squared a Hz, `(length / 2 + 1,)`; zeros before any frame."""
        return self._sum * self._scale / max(self._frames, 1)


@dataclass(frozen=True)
class Quantiles:
    """The distribution of an output for each level of input: input `(bins,)`, low, middle and high output `(bins,)`."""

    level: Curve
    low: Curve
    middle: Curve
    high: Curve


class Transfer:
    """A histogram of output over input. The spread at one input is what the device remembers of the past."""

    BINS = 256

    def __init__(self, dry_peak: float, wet_peak: float) -> None:
        self._dry_edge, self._wet_edge = dry_peak or 1.0, 1.25 * wet_peak or 1.0
        self._counts = np.zeros((self.BINS, self.BINS), np.int64)

    def _bins(self, samples: Signal, edge: float) -> npt.NDArray[np.intp]:
        place = np.floor((samples.astype(np.float64) / edge + 1) * (self.BINS / 2))
        return np.clip(place, 0, self.BINS - 1).astype(np.intp)

    def add(self, dry: Signal, wet: Signal) -> None:
        """The next dry samples and what came of them, both `(frames,)` and on one clock without the guard."""
        joint = self._bins(dry, self._dry_edge) * self.BINS + self._bins(wet, self._wet_edge)
        self._counts += np.bincount(joint, minlength=self.BINS**2).reshape(self.BINS, self.BINS)

    def quantiles(self, low: float = 0.05, high: float = 0.95, at_least: int = 100) -> Quantiles:
        """Quantiles of the output for the levels of input that were heard `at_least` so many samples."""
        heard = np.flatnonzero(self._counts.sum(axis=1) >= at_least)
        centres: Curve = (np.arange(self.BINS, dtype=np.float64) + 0.5) / (self.BINS / 2) - 1
        found = np.array(
            [[self._quantile(row, share) for share in (low, 0.5, high)] for row in heard.tolist()]
        ).reshape(-1, 3)
        return Quantiles(centres[heard] * self._dry_edge, found[:, 0], found[:, 1], found[:, 2])

    def _quantile(self, row: int, share: float) -> float:
        # Linear within the bin, so that curves are smoother than the bins are wide.
        sums = np.concatenate([[0], np.cumsum(self._counts[row])])
        edges = np.arange(self.BINS + 1) / (self.BINS / 2) - 1
        return float(np.interp(share * sums[-1], sums, edges)) * self._wet_edge
