"""Whether takes of one device were made with the same settings, by the features of their witness."""

from collections.abc import Mapping

import numpy as np

from twinlib.alignment import Alignment
from twinlib.diagnosis.change import Change, clear_cells, describe_change
from twinlib.diagnosis.repeats import Array
from twinlib.findings import Finding, suspect

MAX_DIFFERENCE_DB = 0.5
"""Difference of two takes, rms over all steps and bands, from which their settings differ. From day to day, a device
and a recorder change by less."""

MAX_NAMES = 3
"""Number of other takes that a sentence names."""


def compare_settings(alignments: Mapping[str, Alignment]) -> list[tuple[str, Finding]]:
    """Return a finding for each take of a device that was made with other settings than most takes.

    Takes without a witness are not compared. If the level of the takes is to be corrected, it may differ.
    """
    features = {
        name: np.array(one.witness.levels_dbfs) for name, one in sorted(alignments.items()) if one.witness is not None
    }
    shapes = [levels.shape for levels in features.values()]
    features = {name: levels for name, levels in features.items() if levels.shape == max(shapes, key=shapes.count)}
    if len(features) < 2:
        return []
    noise = np.max([_noise(alignments[name]) for name in features], axis=0)
    any_level = any(alignments[name].applied_gain != 1.0 for name in features)

    def change(first: Array, second: Array) -> Change:
        difference = second - first
        return describe_change(difference - np.median(difference) if any_level else difference, clear)

    clear = clear_cells(np.array(list(features.values())), noise)
    groups: list[list[str]] = []
    for name, levels in features.items():
        alike = [group for group in groups if change(features[group[0]], levels).rms_db < MAX_DIFFERENCE_DB]
        if alike:
            alike[0].append(name)
        else:
            groups.append([name])
    most = max(groups, key=len)
    middle = np.median([features[name] for name in most], axis=0)
    more = [f"{len(most) - MAX_NAMES} more"] if len(most) > MAX_NAMES else []
    others = ", ".join([*most[:MAX_NAMES], *more])
    return [
        (name, _finding(change(middle, features[name]), others))
        for group in groups
        if group is not most
        for name in group
    ]


def _noise(alignment: Alignment) -> Array:
    assert alignment.witness is not None
    return np.asarray(10.0 ** (np.array(alignment.witness.noise_dbfs) / 10.0))


def _finding(change: Change, others: str) -> Finding:
    change_db = round(change.change_db, 2)
    if change.kind == "level":
        return suspect("level-outlier", change_db=change_db, others=others)
    if change.kind == "drive":
        return suspect("drive-outlier", change_db=change_db, others=others)
    return suspect("tone-outlier", change_db=change_db, hertz=change.hertz, others=others)
