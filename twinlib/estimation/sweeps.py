"""Sine sweeps: where the dry signal is one, and at which lag it is in the wet file.

The harmonics of a distorted exponential sweep are the same sweep, shifted in time. Whitened correlation matches each of
them, a spectrogram does not: at the true lag, all of its energy is at multiples of the frequency of the dry signal.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation.delay import HIGH_HZ, LOW_HZ, Real
from twinlib.intervals import Range, find_runs
from twinlib.resampling import Channel

BLOCK = 2048
"""Samples of a block with one frequency."""

SPACINGS = (1, 4, 16, 64, 256)
"""Distances in samples over which the second difference of a sine is measured: each serves two octaves."""

MIN_CURVATURE = 0.35
"""Second difference of a sine relative to the sine itself from which it is precise, of at most 4."""

MAX_IMPURITY = 0.03
"""Share of the second difference that one sine does not explain; a rapid sweep reaches 0.01, music 0.1 to 1."""

MIN_RMS = 1e-3
"""Level, -60 dBFS, below which a block is no sweep."""

MAX_JUMP, SLACK = 0.35, 0.02
"""Logarithm of the ratio of the frequencies of two blocks: maximum within a sweep, and against its direction."""

MIN_SECONDS, MIN_OCTAVES = 0.8, 1.0
"""Duration and range of a sweep; slides of an instrument are shorter and narrower."""

MIN_SIZE, MAX_SIZE = 2048, 16384
"""Samples of a frame of the wet spectrogram: the slower the sweep, the longer."""

HOP = 512
"""Samples from one frame of `MIN_SIZE` to the next, and of one wet energy."""

MAX_BLOCKS = 256
"""Blocks of the dry sweep that are compared."""

TOOTH_BINS = 1.5
"""Half width of a harmonic in bins: most of the main lobe of the window."""

BATCH = 32
"""Frames transformed together."""

MAX_CANDIDATES = 8
"""Maximum number of lags whose surroundings are compared."""

MIN_BANDWIDTH, MIN_WINDOW, MAX_WINDOW = 80.0, 8192, 65536
"""Band in Hz of a window whose delay is measured, and the shortest and longest windows."""

MAX_READS = 3
"""Times that a window is read again at the delay found."""

MAX_COVERAGE = 0.6
"""Share of the band that the harmonics of a block may cover."""

SIMILAR_SCORE, PLATEAU = 0.6, 0.93
"""Score of a lag relative to the best from which it is a candidate, and relative to a peak from which it belongs to it.
At the true lag of an octave fuzz, the band does not contain the upper octave."""

EDGE_BONUS, SOUND_PENALTY = 0.15, 0.3
"""Score of each matching edge and of each end where only the wet file sounds."""

MIN_DIFFERENCE, MIN_DIFFERENCE_WITHOUT_EDGES = 0.07, 0.25
"""Difference of clearly unlike scores, if the best lag has a matching edge and if it has none."""

MIN_SCORE = 0.25
"""Least mean share of the wet energy at the harmonics, beyond chance."""

EDGE_RATIO = 10.0
"""Ratio of the wet energies on both sides of the beginning or the end of a sweep that marks it."""

EDGE_SECONDS, QUIET_SECONDS = 0.06, 0.3
"""Time on either side of such an edge that is compared, and of the silence around a sweep that must be silent, too."""

AUDIBLE_SHARE = 1e-3
"""Energy of such a silence relative to the median of the sweep from which it is none."""


@dataclass(frozen=True)
class Sweep:
    """A sine sweep at dry samples [start, stop): the centres of its blocks and the frequency of each in Hz."""

    start: int
    stop: int
    position: Real
    hertz: Real

    @property
    def range(self) -> Range:
        """The dry samples [start, stop)."""
        return self.start, self.stop

    def band(self, start: int, stop: int) -> tuple[float, float] | None:
        """Return the lowest and highest frequency in Hz within [start, stop), None if less than half of it is swept."""
        if 2 * (min(stop, self.stop) - max(start, self.start)) < stop - start:
            return None
        inside = self.hertz[(self.position > start - BLOCK) & (self.position < stop + BLOCK)]
        return float(inside.min()), float(inside.max())


def find_sweeps(dry: Channel) -> list[Sweep]:
    """Return all sine sweeps of a signal that rise or fall by an octave or more, in constant memory."""
    reach, step = SPACINGS[-1], 64 * BLOCK
    hertz, pure = [], []
    for start in range(dry.start, dry.stop, step):
        samples = dry.read(start - reach, start + step + reach)
        rows = np.empty((3, step // BLOCK))
        _measure_blocks(samples, rows)
        hertz.append(rows[0] * dry.rate)
        pure.append((rows[1] < MAX_IMPURITY) & (rows[2] > MIN_RMS))
    frequency = np.asarray(np.concatenate(hertz), np.float64)
    mask = np.concatenate(pure)
    centres = dry.start + BLOCK * (np.arange(len(frequency)) + 0.5)
    sweeps = []
    for first, last in _monotonic_runs(np.log(np.maximum(frequency, 1.0)), mask):
        octaves = abs(float(np.log2(frequency[last - 1] / frequency[first])))
        if (last - first) * BLOCK >= MIN_SECONDS * dry.rate and octaves >= MIN_OCTAVES:
            # The blocks at either end hold a part of the sweep, too.
            start, stop = dry.start + (first - 1) * BLOCK, dry.start + (last + 1) * BLOCK
            inside = max(start, dry.start), min(stop, dry.stop)
            sweeps.append(Sweep(*inside, np.asarray(centres[first:last], np.float64), frequency[first:last]))
    return sweeps


@numba.njit(cache=True)
def _measure_blocks(samples: Signal, out: Real) -> None:
    # For x = sin(wn), x[n+m] + x[n-m] - 2 x[n] = -(2 - 2 cos(mw)) x[n].
    reach = SPACINGS[-1]
    for i in range(out.shape[1]):
        first = reach + i * BLOCK
        energy = 0.0
        for j in range(first, first + BLOCK):
            energy += samples[j] * samples[j]
        out[0, i], out[1, i], out[2, i] = 0.0, 1.0, np.sqrt(energy / BLOCK)
        if energy == 0.0:
            continue
        for m in SPACINGS:
            cross, power = 0.0, 0.0
            for j in range(first, first + BLOCK):
                second = samples[j + m] + samples[j - m] - np.float32(2.0) * samples[j]
                cross -= second * samples[j]
                power += second * second
            curvature = cross / energy
            if curvature > MIN_CURVATURE:
                out[0, i] = np.arccos(max(-1.0, 1.0 - 0.5 * curvature)) / (2.0 * np.pi * m)
                out[1, i] = 1.0 - cross * cross / (energy * power + 1e-30)
                break


def _monotonic_runs(logarithm: Real, pure: npt.NDArray[np.bool_]) -> list[Range]:
    """Return the runs of pure blocks whose frequency rises or falls throughout."""
    change = np.diff(logarithm, append=np.inf)
    runs = []
    for first, last in find_runs(pure):
        edges = np.flatnonzero(np.abs(change[first:last]) > MAX_JUMP) + first + 1
        for low, high in zip([first, *edges.tolist()], [*edges.tolist(), last], strict=True):
            runs += _split_at_turns(logarithm, low, high)
    return runs


def _split_at_turns(logarithm: Real, first: int, last: int) -> list[Range]:
    runs, begin, extreme, direction = [], first, first, 0
    for i in range(first, last):
        ahead = logarithm[i] - logarithm[extreme]
        if direction == 0:
            direction = int(np.sign(ahead)) if abs(ahead) > SLACK else 0
            extreme = i if direction else extreme
        elif ahead * direction > 0:
            extreme = i
        elif -ahead * direction > SLACK:
            runs.append((begin, extreme + 1))
            begin, extreme, direction = extreme, i, -direction
    return [*runs, (begin, last)] if last > begin else runs


@dataclass(frozen=True)
class _WetScores:
    """Scores of all lags, from `first` on in steps of `step`, and the wet energy of hops from wet sample `start`."""

    first: int
    step: int
    scores: Real
    start: int
    energy: Real

    def mean_energy(self, start: float, stop: float) -> float | None:
        """Return the mean energy of wet samples [start, stop); None if they are not all on the file."""
        low, high = int(np.ceil((start - self.start) / HOP)), int((stop - self.start) / HOP)
        return float(self.energy[low:high].mean()) if 0 <= low < high <= len(self.energy) else None


def find_sweep_lags(dry: Channel, wet: Channel, sweep: Sweep) -> list[int]:
    """Return the lags at which a sweep is in the wet file: more than one if they are equally likely.

    Of the lags at which the wet energy is at multiples of the dry frequency, one is right: that at which the wet sound
    begins and ends with the sweep, and is silent where the dry signal is silent.
    """
    wet_scores = _score_lags(dry, wet, sweep)
    if wet_scores is None:
        return []
    found: list[tuple[float, int, int]] = []
    for lag, score in _candidates(wet_scores, dry.rate):
        edges = _count_edges(dry, sweep, wet_scores, lag)
        sounds = _count_contradictions(dry, sweep, wet_scores, lag)
        found.append((score + EDGE_BONUS * edges - SOUND_PENALTY * sounds, edges, lag))
    if not found:
        return []
    found.sort(reverse=True)
    best, edges, _ = found[0]
    limit = best - (MIN_DIFFERENCE if edges else MIN_DIFFERENCE_WITHOUT_EDGES)
    return [lag for score, _, lag in found if score > limit]


def _frame_size(slope: float, rate: int) -> int:
    """Return the length of frames in which a sweep of that slope in Hz per second is most narrow."""
    samples = rate * np.sqrt(TOOTH_BINS / max(slope, 1e-3))
    return int(np.clip(1 << int(np.log2(samples)), MIN_SIZE, MAX_SIZE))


def _score_lags(dry: Channel, wet: Channel, sweep: Sweep) -> _WetScores | None:
    """Return the mean share of the wet energy at multiples of the dry frequency, beyond chance, at all lags."""
    slope = np.abs(np.gradient(sweep.hertz, sweep.position / dry.rate))
    high = min(HIGH_HZ, wet.max_hz)
    audible = (sweep.hertz > LOW_HZ) & (sweep.hertz < high)
    if not audible.any():
        return None
    size = _frame_size(float(np.median(slope[audible])), wet.rate)
    step = size // (MIN_SIZE // HOP)
    width, spread = TOOTH_BINS * wet.rate / size, 0.3 * slope * size / wet.rate
    usable = np.flatnonzero(audible & (2.0 * width + spread < sweep.hertz))
    if not len(usable):
        return None
    chosen = np.unique(usable[np.linspace(0, len(usable) - 1, min(MAX_BLOCKS, len(usable))).astype(int)])
    blocks = np.round((sweep.position[chosen] - sweep.position[0]) / step).astype(np.int64)
    to_bins = size / wet.rate
    teeth = np.array([sweep.hertz[chosen], np.full(len(chosen), width), spread[chosen]]) * to_bins
    bins = int(LOW_HZ * to_bins), int(high * to_bins)
    count = (wet.stop - wet.start) // step + 1
    # The lag of frame `i` for block `j` is in row `i - blocks[j] + blocks[-1]`.
    scores, energy = np.zeros(count + int(blocks[-1])), np.zeros(count * (step // HOP))
    taper = np.hanning(size).astype(np.float32)
    for first in range(0, count, BATCH):
        rows = min(BATCH, count - first)
        start = wet.start + first * step
        samples = wet.read(start - size // 2, start + rows * step + size // 2)
        frames = np.lib.stride_tricks.sliding_window_view(samples, size)[: rows * step : step]
        power = np.square(np.abs(scipy.fft.rfft(frames * taper)), dtype=np.float64)
        total = np.concatenate((np.zeros((rows, 1)), np.cumsum(power, axis=1)), axis=1)
        _add_scores(total, first, blocks, teeth, bins, scores)
        hops = samples[size // 2 : size // 2 + rows * step].reshape(-1, HOP)
        energy[first * step // HOP : (first + rows) * step // HOP] = np.square(hops, dtype=np.float64).mean(axis=1)
    origin = int(sweep.position[0]) + int(blocks[-1]) * step
    return _WetScores(wet.start - origin, step, scores / len(chosen), wet.start, energy)


@numba.njit(cache=True)
def _add_scores(
    total: Real, first: int, blocks: npt.NDArray[np.int64], teeth: Real, bins: tuple[int, int], scores: Real
) -> None:
    low_bin, high_bin = bins
    for j in range(len(blocks)):
        hertz, width, spread = teeth[0, j], teeth[1, j], teeth[2, j]
        for i in range(len(total)):
            whole = total[i, high_bin] - total[i, low_bin]
            if whole <= 0.0:
                continue
            inside, covered, previous, k = 0.0, 0, low_bin, 1
            while k * hertz < high_bin:
                half = width + k * spread
                low = max(previous, int(np.ceil(k * hertz - half)))
                high = min(high_bin, int(k * hertz + half) + 1)
                if low < high:
                    inside += total[i, high] - total[i, low]
                    covered += high - low
                    previous = high
                k += 1
            chance = covered / (high_bin - low_bin)
            if chance < MAX_COVERAGE:
                scores[first + i - blocks[j] + blocks[-1]] += max(0.0, (inside / whole - chance) / (1.0 - chance))


def _candidates(wet: _WetScores, rate: int) -> list[tuple[int, float]]:
    """Return the lags with their scores that are similar to the best, at least 0.1 s apart."""
    scores, spacing = wet.scores.copy(), max(1, int(0.1 * rate / wet.step))
    best = float(scores.max(initial=0.0))
    found: list[tuple[int, float]] = []
    while best >= MIN_SCORE and len(found) < MAX_CANDIDATES:
        top = int(scores.argmax())
        if scores[top] < SIMILAR_SCORE * best:
            break
        # A slow sweep has a plateau, whose middle is the lag.
        low, high = (_first_below(part, PLATEAU * scores[top]) for part in (scores[top::-1], scores[top:]))
        found.append((wet.first + (top + (high - low) // 2) * wet.step, float(scores[top])))
        scores[max(0, top - low - spacing) : top + high + spacing] = 0.0
    return found


def _first_below(values: Real, limit: float) -> int:
    below = values < limit
    return int(below.argmax()) if below.any() else len(values)


def _count_contradictions(dry: Channel, sweep: Sweep, wet: _WetScores, lag: int) -> int:
    """Return at how many ends of a sweep the wet file sounds at `lag` where the dry signal is silent."""
    during = wet.energy[max(0, (sweep.start + lag - wet.start) // HOP) : max(0, (sweep.stop + lag - wet.start) // HOP)]
    typical = float(np.median(during)) if len(during) else 0.0
    quiet, margin = round(QUIET_SECONDS * dry.rate), 2 * BLOCK
    count = 0
    for first, last in (
        (sweep.start - margin - quiet, sweep.start - margin), (sweep.stop + margin, sweep.stop + margin + quiet)
    ):  # fmt: skip
        energy = wet.mean_energy(first + lag, last + lag)
        silent = float(np.square(dry.read(first, last)).mean()) < MIN_RMS**2
        count += silent and energy is not None and energy > AUDIBLE_SHARE * typical
    return count


def _count_edges(dry: Channel, sweep: Sweep, wet: _WetScores, lag: int) -> int:
    """Return at how many ends of a sweep the wet sound begins or ends with it."""
    first, last = _sounding(dry, sweep)
    span = EDGE_SECONDS * dry.rate
    count = 0
    for edge, sign in ((first + lag, 1), (last + lag, -1)):
        inside = wet.mean_energy(*sorted((edge + sign * HOP, edge + sign * (HOP + span))))
        outside = wet.mean_energy(*sorted((edge - sign * 2 * HOP, edge - sign * (2 * HOP + span))))
        count += inside is not None and outside is not None and inside > EDGE_RATIO * outside + 1e-10
    return count


def _sounding(dry: Channel, sweep: Sweep) -> Range:
    """Return the range from the first to the last audible sample of a sweep and one block on either side."""
    ends = []
    for low, high in ((sweep.start - BLOCK, sweep.start + 4 * BLOCK), (sweep.stop - 4 * BLOCK, sweep.stop + BLOCK)):
        samples = np.abs(dry.read(low, high))
        loud = np.flatnonzero(samples > 0.03 * float(samples.max(initial=1e-9)))
        ends.append((low + int(loud[0]), low + int(loud[-1]) + 1) if len(loud) else (low, high))
    return ends[0][0], ends[1][1]


@dataclass(frozen=True)
class SweepDelays:
    """The windows of a sweep of `size` samples: centre, frequency, group delay in samples, and its coherence, 0 to 1.

    `energy` is that of the wet window, `gain` that of the fundamental. `stretch` is the time in samples in which the
    frequency changes by a factor e: a drift adds that share of it to the delay at a frequency.
    """

    size: int
    position: Real
    hertz: Real
    delay: Real
    coherence: Real
    energy: Real
    gain: Real
    stretch: Real


def measure_sweep(dry: Channel, wet: Channel, sweep: Sweep, lag: int) -> SweepDelays:
    """Measure the group delay of the device, relative to `lag`, in windows of a sweep that overlap by half.

    The delay is the slope of the phase over the band of a window, of the octave if the dry signal is rectified.
    """
    slope = float(np.median(np.abs(np.gradient(sweep.hertz, sweep.position / dry.rate))))
    size = int(np.clip(1 << int(np.log2(MIN_BANDWIDTH * dry.rate / max(slope, 1e-3))), MIN_WINDOW, MAX_WINDOW))
    taper = np.hanning(size).astype(np.float32)
    octave = 2 if dry.rectified else 1
    logarithm = np.log(sweep.hertz)
    highest = min(HIGH_HZ, wet.max_hz)
    rows = []
    for start in range(sweep.start, sweep.stop - size + 1, size // 2):
        band = sweep.band(start, start + size)
        if band is None or octave * band[0] < LOW_HZ or octave * band[1] > highest:
            continue
        bins = slice(int(octave * band[0] * size / dry.rate), int(octave * band[1] * size / dry.rate) + 2)
        x = scipy.fft.rfft(dry.read(start, start + size) * taper)[bins]
        delay = 0.0
        # Two windows that hold other parts of the sweep underestimate its delay.
        for _ in range(MAX_READS):
            offset = round(delay)
            samples = wet.read(start + lag + offset, start + lag + offset + size) * taper
            y = scipy.fft.rfft(samples)[bins]
            cross = x.conj() * y
            turn = complex(np.sum(cross[1:] * cross[:-1].conj()))
            coherence = abs(turn) / (float(np.sum(np.abs(cross[1:] * cross[:-1]))) + 1e-30)
            delay = offset - float(np.angle(turn)) * size / (2.0 * np.pi)
            if abs(delay - offset) < 1.0 or abs(delay) > size / 4:
                break
        gain = float(np.sqrt(np.square(np.abs(y)).sum() / (np.square(np.abs(x)).sum() + 1e-20)))
        hertz = octave * 0.5 * (band[0] + band[1])
        ends = np.interp((start, start + size), sweep.position, logarithm)
        energy, stretch = float(np.square(samples).mean()), size / float(ends[1] - ends[0])
        rows.append((start + size / 2, hertz, delay, coherence, energy, gain, stretch))
    return SweepDelays(size, *np.array(rows).reshape(-1, 7).T)
