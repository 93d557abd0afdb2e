"""Where a programme without clicks lies in its recording: a few loud excerpts, whitened, looked for everywhere."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from twinlib.alignment.anchors import FASTEST_PPM
from twinlib.alignment.line import Line, theil_sen
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import MIDDLE_HZ, band, whitened
from twinlib.progress import Progress, silent

EXCERPTS = 8
"""Excerpts of the dry signal that are looked for."""

LEAST_PROMINENCE = 8.0
"""A peak counts if it stands this many times above the rms of the correlation; chance reaches about 6."""


@dataclass(frozen=True)
class Candidate:
    """Where an excerpt (its number, its dry position) may lie: the lag in samples, the sign and the prominence."""

    excerpt: int
    position: int
    lag: int
    sign: int
    prominence: float


@dataclass(frozen=True)
class Coarse:
    """A rough line, the polarity, and the share of the excerpts that agree."""

    line: Line
    polarity: int
    share: float


def excerpt_size(frames: int, sample_rate: int) -> int:
    """A power of two: about 3 s, less for a short signal."""
    longest = 1 << int(np.log2(3 * sample_rate))
    return max(4096, min(longest, 1 << int(np.log2(max(frames, 2)))))


def loud_places(dry: Channel, size: int, progress: Progress = silent) -> list[int]:
    """The starts of the loudest `size` samples in each eighth of the dry signal; eighths below -70 dBFS have none."""
    step = max(size // 4, 1)
    energies = []
    for start in range(dry.start, dry.stop, step):
        samples = dry.read(start, start + step).astype(np.float64)
        energies.append(float((samples**2).sum()))
        progress(min(step, dry.stop - start))
    sums = np.concatenate((np.zeros(1), np.cumsum(energies)))
    last = max(1, len(energies) - 3)
    loudness = sums[np.minimum(np.arange(last) + 4, len(energies))] - sums[:last]
    audible = 1e-7 * size
    places = []
    for part in np.array_split(np.arange(last), EXCERPTS):
        if len(part) and loudness[part].max() > audible:
            places.append(dry.start + step * int(part[loudness[part].argmax()]))
    return places


def candidates(
    dry: Channel,
    wet: Channel,
    places: list[int],
    size: int,
    sample_rate: int,
    reach: int | None,
    progress: Progress = silent,
) -> list[Candidate]:
    """The five likeliest lags of each excerpt; `reach` bounds the lag in samples, None searches the whole file."""
    transform = 2 * size
    bins = band(transform, sample_rate, MIDDLE_HZ)
    taper = np.hanning(size).astype(np.float32)
    templates = [scipy.fft.rfft(dry.read(p, p + size) * taper, transform)[bins].conj() for p in places]
    found: list[list[Candidate]] = [[] for _ in places]
    for start in range(wet.start - size, wet.stop, size):
        wanted = [i for i, p in enumerate(places) if reach is None or abs(start - p) <= reach + size]
        progress(min(size, wet.stop - start))
        if not wanted:
            continue
        block = wet.read(start, start + transform)
        if not block.any():
            continue
        spectrum = scipy.fft.rfft(block, transform)[bins]
        for i in wanted:
            full = np.zeros(size + 1, np.complex64)
            full[bins] = whitened(spectrum * templates[i])
            course = scipy.fft.irfft(full, transform)[:size]
            noise = float(np.sqrt(np.mean(course.astype(np.float64) ** 2))) + 1e-30
            heights = np.abs(course)
            for _ in range(5):
                place = int(heights.argmax())
                prominence = float(heights[place]) / noise
                if prominence < LEAST_PROMINENCE:
                    break
                sign = 1 if course[place] > 0 else -1
                found[i].append(Candidate(i, places[i], start + place - places[i], sign, prominence))
                heights[max(0, place - 64) : place + 65] = 0.0
            found[i] = sorted(found[i], key=lambda one: (-one.prominence, abs(one.lag)))[:5]
    return [one for group in found for one in group]


def vote(found: list[Candidate], excerpts: int) -> Coarse | None:
    """The line that the most excerpts agree on, each with its likeliest candidate; None if there is no candidate."""
    best: tuple[float, float, list[Candidate]] | None = None
    for anchor in found:
        chosen: dict[int, Candidate] = {}
        for one in found:
            room = 8.0 + abs(one.position - anchor.position) * FASTEST_PPM * 1e-6
            held = chosen.get(one.excerpt)
            agrees = abs(one.lag - anchor.lag) <= room and one.sign == anchor.sign
            if agrees and (held is None or one.prominence > held.prominence):
                chosen[one.excerpt] = one
        score = sum(one.prominence for one in chosen.values())
        if best is None or (score, -abs(anchor.lag)) > best[:2]:
            best = (score, -abs(anchor.lag), list(chosen.values()))
    if best is None:
        return None
    chosen_list = best[2]
    positions = np.array([one.position for one in chosen_list], float)
    lags = np.array([one.lag for one in chosen_list], float)
    line = theil_sen(positions, lags) if len(positions) > 1 else Line(float(lags[0]), 0.0)
    return Coarse(line, chosen_list[0].sign, len(chosen_list) / excerpts)


def search(dry: Channel, wet: Channel, sample_rate: int, progress: Progress = silent) -> Coarse | None:
    """The rough line of a pair, looked for within 12 s of where it should be, then in the whole file."""
    size = excerpt_size(dry.stop - dry.start, sample_rate)
    places = loud_places(dry, size, progress)
    if not places:
        return None
    near = vote(candidates(dry, wet, places, size, sample_rate, 12 * sample_rate, progress), len(places))
    if near is not None and near.share > 0.5:
        return near
    return vote(candidates(dry, wet, places, size, sample_rate, None, progress), len(places))
