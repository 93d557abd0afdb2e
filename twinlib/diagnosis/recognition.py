"""Places without a lag that the device explains.

What a hard fuzz makes of a loud chord does not resemble the chord, so that no window of it has a lag. The model of the
device, identified on the whole take, predicts it all the same; it predicts no other sound.
"""

import numpy as np
from scipy.ndimage import median_filter

from twinlib.alignment import Alignment
from twinlib.diagnosis.observations import MIN_LEVEL, Observations
from twinlib.diagnosis.spectra import Grid, Real
from twinlib.findings import Finding

MATCH_WINDOWS = 9
"""Windows, 0.4 s, of the median over time of the match."""

MIN_MATCH = 0.5
"""Correlation of the wet signal with its prediction from which the device made it: 0.6 and more through two hard
stages, 0.2 at most for other sound, 0.4 for the same chord at another time."""


def explained_places(
    alignment: Alignment, observations: Observations, dry_level: Real, grid: Grid
) -> tuple[Finding, ...]:
    """Return the findings on places that were not recognised, but whose wet signal the model predicts throughout.

    `dry_level` is the level of all windows: in `observations`, excluded windows are silent.
    """
    match = median_filter(observations.match, MATCH_WINDOWS, mode="nearest")
    time_map, rate = alignment.timemap, alignment.sample_rate
    found = []
    for finding in alignment.findings:
        if finding.code != "not-recognised" or finding.span is None:
            continue
        ends = (time_map.dry(second * rate) for second in (finding.span.start, finding.span.stop))
        first, stop = (int(np.clip((end - grid.start) / grid.hop, 0, grid.count)) for end in ends)
        sounding = dry_level[first:stop] > MIN_LEVEL
        if sounding.any() and (match[first:stop][sounding] > MIN_MATCH).all():
            found.append(finding)
    return tuple(found)
