"""Search for loud excerpts of one signal in another by GCC-PHAT at any lag, and a vote of the excerpts on the line."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation.delay import MIDDLE_HZ, band, phat_weighted
from twinlib.estimation.line_fit import Line, theil_sen
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

EXCERPTS = 8
"""Number of excerpts of the dry signal to search for."""

MIN_PROMINENCE = 8.0
"""Peak of a correlation relative to its rms; noise reaches about 6."""

Excerpt = tuple[int, Signal]
"""A dry position and the samples from there on."""


@dataclass(frozen=True)
class Candidate:
    """A candidate for the lag of an excerpt (number, dry position): lag in samples, sign and prominence."""

    excerpt: int
    position: int
    lag: int
    sign: int
    prominence: float


@dataclass(frozen=True)
class CoarseLag:
    """A coarse line, exact at dry sample `position`, and the share of excerpts that agree.

    `score` is the sum of their prominences.
    """

    position: int
    line: Line
    share: float
    score: float


def excerpt_size(frames: int, sample_rate: int) -> int:
    """Return a power of two: about 1.5 s, less for a short signal. Drift would blur longer excerpts."""
    longest = 1 << int(np.log2(1.5 * sample_rate))
    return max(4096, min(longest, 1 << int(np.log2(max(frames, 2)))))


def loudest_excerpts(dry: Channel, size: int, count: int = EXCERPTS, progress: Progress = no_progress) -> list[int]:
    """Return the start of the loudest `size` samples in each of `count` parts of the dry signal, out of 40 per part.

    Skips parts below -70 dBFS.
    """
    starts = []
    bounds = np.linspace(dry.start, max(dry.start, dry.stop - size), count + 1).astype(int)
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        tried = np.unique(np.linspace(low, high, 40).astype(int)).tolist()
        energies = [float(np.square(dry.read(p, p + size)[:: max(1, size // 8192)]).mean()) for p in tried]
        progress(1.0)
        best = int(np.argmax(energies))
        if energies[best] > 1e-7 and tried[best] not in starts:
            starts.append(tried[best])
    return starts


def read_excerpts(dry: Channel, starts: Sequence[int], size: int) -> list[Excerpt]:
    """Read `size` samples at each position."""
    return [(start, dry.read(start, start + size)) for start in starts]


def find_candidates(
    excerpts: Sequence[Excerpt], wet: Channel, lags: tuple[int, int] | None, progress: Progress = no_progress
) -> list[Candidate]:
    """Return the five most prominent lags of each excerpt, within `lags` or, if None, in the whole file.

    All excerpts have the same length. The resolution is about the sample rate over 16 kHz.
    """
    if not excerpts:
        return []
    starts = [start for start, _ in excerpts]
    size = len(excerpts[0][1])
    transform = 2 * size
    bins = band(transform, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    # The inverse transform covers only the band, at a lower rate.
    short_size = scipy.fft.next_fast_len(2 * bins.stop, real=True)
    step = transform / short_size
    taper = np.hanning(size).astype(np.float32)
    templates = [scipy.fft.rfft(samples * taper, transform)[bins].conj() for _, samples in excerpts]
    found: list[list[Candidate]] = [[] for _ in starts]
    for start in range(wet.start - size, wet.stop, size):
        in_reach = [i for i, p in enumerate(starts) if lags is None or lags[0] - size <= start - p <= lags[1]]
        progress(min(size, wet.stop - start))
        if not in_reach:
            continue
        block = wet.read(start, start + transform)
        if not block.any():
            continue
        spectrum = scipy.fft.rfft(block, transform)[bins]
        for i in in_reach:
            full = np.zeros(short_size // 2 + 1, np.complex64)
            full[bins] = phat_weighted(spectrum * templates[i])
            values = scipy.fft.irfft(full, short_size)[: short_size // 2]
            noise = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) + 1e-30
            heights = np.abs(values)
            spacing = int(64 / step) + 1
            for _ in range(5):
                place = int(heights.argmax())
                prominence = float(heights[place]) / noise
                if prominence < MIN_PROMINENCE:
                    break
                lag = start + round(place * step) - starts[i]
                if lags is None or lags[0] <= lag <= lags[1]:
                    found[i].append(Candidate(i, starts[i], lag, 1 if values[place] > 0 else -1, prominence))
                heights[max(0, place - spacing) : place + spacing + 1] = 0.0
            found[i] = sorted(found[i], key=lambda candidate: (-candidate.prominence, abs(candidate.lag)))[:5]
    return [candidate for group in found for candidate in group]


def vote(found: list[Candidate], excerpts: int, max_drift_ppm: float) -> CoarseLag | None:
    """Return the line of most of the `excerpts`, each with its best candidate; None without candidates."""
    best: tuple[float, float, list[Candidate]] | None = None
    for anchor in found:
        chosen: dict[int, Candidate] = {}
        for candidate in found:
            tolerance = 8.0 + abs(candidate.position - anchor.position) * max_drift_ppm * 1e-6
            previous = chosen.get(candidate.excerpt)
            agrees = abs(candidate.lag - anchor.lag) <= tolerance and candidate.sign == anchor.sign
            if agrees and (previous is None or candidate.prominence > previous.prominence):
                chosen[candidate.excerpt] = candidate
        score = sum(candidate.prominence for candidate in chosen.values())
        if best is None or (score, -abs(anchor.lag)) > best[:2]:
            best = (score, -abs(anchor.lag), list(chosen.values()))
    if best is None:
        return None
    chosen_list = best[2]
    positions = np.array([candidate.position for candidate in chosen_list], float)
    lags = np.array([candidate.lag for candidate in chosen_list], float)
    line = theil_sen(positions, lags) if len(positions) > 2 else Line(float(lags[0]), 0.0)
    strongest = max(chosen_list, key=lambda candidate: candidate.prominence)
    line = Line(strongest.lag - line.drift_ppm * 1e-6 * strongest.position, line.drift_ppm)
    return CoarseLag(strongest.position, line, len(chosen_list) / excerpts, best[0])
