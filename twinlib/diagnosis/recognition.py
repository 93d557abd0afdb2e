"""Places without a lag, or with an outlier residual, that the device explains.

What a hard fuzz makes of a loud chord does not resemble the chord, so that no window of it has a lag. The model of the
device, identified on the whole take, predicts it all the same; it predicts neither other sounds nor those of other
times. Where music fades below the noise of the recording, there is nothing to recognise. After a rest, a gate opens
late.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from twinlib.alignment import Alignment
from twinlib.diagnosis.device_model import DeviceModel
from twinlib.diagnosis.observations import MIN_LEVEL, Observations, relative_error
from twinlib.diagnosis.spectra import BLOCK_WINDOWS, Complex, Grid, Real, read_spectra
from twinlib.findings import Finding
from twinlib.intervals import Range
from twinlib.resampling import Channel, TimeMap

MATCH_WINDOWS = 9
"""Windows, 0.4 s, of the median over time of the match."""

MIN_MATCH = 0.5
"""Correlation of the wet signal with its prediction from which the device made it, for a sound that lasts: 0.6 and more
for a chord through two hard stages, 0.4 for the same chord at another time. In held-out takes, one of a thousand
windows was below 0.48 for fuzzes, and half of them below 0.51 to 0.69 for rectifiers."""

MIN_MATCH_RATIO = 6.0
"""The same correlation relative to the rms of those at other times: 14 and more for a rectifier whose correlation is
0.35; at other times, 4 in one of a thousand windows and 6.3 at most (two takes)."""

MIN_TYPICAL = 0.45
"""The same correlation relative to the median of the take: a disturbance lowers it further than music does."""

NEAREST_WINDOWS, FARTHEST_WINDOWS = 3, 43
"""Distances of these other times: from 0.14 s, without shared samples, to 2 s."""

NOISE_PERCENTILE, MAX_NOISE_RATIO = 5.0, 2.0
"""Percentile of the wet energy of all windows that counts as its noise, and the multiple of it that noise reaches."""

ONSET_SECONDS = 0.15
"""Time from a rest in which a device may differ: a gate opens, or a supply settles."""


def explained_places(
    alignment: Alignment,
    dry: Channel,
    wet: Channel,
    model: DeviceModel,
    observations: Observations,
    dry_level: Real,
    grid: Grid,
) -> tuple[Finding, ...]:
    """Return the findings on places that were not recognised, but whose wet signal the model predicts throughout.

    `dry_level` is the level of all windows: in `observations`, excluded windows are silent.
    """
    match = _smooth(observations.match)
    audible = dry_level > MIN_LEVEL
    least = MIN_TYPICAL * float(np.median(match[audible])) if audible.any() else 1.0
    time_map, rate = alignment.timemap, alignment.sample_rate
    found = []
    for finding in alignment.findings:
        if finding.code != "not-recognised" or finding.span is None:
            continue
        ends = (time_map.dry(second * rate) for second in (finding.span.start, finding.span.stop))
        first, stop = (int(np.clip((end - grid.start) / grid.hop, 0, grid.count)) for end in ends)
        here = slice(first, stop)
        if not audible[here].any():
            continue
        unknown = audible[here] & (match[here] <= MIN_MATCH)
        if unknown.any():
            noise = float(np.percentile(observations.wet_energy, NOISE_PERCENTILE))
            ratio, is_noise = _compare_times(dry, wet, time_map, model, grid, (first, stop), noise)
            unknown &= ~is_noise & ~((ratio > MIN_MATCH_RATIO) & (match[here] > least))
        if not unknown.any():
            found.append(finding)
    return tuple(found)


def _compare_times(
    dry: Channel, wet: Channel, time_map: TimeMap, model: DeviceModel, grid: Grid, place: Range, noise: float
) -> tuple[Real, npt.NDArray[np.bool_]]:
    """Return the match of each window of a place relative to those at other times, and the mask of the windows in which
    the prediction and the wet signal are below the noise.
    """
    ratios, masks = [], []
    for begin in range(*place, BLOCK_WINDOWS):
        end = min(begin + BLOCK_WINDOWS, place[1])
        low, high = max(0, begin - FARTHEST_WINDOWS), min(grid.count, end + FARTHEST_WINDOWS)
        spectra = read_spectra(dry, wet, time_map, grid, low, high, model.scale)
        predicted = model.predict(spectra)
        sides = predicted, spectra.wet
        energies = [np.square(np.abs(side)).sum(axis=1) for side in sides]
        weight = np.sqrt(1.0 / relative_error(spectra, predicted)).astype(np.float32)
        inside = slice(begin - low, end - low)
        ratios.append(_match_ratio(*(weight * side for side in sides))[inside])
        masks.append(((energies[0] < noise) & (energies[1] < MAX_NOISE_RATIO * noise))[inside])
    return np.concatenate(ratios), np.concatenate(masks)


def _match_ratio(predicted: Complex, wet: Complex) -> Real:
    """Return the correlation of each window with its prediction, relative to the rms of those with other times."""
    x, y = (side / (np.linalg.norm(side, axis=1, keepdims=True) + np.float32(1e-20)) for side in (predicted, wet))
    matches, count = (x.conj() @ y.T).real, len(x)
    total, number = np.full(count, 1e-12), np.zeros(count)
    for distance in (*range(-FARTHEST_WINDOWS, 1 - NEAREST_WINDOWS), *range(NEAREST_WINDOWS, FARTHEST_WINDOWS + 1)):
        windows = slice(max(0, -distance), count - max(0, distance))
        total[windows] += np.square(_smooth(np.diagonal(matches, distance)))
        number[windows] += 1
    return np.asarray(_smooth(np.diagonal(matches)) / np.sqrt(total / np.maximum(number, 1)))


def _smooth(match: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(median_filter(match, MATCH_WINDOWS, mode="nearest"))


def late_onsets(alignment: Alignment, dry_level: Real, grid: Grid) -> tuple[Finding, ...]:
    """Return the findings on disturbed places within `ONSET_SECONDS` of a rest."""
    rests = grid.centre(0.0) + grid.hop * np.flatnonzero(dry_level <= MIN_LEVEL) + 0.5 * grid.hop
    time_map, rate = alignment.timemap, alignment.sample_rate
    found = []
    for finding in alignment.findings:
        if finding.code == "disturbed" and finding.span is not None:
            stop = time_map.dry(finding.span.stop * rate)
            last = rests[: np.searchsorted(rests, stop)]
            if len(last) and stop - last[-1] < ONSET_SECONDS * rate:
                found.append(finding)
    return tuple(found)
