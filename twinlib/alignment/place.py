"""Where samples were lost, by what every short frame says of both lags: the likeliest place and how sure it is.

A frame of a few milliseconds tells a lag badly, but which of two it has, many of them tell together. Its cross-spectrum
with the dry signal, the device's phase taken out and every band weighted by coherence, is turned to either lag; what
the two correlations should be, if one lag or the other is right, the dry signal itself tells. So a bass note counts
nothing for a lost sample, and a cymbal much, however loud they are, and whatever a device that distorts makes of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from twinlib.alignment import fractional_delay
from twinlib.alignment.channel import Channel
from twinlib.alignment.delay import Complex, Real, band
from twinlib.alignment.lag_track import Response
from twinlib.alignment.time_map import Labels, TimeMap
from twinlib.db import db_to_power

SIZES = (1024, 256)
"""Samples of the frames: to find the place, and to find it more closely where that is told."""

HOPS = 4
"""Frames that begin within the length of one."""

SILENT_DB = -80.0
"""A frame of the dry signal whose band-limited rms lies below this (dB of full scale) says nothing: a device may make
much of a soft passage, and one that noise drowns speaks for neither lag."""

AROUND_SECONDS = 8.0
"""On either side of the zone, that tells how the frames scatter."""

HEAVY = 4.0
"""Degrees of freedom of Student's distribution of that scatter: distortion makes many frames that are far off."""

MOST_LASTING = 0.99
"""Of what a frame is off by, that the next one is at most taken to be off by too: frames overlap, notes last longer."""

MOST_GROUPS, LEAST_FRAMES = 12, 24
"""Groups of frames that tell alike, and how many frames make one."""

LEAST = 0.005
"""Scatter of correlations that is never undercut: notes differ by more in what a device makes of their phase. A bass
of some hundred hertz, of which a sample tells less, is in doubt as long as it lasts."""

LEAST_GAIN = 10.0
"""By which the logarithm of the likelihood must exceed that of either lag alone: one in twenty thousand."""

LIKELY = 20.0
"""By which it may lie lower where the place may be all the same. Of independent frames a third would do; but frames of
one note are wrong alike, and a place that is told is as sharp all the same."""


@dataclass(frozen=True)
class Place:
    """On the dry clock: where the first lag most likely ceases to be right, the first and the last place it may.

    Lost samples follow on it; those that were repeated answer by both lags from there on. `closely` says whether frames
    of all `SIZES` tell it: a tone that a device delays tells another lag in long ones alone.
    """

    place: int
    first: int
    last: int
    closely: bool


@dataclass(frozen=True)
class _Frames:
    """Short frames of a stretch: their middles, the correlations `(frames, 2)` with both lags, and `(frames, 2, 2)`
    what these should be in a device that does nothing, if the one lag is right and if the other is.
    """

    middle: Real
    seen: Real
    expected: Real

    @property
    def tells(self) -> Real:
        """By how much the one correlation should exceed the other, where its lag is right."""
        return np.asarray(1.0 - 0.5 * (self.expected[:, 0, 1] + self.expected[:, 1, 0]))


@dataclass(frozen=True)
class _Part:
    """How one number of each frame scatters, by what the frame `tells`, and how much of it lasts to the next frame."""

    tells: Real
    scatter: Real
    lasts: float
    fresh: float

    @classmethod
    def told(cls, off: Real, tells: Real) -> "_Part":
        """By frames in their order whose lag is known."""
        groups = np.array_split(np.argsort(tells, kind="stable"), max(1, min(MOST_GROUPS, len(tells) // LEAST_FRAMES)))
        at = np.array([float(np.median(tells[group])) for group in groups])
        scatter = np.array([max(1.4826 * float(np.median(np.abs(off[group]))), LEAST) for group in groups])
        usual = off / np.interp(tells, at, scatter)
        clipped = np.clip(usual, -3.0, 3.0)
        lasts = float((clipped[1:] * clipped[:-1]).sum() / (np.square(clipped).sum() + 1e-30))
        lasts = min(max(lasts, 0.0), MOST_LASTING)
        fresh = 1.4826 * float(np.median(np.abs(usual[1:] - lasts * usual[:-1])))
        return cls(at, scatter, lasts, max(fresh, 0.1))

    def usual(self, off: Real, tells: Real) -> Real:
        """What frames are off by, in units of their scatter."""
        return np.asarray(off / np.interp(tells, self.tells, self.scatter))

    def likelihood(self, before: Real, after: Real) -> Real:
        """The logarithm of the likelihood, less a constant, of each frame `after` one that was off by `before`."""
        last = np.concatenate(([0.0], before[:-1]))
        return np.asarray(-0.5 * (HEAVY + 1.0) * np.log1p(((after - self.lasts * last) / self.fresh) ** 2 / HEAVY))


def _parts(two: Real) -> tuple[Real, Real]:
    """What the two correlations have in common, and what they differ by."""
    return 0.5 * (two[:, 0] + two[:, 1]), two[:, 1] - two[:, 0]


@dataclass(frozen=True)
class TwoMaps:
    """A capture and the maps by which the wet signal answers before a loss and after it.

    `response` is the device's, in windows of `size` samples.
    """

    dry: Channel
    wet: Channel
    maps: tuple[TimeMap, TimeMap]
    response: Response
    size: int
    polarity: int

    def finer(self, size: int) -> "TwoMaps":
        """The same to be told by frames of so many samples."""
        return replace(self, response=self.response.coarser(self.size, size, self.wet), size=size)


def placed(by: TwoMaps, zone: tuple[int, int], known: tuple[tuple[int, int], tuple[int, int]]) -> Place | None:
    """Where in `zone` the wet signal ceases to answer by one map and answers by the other; None if that is not told.

    `known` are dry ranges before and after it, in which the one map is right and the other.
    """
    found: Place | None = None
    for size in SIZES:
        again = _placed(by.finer(size), zone, known)
        if again is None:
            break
        # Shorter frames may tell it less well.
        if found is not None and again.last - again.first > found.last - found.first:
            return replace(found, closely=True)
        found, zone = again, (max(zone[0], again.first - size), min(zone[1], again.last + size))
    return found


def _placed(by: TwoMaps, zone: tuple[int, int], known: tuple[tuple[int, int], tuple[int, int]]) -> Place | None:
    around, size = round(AROUND_SECONDS * by.dry.rate), by.size
    step = float(np.subtract(*(one.lags(np.array([float(zone[0])]))[0] for one in reversed(by.maps))))
    ranges = (
        (max(known[0][0], known[0][1] - around), known[0][1]),
        zone,
        (known[1][0], min(known[1][1], known[1][0] + around)),
    )
    before, inside, after = (_frames(by, one, round(step)) for one in ranges)
    right = [(part, number) for part, number in ((before, 0), (after, 1)) if len(part.middle)]
    if not right or len(inside.middle) < 2:
        return None
    seen = np.concatenate([part.seen for part, _ in right])
    expected = np.concatenate([part.expected[:, number] for part, number in right])
    left = float((seen * expected).sum() / (np.square(expected).sum() + 1e-30))
    if left <= 0.0:
        return None
    tells = np.concatenate([part.tells for part, _ in right])
    # What distortion does to a frame it does to both correlations: their difference is far surer than they are.
    usual = [_Part.told(off, tells) for off in _parts(seen - left * expected)]
    # Between the two lies what was lost and answers by neither, or what was repeated and answers by both.
    between = np.full_like(inside.seen, 0.0 if step < 0.0 else left)
    states = (left * inside.expected[:, 0], between, left * inside.expected[:, 1])
    off = [
        [part.usual(one, inside.tells) for part, one in zip(usual, _parts(inside.seen - state), strict=True)]
        for state in states
    ]

    def likely(before: int, after: int) -> Real:
        """Of each frame, if it is in one state and the frame before it in another."""
        return np.asarray(sum(part.likelihood(*two) for part, *two in zip(usual, off[before], off[after], strict=True)))

    apart = abs(round(step))
    # Between two of these places no frame changes its state: whole pauses are one.
    turns = np.concatenate((inside.middle, inside.middle - apart))
    edges = np.concatenate(([zone[0]], np.unique(turns[(turns > zone[0]) & (turns < zone[1])]), [zone[1]]))
    inner = 0.5 * (edges[1:] + edges[:-1])
    first, second = np.searchsorted(inside.middle, inner), np.searchsorted(inside.middle, inner + apart)
    gain = _of_paths(likely, first, second)
    best = int(gain.argmax())
    more = float(gain[best] - max(likely(0, 0).sum(), likely(2, 2).sum()))
    if more < LEAST_GAIN:
        return None
    may = np.flatnonzero(gain > gain[best] - LIKELY)
    low, high = int(edges[may[0]]) - size // 2, int(edges[may[-1] + 1]) + size // 2
    return Place(int(inner[best]), max(zone[0], low), min(zone[1], high), size == SIZES[-1])


def _of_paths(likely: Callable[[int, int], Real], first: Labels, second: Labels) -> Real:
    """The logarithm of the likelihood that frames are in state 0 before `first`, in 2 from `second` on, else in 1."""
    zero, one, two = (np.concatenate(([0.0], np.cumsum(likely(state, state)))) for state in range(3))
    # Nothing follows on the last frame.
    turn = {(a, b): np.append(likely(a, b), 0.0) for a, b in ((0, 1), (1, 2), (0, 2))}
    last = len(zero) - 1
    after = two[last] - two[np.minimum(second + 1, last)]
    through = turn[0, 1][first] + one[second] - one[np.minimum(first + 1, last)] + turn[1, 2][second]
    return np.asarray(zero[first] + after + np.where(second > first, through, turn[0, 2][first]))


def _frames(by: TwoMaps, stretch: tuple[int, int], step: int) -> _Frames:
    (start, stop), dry, response, size = stretch, by.dry, by.response, by.size
    hop = size // HOPS
    bins = band(size, dry.rate, by.wet.max_hz)
    taper = np.hanning(size).astype(np.float32)
    count = (stop - start - size) // hop + 1
    if count < 1:
        return _Frames(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2)))
    stop = start + (count - 1) * hop + size

    def spectra(samples: np.ndarray) -> Complex:
        cut = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
        return np.asarray(scipy.fft.rfft(cut * taper, axis=1)[:, bins])

    x = spectra(dry.read(start, stop))
    energy = 2.0 * np.square(np.abs(x)).sum(axis=1) / size / float(np.square(taper).sum())
    answers = [by.polarity * spectra(fractional_delay.interpolate(by.wet, one, start, stop)) for one in by.maps]
    # If one lag is right, by the other comes what was played some samples later, or earlier.
    moved = [spectra(dry.read(start + later, stop + later)) for later in (step, -step)]
    phase = response.phase.conj() * response.weight
    seen = np.stack([_alike(x, answer, phase) for answer in answers], axis=1)
    itself = np.ones(count)
    if_first = np.stack((itself, _alike(x, moved[0], response.weight)), axis=1)
    if_other = np.stack((_alike(x, moved[1], response.weight), itself), axis=1)
    loud = energy > db_to_power(SILENT_DB)
    middle = start + hop * np.arange(count) + size / 2.0
    return _Frames(middle[loud], seen[loud], np.stack((if_first, if_other), axis=1)[loud])


def _alike(x: Complex, y: Complex, expected: Complex | Real) -> Real:
    """The correlation of half-whitened frames where bins count as `expected`, -1 to 1."""
    cross = x.conj() * y
    size = np.abs(cross)
    half = cross / np.sqrt(size + 1e-3 * size.mean(axis=1, keepdims=True) + 1e-30) * expected
    return np.asarray(half.real.sum(axis=1) / (np.abs(half).sum(axis=1) + 1e-30), np.float64)
