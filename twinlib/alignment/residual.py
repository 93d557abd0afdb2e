"""Frame-wise residual check: spans in which the wet signal does not follow the dry signal.

A lag track detects faults that shift the rest of the take. A buffer played twice in place of another, a muted span or
a burst of noise shift nothing, but for some milliseconds the residual of the device's linear model is an outlier: far
above the baseline of its level and of its neighbourhood.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, median_filter, percentile_filter

from twinlib.alignment.brief_faults import find_brief_faults
from twinlib.audio import BLOCK
from twinlib.estimation import (
    DECIMATION,
    FRAME,
    FirModel,
    FrameSums,
    Real,
    compare_frames,
    identify_fir,
    residual_ratio,
)
from twinlib.intervals import Range, find_runs, merge_ranges
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel, TimeMap

Mask = npt.NDArray[np.bool_]

GROUP = 6
"""Frames of a group: 35 ms resolve a lower residual than 6 ms."""

COARSE = 32
"""Frames per row of the sums of a scan."""

NEIGHBOURHOOD_SECONDS = 1.5
"""Half width of the neighbourhood of the local baseline."""

MIN_CORRELATION = 0.6
"""Correlation of a whole take above which its residual is informative."""

OUTLIER_FACTOR = 6.0
"""Residual ratio of an outlier, relative to its baseline."""

LEVEL_OUTLIER_FACTOR = 15.0
"""Residual ratio of an outlier group relative to the baseline of its level, where its neighbourhood is damaged too."""

MIN_RESIDUAL_RATIO = 0.8
"""Residual ratio of any outlier; a bass that saturates the transformer of the demo reaches 0.6."""

NOISE_FACTOR = 4.0
"""Residual energy of an outlier, relative to the noise of the recording plus the leakage of loud neighbours."""

LEAKAGE = 1e-4
"""Share of the energy of the loudest frame nearby that a device may leave in a soft frame."""

MIN_POWER = 1e-8
"""Power of the predicted signal below which frames are skipped."""

MIN_PEAK = 1e-4
"""Dry peak, -80 dBFS, below which frames are skipped."""

MAX_REMAINING = 0.5
"""Share of the residual that may remain at the true lag of a span."""

RAISED_FACTOR, MIN_RAISED_RATIO, RAISED_GROUPS = 2.0, 0.05, 15
"""Residual ratio of a stretch around an outlier relative to the baseline of its level, its least value, and the number
of groups, half a second, over which their median counts."""

LEVEL_BINS = 24
"""Bins of similar level with their own baseline: devices distort loud signals more."""

MIN_FRAMES_PER_BIN = 16
"""Frames or groups that a level bin needs."""

LOUD_PEAK = 1e-2
"""Dry peak, -40 dBFS, that must be audible above the noise of a recording."""

MASKED_RATIO = 0.9
"""Residual ratio of a group that noise masks; a fuzz reaches as much."""

QUIET_PEAK = 1e-3
"""Dry peak, -60 dBFS, below which the wet signal is the noise of the recording."""

MIN_QUIET_GROUPS = 3
"""Quiet groups, 0.1 s, that determine that noise."""

MAX_NOISE_FACTOR = 4.0
"""Wet energy relative to the noise from which a group stands out of it."""

INVERTED_RATIO = 1.4
"""Residual ratio of a group with inverted polarity, an outlier whatever its baseline."""

MAX_EXCESS_ENERGY = 10.0
"""Wet energy, relative to the prediction, that distortion cannot explain."""

MAX_SILENT_ENERGY = 0.3
"""Wet energy, relative to the prediction, of a gate that is closed or closing."""

MIN_BAND_SHARE = 0.03
"""Energy of an outlier's residual, below 4 kHz, relative to the whole wet energy."""

SIMILAR_FACTOR, SIMILAR_OFFSET = 4.0, 0.02
"""A span passes if its residual ratio is below 4 times the baseline plus 0.02."""

ABRUPT_FRAMES, ABRUPT_SHARE = 8, 0.5
"""Frames, 50 ms, on either side of a fault in a sweep, and their residual ratio relative to that of the fault."""

_CHUNK = 64 * BLOCK


@dataclass(frozen=True)
class ResidualScan:
    """The residual of a take from dry sample `start` on, by the device's linear `model`.

    `cross`, `predicted` and `wet` are sums of products over `COARSE` frames each. `outliers` are the dry ranges
    [start, stop) whose residual is an outlier or whose wet signal is muted, `brief` those with crackles or mutes of
    milliseconds, `non_finite` those with NaN or infinite samples. `low_snr_share` is the share of the audible part that
    noise masks, `mean` the mean of the wet signal.
    """

    start: int
    model: FirModel
    cross: Real
    predicted: Real
    wet: Real
    outliers: tuple[Range, ...]
    brief: tuple[Range, ...]
    non_finite: tuple[Range, ...]
    low_snr_share: float
    mean: float

    @property
    def correlation(self) -> float:
        """The correlation of prediction and wet over the whole take."""
        return float(self.cross.sum() / np.sqrt(self.predicted.sum() * self.wet.sum() + 1e-20))

    @property
    def is_informative(self) -> bool:
        """Whether prediction and wet correlate enough to compare spans of the take by their residuals."""
        return self.correlation > MIN_CORRELATION

    def is_similar(self, start: int, stop: int) -> bool:
        """Whether the residual of dry samples [start, stop) is near that of the whole take, given the noise."""
        size = FRAME * COARSE
        first, last = max(0, (start - self.start) // size), max(0, -(-(stop - self.start) // size))
        cross, predicted, wet = (part[first:last].sum(keepdims=True) for part in (self.cross, self.predicted, self.wet))
        ratios = residual_ratio(self.cross, self.predicted, self.wet)
        noise = float((ratios * self.wet).min(initial=np.inf)) * (last - first)
        baseline = 1.0 - self.correlation**2
        limit = SIMILAR_FACTOR * baseline + SIMILAR_OFFSET + 2.0 * noise / (float(wet.sum()) + 1e-20)
        return bool((residual_ratio(cross, predicted, wet) < min(limit, 0.9)).all())


def improves_with_shift(
    dry: Channel,
    wet: Channel,
    timemap: TimeMap,
    model: FirModel,
    polarity: int,
    span: Range,
    samples: float,
    sign: int = 1,
) -> bool:
    """Whether a shift of the wet signal by some samples, times `sign`, at least halves the residual of a dry span."""
    ratios = []
    for shift, turned in ((0.0, polarity), (samples, sign * polarity)):
        blocks = compare_frames(dry, wet, timemap.shifted(shift), model, *span, turned)
        frames = FrameSums.concatenate([block for block, _ in blocks])
        ratios.append(float(frames.grouped(len(frames.cross)).residual_ratio[0]))
    return ratios[1] < MAX_REMAINING * ratios[0]


def scan_residual(
    dry: Channel,
    wet: Channel,
    timemap: TimeMap,
    start: int,
    stop: int,
    polarity: int,
    swept: Sequence[Range] = (),
    progress: Progress = no_progress,
) -> ResidualScan:
    """Compare the wet signal with its prediction from dry samples [start, stop), in constant memory.

    `wet` is read at integer lags and should be an `exact` channel, so that NaN and infinite samples are detected. In
    the dry ranges `swept`, sine sweeps, only residuals that rise and fall abruptly are outliers.
    """
    outliers: list[Range] = []
    brief: list[Range] = []
    non_finite: list[Range] = []
    sums: list[Real] = []
    total = 0.0
    loud_energy: list[Real] = []
    loud_masked: list[Mask] = []
    quiet: list[Real] = []
    model = identify_fir(dry, wet, timemap, start, stop, polarity, is_sweep=bool(swept))
    for first in range(start, stop, _CHUNK):
        last = min(first + _CHUNK, stop)
        parts = []
        for block, block_total in compare_frames(dry, wet, timemap, model, first, last, polarity):
            parts.append(block)
            total += block_total
        frames = FrameSums.concatenate(parts)
        groups, coarse = frames.grouped(GROUP), frames.grouped(COARSE)
        in_sweep = _mark(swept, first, len(frames.cross))
        found = _find_outliers(frames, groups, in_sweep, dry.rate)
        outliers += [(first + a * FRAME, first + b * FRAME) for a, b in found]
        brief += [(first + (a - 1) * FRAME, first + (b + 1) * FRAME) for a, b in find_brief_faults(frames)]
        non_finite += [(first + a * FRAME, first + b * FRAME) for a, b in find_runs(frames.non_finite)]
        # In a sweep the frequencies that the device distorts or removes follow each other.
        loud = (groups.peak > LOUD_PEAK) & ~in_sweep[::GROUP]
        in_band = groups.wet * DECIMATION > MIN_BAND_SHARE * groups.wet_parts.sum(axis=1)
        in_noise = (groups.residual_ratio > MASKED_RATIO) & (groups.wet > groups.predicted) & in_band
        loud_masked.append(in_noise[loud])
        loud_energy.append(groups.wet[loud] / GROUP)
        quiet.append(groups.wet[groups.peak < QUIET_PEAK] / GROUP)
        sums.append(np.array([coarse.cross, coarse.predicted, coarse.wet]))
        progress(last - first)
    cross, predicted, wet_energy = np.concatenate(sums, axis=1)
    masked = np.concatenate(loud_masked)
    noise, energy = np.concatenate(quiet), np.concatenate(loud_energy)
    if len(noise) >= MIN_QUIET_GROUPS:
        masked &= energy < MAX_NOISE_FACTOR * float(np.percentile(noise, 10.0))
    elif masked.any():
        # Noise is as loud throughout; what a rectifier or a fuzz makes of the programme is not.
        low, high = np.percentile(energy[masked], (10.0, 90.0))
        masked &= bool(high < MAX_NOISE_FACTOR * low)
    return ResidualScan(
        start=start,
        model=model,
        cross=cross,
        predicted=predicted,
        wet=wet_energy,
        outliers=tuple(outliers),
        brief=tuple(merge_ranges(brief)),
        non_finite=tuple(non_finite),
        low_snr_share=float(masked.mean()) if len(masked) >= MIN_FRAMES_PER_BIN else 0.0,
        mean=total / max(1, stop - start),
    )


@dataclass(frozen=True)
class _Baseline:
    """The expected residual ratio of each row: `by_level`, and `local`, which is at least `by_level`.

    `significant` rows have a residual above the noise and the leakage of loud neighbours. That of rows `in_band` is not
    only the skirt of a tone above the band of the comparison.
    """

    by_level: Real
    local: Real
    significant: Mask
    in_band: Mask

    @classmethod
    def estimate(cls, rows: FrameSums, sample_rate: int, size: int) -> "_Baseline":
        """Estimate the baseline of rows of `size` frames."""
        # Before an attack the prediction is small and uncertain.
        audible = (rows.predicted > MIN_POWER * FRAME / DECIMATION * size) & (rows.peak > MIN_PEAK)
        ratio, zeros = rows.residual_ratio, np.zeros(len(rows.predicted))
        if not audible.any():
            return cls(zeros, zeros, audible, audible)
        width = 2 * max(3, round(NEIGHBOURHOOD_SECONDS * sample_rate / FRAME / size)) + 1
        # Where the wet signal is missing, the prediction is the residual.
        energy = np.maximum(rows.wet, rows.predicted)
        noise = float(np.percentile((ratio * rows.wet)[audible], 10.0))
        limit = NOISE_FACTOR * (noise + LEAKAGE * maximum_filter1d(energy, width))
        clear = audible & (rows.predicted > limit)
        if not clear.any():
            return cls(zeros, zeros, clear, clear)
        by_level = _level_baseline(ratio, rows.peak, clear)
        nearby = percentile_filter(np.where(clear, ratio, 0.0), 90, width, mode="nearest")
        in_band = ratio * energy * DECIMATION > MIN_BAND_SHARE * rows.wet_parts.sum(axis=1)
        return cls(by_level, np.maximum(by_level, nearby), audible & (ratio * energy > limit), in_band)


def _mark(swept: Sequence[Range], start: int, count: int) -> Mask:
    """Return the mask of the frames from dry sample `start` on that touch a sweep."""
    mask = np.zeros(count, np.bool_)
    for first, last in swept:
        mask[max(0, (first - start) // FRAME) : max(0, -(-(last - start) // FRAME))] = True
    return mask


def _find_outliers(frames: FrameSums, groups: FrameSums, in_sweep: Mask, sample_rate: int) -> list[Range]:
    """Return runs of outlier frames with one frame of margin; at least two frames or two groups, or a zero run."""
    ratio = frames.residual_ratio
    # Digital silence of any length within audio is a buffer under-run.
    baseline = _Baseline.estimate(frames, sample_rate, 1)
    outlier = _is_outlier(frames, baseline, 1)
    for first, last in find_runs(_is_outlier(groups, _Baseline.estimate(groups, sample_rate, GROUP), GROUP)):
        inside = slice(first * GROUP, last * GROUP)
        # The outer frames of a group may belong to the intact neighbours.
        high = np.flatnonzero(ratio[inside] > 0.5 * float(np.median(ratio[inside])))
        outlier[inside.start + high[0] : inside.start + high[-1] + 1] = True
    # A gate is silent at low levels.
    outlier &= (baseline.by_level < MIN_RESIDUAL_RATIO) | (frames.wet > MAX_SILENT_ENERGY * frames.predicted)
    outlier &= ~in_sweep | _is_abrupt(ratio, outlier, in_sweep)
    outlier |= frames.zero_run
    around = _around(outlier, groups, sample_rate) & ~in_sweep
    return [(first - 1, last + 1) for first, last in find_runs(outlier | around)]


def _is_abrupt(ratio: Real, outlier: Mask, in_sweep: Mask) -> Mask:
    """Return the mask of outliers whose neighbours in the sweep have much lower residuals."""
    mask = np.zeros(len(ratio), np.bool_)
    for first, last in find_runs(outlier & in_sweep):
        sides = slice(max(0, first - ABRUPT_FRAMES), first), slice(last, last + ABRUPT_FRAMES)
        inside = [ratio[side] for side in sides if in_sweep[side].sum() == ABRUPT_FRAMES]
        limit = ABRUPT_SHARE * float(np.median(ratio[first:last]))
        mask[first:last] = bool(inside) and all(float(np.median(side)) < limit for side in inside)
    return mask


def _around(outlier: Mask, groups: FrameSums, sample_rate: int) -> Mask:
    """Return the mask of frames of stretches with outliers, a voice over the music for example, in which the residual
    is raised throughout.
    """
    baseline = _Baseline.estimate(groups, sample_rate, GROUP)
    excess = groups.residual_ratio / np.maximum(RAISED_FACTOR * baseline.by_level, MIN_RAISED_RATIO)
    smooth = median_filter(np.where(baseline.significant, excess, 0.0), RAISED_GROUPS, mode="nearest")
    raised = np.repeat(smooth > 1.0, GROUP)[: len(outlier)]
    for first, last in find_runs(raised):
        raised[first:last] = outlier[first:last].any()
    seeds = find_runs(raised)
    for (_, first), (last, _) in pairwise(seeds):
        raised[first:last] |= last - first < 2 * RAISED_GROUPS * GROUP
    return np.asarray(raised)


def _is_outlier(rows: FrameSums, baseline: _Baseline, size: int) -> Mask:
    """Return the mask of rows of `size` frames with an outlier residual, in runs of two or more."""
    ratio = rows.residual_ratio
    outlier = ratio > np.maximum(OUTLIER_FACTOR * baseline.local, MIN_RESIDUAL_RATIO)
    if size > 1:
        outlier |= ratio > np.maximum(LEVEL_OUTLIER_FACTOR * baseline.by_level, MIN_RESIDUAL_RATIO)
        # A filter that follows the envelope exceeds its mean response, too.
        gain = rows.wet / (rows.predicted + 1e-20)
        common = float(np.percentile(gain[baseline.significant], 90.0)) if baseline.significant.any() else 1.0
        outlier |= (ratio > MASKED_RATIO) & (gain > MAX_EXCESS_ENERGY * max(1.0, common))
        outlier |= ratio > INVERTED_RATIO
    outlier &= baseline.significant & (baseline.in_band | (ratio > INVERTED_RATIO))
    for first, last in find_runs(outlier):
        outlier[first:last] = last - first >= 2
    return np.asarray(outlier)


def _level_baseline(ratio: Real, peak: Real, clear: Mask) -> Real:
    """Return the 75th percentile of the ratio at each row's level; the 85th for the loudest bin, which may be small."""
    level, value = peak[clear], ratio[clear]
    count = max(1, min(LEVEL_BINS, len(level) // MIN_FRAMES_PER_BIN))
    bins = np.array_split(np.argsort(level, kind="stable"), count)
    centres = [float(level[members[len(members) // 2]]) for members in bins]
    percentiles = [float(np.percentile(value[members], 75.0)) for members in bins[:-1]]
    percentiles.append(float(np.percentile(value[bins[-1]], 85.0)))
    return np.asarray(np.interp(peak, centres, percentiles))
