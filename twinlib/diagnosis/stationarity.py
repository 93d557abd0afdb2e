"""Whether the device is the same from beginning to end: steps and trends of its gains over the programme.

The gain of an unchanged device depends on the level and colour of the programme, which the device model cannot follow
in full. A Gaussian process over these conditions models that dependence, so that repetitions of similar programme do
not count as independent evidence, and generalised least squares estimates the step at every place (GLS; Aitken 1935).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from twinlib.diagnosis.observations import Observations, limit_outliers, standardise
from twinlib.diagnosis.spectra import Real

MAX_BLOCKS = 300
"""Blocks into which the windows of a take are averaged, whatever its length."""

MIN_BLOCKS = 24
"""Minimum number of blocks to separate a change from the programme."""

SIMILARITY = 0.35
"""Distance of similar conditions, in standard deviations of each condition."""

RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Tried ratios of the variance that depends on the conditions to the independent variance."""

MAX_MODEL_GAIN = 10.0
"""Median gain of loud windows relative to the model of the device from which that is the model of silence."""

MIN_GATED_WINDOWS, MAX_GATED_GAIN = 8, 0.3
"""Minimum number of windows of quiet programme to detect a gate, and their maximum gain relative to loud programme."""

TAIL_WINDOWS, MIN_FALL = 3, 4.0
"""Windows within which the dry level falls by this factor, so that the tail of a room becomes audible."""

MIN_TAILS, MIN_TAIL = 8, 0.3
"""Minimum number of such falls, and the median of the wet energy after them relative to the prediction, half a log
ratio: 1.7 and more in rooms, -0.1 in a gate with a slow release."""

CLOSED_GAIN, CLOSED_RANKS = 0.1, (0.12, 0.35)
"""Gain of a closed gate relative to an open one, and the largest ranks by level, from 0 to 1, of half and of four
fifths of the closed windows."""

EDGE_SECONDS = 1.0
"""Time at either end of a take that is not searched for changes."""

MIN_T = 5.7
"""t statistic of a change of all bands together, for a programme that is mixed well over the take, as on a reel."""

BAND_T = 1.5
"""Increase of `MIN_T` for a change of one band: there are more of them, and the model fits single bands less well."""

SECTION_T = 3.6
"""Increase of `MIN_T` for each e-fold by which the conditions vary more from section to section than mixed ones do."""

SECTION_SECONDS = 3.0
"""Duration of a section."""

MIN_CHANGE = 0.045
"""Smallest change of the gain over all bands, 0.4 dB."""

MIN_BAND_CHANGE = 0.09
"""Smallest change of the gain in one band."""

FOLLOWING_SHARE = 0.3
"""Share of the t statistic of the clearest change that further ones need."""

GRADUAL_RATIO = 1.05
"""Ratio of the t statistics of a ramp and the clearest step, from which the change is gradual."""

MAX_CHANGES = 4
"""Maximum number of changes in one take."""


@dataclass(frozen=True)
class Change:
    """A change of gain before `window`: relative gains of each band and of all after it, minus those before it.

    `quiet` and `loud` are the changes in the quieter and the louder half of the windows. A `gradual` change takes the
    whole take.
    """

    window: float
    gains: tuple[float, ...]
    errors: tuple[float, ...]
    quiet: float
    loud: float
    statistic: float
    gradual: bool


@dataclass(frozen=True)
class _Blocks:
    """Averages over blocks of `size` windows: `gain` `(series, blocks)`, `weight` and `conditions`."""

    size: int
    gain: Real
    weight: Real
    conditions: Real


def sectioning(observations: Observations, hop_seconds: float) -> float:
    """Return how much more the programme varies from section to section than a mixed one, as a logarithm from 0 on."""
    return _log_sectioning(_average(observations, observations.conditions(hop_seconds)), hop_seconds)


def find_changes(observations: Observations, hop_seconds: float) -> list[Change]:
    """Return the changes of the device in the order of the take."""
    blocks = _average(observations, observations.conditions(hop_seconds))
    if len(blocks.weight) < MIN_BLOCKS or not blocks.weight.any():
        return []
    edge = max(2, round(EDGE_SECONDS / hop_seconds / blocks.size))
    threshold = MIN_T + SECTION_T * _log_sectioning(blocks, hop_seconds)
    whitened = _Whitened(blocks)
    found: list[Change] = []
    places: list[int] = []
    while len(found) < MAX_CHANGES:
        candidates = (_clearest_step(whitened, number, places, edge) for number in range(len(blocks.gain)))
        best = max(candidates, key=lambda step: step.statistic)
        # After a large change, errors of the model are larger too.
        following = FOLLOWING_SHARE * max((change.statistic for change in found), default=0.0)
        if best.statistic < max(threshold, following):
            break
        gradual = not places and best.ramp_statistic > GRADUAL_RATIO * best.statistic
        found.append(_describe(observations, blocks, whitened, best, places, gradual))
        if gradual:
            break
        places.append(best.place)
    return sorted(found, key=lambda change: change.window)


@dataclass(frozen=True)
class _Step:
    """The clearest step of one series: the block after it, its t statistic (0 for none), and that of a ramp."""

    place: int
    statistic: float
    ramp_statistic: float


def _clearest_step(whitened: "_Whitened", number: int, places: list[int], edge: int) -> _Step:
    """Return the clearest step of a series, at least `edge` blocks from known steps and the ends of the take."""
    fit = whitened.fit(number, places)
    is_total = (number + 1) % (whitened.series // 2) == 0
    large = np.abs(fit.change) > (MIN_CHANGE if is_total else MIN_BAND_CHANGE)
    statistics = np.where(large, np.abs(fit.statistic) - (0.0 if is_total else BAND_T), 0.0)
    for place in (0, *places, len(statistics)):
        statistics[max(0, place - edge) : place + edge] = 0.0
    top = int(statistics.argmax())
    return _Step(top, float(statistics[top]), fit.ramp_statistic)


def is_gate(observations: Observations, steps: Sequence[int] = ()) -> bool:
    """Whether the device is silent below a level, as a gate is: its gain falls to nothing for quiet programme.

    It is so in all sections between the `steps`, windows at which the device may have changed.
    """
    edges = pairwise((0, *steps, len(observations.level)))
    sections = [np.arange(first, stop)[observations.audible[first:stop] > 0] for first, stop in edges]
    long = [section for section in sections if len(section) >= 4 * MIN_GATED_WINDOWS]
    return bool(long) and all(_is_gated(observations, section) for section in long)


def _is_gated(observations: Observations, windows: npt.NDArray[np.int64]) -> bool:
    level, gain = observations.level[windows], observations.gain[-1][windows]
    order = np.argsort(level, kind="stable")
    quiet, loud = order[: max(MIN_GATED_WINDOWS, len(order) // 10)], order[len(order) // 2 :]
    is_open = float(np.median(gain[loud]))
    if np.median(gain[quiet]) < MAX_GATED_GAIN * is_open:
        return True
    loudness = np.sqrt(observations.wet_energy[windows]) / level
    # The tail of a room is uncorrelated with soft programme too, but not silent.
    silent = loudness < 2.0 * CLOSED_GAIN * float(np.median(loudness[loud]))
    closed = np.flatnonzero((silent & (gain < CLOSED_GAIN * is_open))[order]) / len(order)
    # A gate with a low threshold is closed for few windows, among them some loud ones at which it opens late.
    return len(closed) >= MIN_GATED_WINDOWS and bool(
        np.percentile(closed, 50.0) < CLOSED_RANKS[0] and np.percentile(closed, 80.0) < CLOSED_RANKS[1]
    )


def has_tail(observations: Observations) -> bool:
    """Whether the wet signal goes on where the dry signal falls, as in a room but no gate; True if unknown."""
    level, count = observations.level, TAIL_WINDOWS
    falls = observations.audible[:-count] * level[:-count] > MIN_FALL * level[count:]
    if falls.sum() < MIN_TAILS:
        return True
    return bool(np.median(observations.energy[-1][count:][falls]) > MIN_TAIL)


def is_mostly_closed(observations: Observations) -> bool:
    """Whether a gate was closed for most of the programme, so that the model of the device is that of silence."""
    inside = observations.audible > 0
    gain = observations.gain[-1][inside]
    loud = observations.level[inside] >= np.percentile(observations.level[inside], 75.0)
    return bool(np.median(gain[loud]) > MAX_MODEL_GAIN)


def _average(observations: Observations, conditions: Real) -> _Blocks:
    """Average the windows over blocks, with outliers limited and one weight for all series."""
    windows = len(observations.level)
    size = max(2, -(-windows // MAX_BLOCKS))
    count = windows // size
    if not count:
        return _Blocks(size, np.zeros((2 * len(observations.gain), 0)), np.zeros(0), np.zeros((0, conditions.shape[1])))
    audible = observations.audible
    inside = audible > 0
    typical = np.median(observations.weight[-1][inside]) if inside.any() else 1.0
    weight = audible * observations.weight[-1] / (observations.weight[-1] + typical)
    limited = np.array([limit_outliers(each, inside) for each in (*observations.gain, *observations.energy)])

    def summed(values: Real) -> Real:
        return np.asarray(values[..., : count * size].reshape(*values.shape[:-1], count, size).sum(axis=-1))

    total = summed(weight)
    mean = summed(weight * limited) / (total + 1e-9)
    return _Blocks(size, mean, total / max(float(np.median(total)), 1e-9), summed(conditions.T).T / size)


def _log_sectioning(blocks: _Blocks, hop_seconds: float) -> float:
    """Return the log of how much more the conditions vary between sections than if they were mixed, at least 0."""
    size = max(1, round(SECTION_SECONDS / hop_seconds / blocks.size))
    z = standardise(blocks.conditions)
    count = len(z) // size
    if count < 3:
        return 0.0
    means = z[: count * size].reshape(count, size, -1).mean(axis=1)
    return max(0.0, float(np.log(np.mean(means.var(axis=0)) * size / 4.0)))


@dataclass(frozen=True)
class _Fit:
    """Estimates of a step before every block of one series, their t statistics, and that of a ramp."""

    change: Real
    statistic: Real
    ramp_statistic: float
    error: Real


class _Whitened:
    """The blocks in the eigenbasis of the covariance, where generalised least squares becomes ordinary."""

    def __init__(self, blocks: _Blocks) -> None:
        z = standardise(blocks.conditions)
        distance = np.square(z).sum(axis=1)[:, None] + np.square(z).sum(axis=1) - 2.0 * z @ z.T
        kernel = np.exp(-0.5 * np.maximum(distance, 0.0) / z.shape[1] / SIMILARITY**2)
        root = np.sqrt(np.minimum(blocks.weight, 3.0))
        values, vectors = np.linalg.eigh(root[:, None] * kernel * root)
        self.series = len(blocks.gain)
        self._values = np.maximum(values, 0.0)
        self._turn = vectors.T
        self._weighted = vectors.T * root
        count = len(z)
        self._regressors = self._weighted @ np.column_stack((np.ones(count), z))
        self._steps = np.cumsum(self._weighted[:, ::-1], axis=1)[:, ::-1]
        self._ramp = self._weighted @ (np.arange(count) / max(1, count - 1) - 0.5)
        self._gain = blocks.gain @ self._weighted.T

    def fit(self, number: int, places: list[int]) -> _Fit:
        """Fit a step before every block of one series, given the steps before the blocks `places`."""
        regressors = np.column_stack((self._regressors, self._steps[:, places]))
        target = self._gain[number]
        count, free = len(target), len(target) - regressors.shape[1]
        best = None
        for ratio in RATIOS:
            variance = 1.0 + ratio * self._values
            scale = 1.0 / np.sqrt(variance)
            a, b = regressors * scale[:, None], target * scale
            gram = a.T @ a + 1e-6 * count * np.eye(a.shape[1])
            error = b - a @ np.linalg.solve(gram, a.T @ b)
            likelihood = -0.5 * (
                free * np.log(error @ error / free + 1e-18) + np.log(variance).sum() + np.linalg.slogdet(gram)[1]
            )
            if best is None or likelihood > best[0]:
                best = likelihood, scale, a, gram, error
        assert best is not None
        _, scale, a, gram, error = best
        steps = np.column_stack((self._steps, self._ramp)) * scale[:, None]
        steps -= a @ np.linalg.solve(gram, a.T @ steps)
        energy, product = np.square(steps).sum(axis=0) + 1e-12, steps.T @ error
        change = product / energy
        rest = np.maximum(error @ error - product * change, 1e-12) / max(1, free - 1)
        deviation = np.sqrt(rest / energy)
        statistic = change / deviation
        return _Fit(change[:-1], statistic[:-1], abs(float(statistic[-1])), deviation[:-1])


def _describe(
    observations: Observations,
    blocks: _Blocks,
    whitened: _Whitened,
    step: _Step,
    places: list[int],
    gradual: bool,
) -> Change:
    """Measure a step, given the steps before the blocks `places`."""
    place = step.place
    fits = [whitened.fit(number, places) for number in range(len(blocks.gain))]
    level = blocks.conditions[:, 0]
    later = np.arange(len(level)) >= place
    low = max((other for other in places if other <= place), default=0)
    high = min((other for other in places if other > place), default=len(level))
    near = (np.arange(len(level)) >= low) & (np.arange(len(level)) < high) & (blocks.weight > 0.1)
    middle = float(np.median(level[near])) if near.any() else 0.0
    parts = []
    for half in (level <= middle, level > middle):
        before, after = (np.flatnonzero(half & near & side) for side in (~later, later))
        series = blocks.gain[-1]
        known = len(before) > 0 and len(after) > 0
        parts.append(float(np.median(series[after]) - np.median(series[before])) if known else 0.0)
    return Change(
        window=float(place * blocks.size),
        gains=tuple(float(fit.change[place]) for fit in fits),
        errors=tuple(float(fit.error[place]) for fit in fits),
        quiet=parts[0],
        loud=parts[1],
        statistic=step.statistic,
        gradual=gradual,
    )
