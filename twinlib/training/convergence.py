"""Whether a training had converged when its budget ended, from the learning curve."""

import numpy as np
import numpy.typing as npt
import pandas as pd

MIN_VALIDATIONS = 4
"""The smallest number of validations from which the convergence is estimated."""

DECAY_GAIN = 3.0
"""The factor by which the decay of the learning rate alone lowers the ESR, at most."""


def late_improvement(curve: pd.DataFrame) -> float | None:
    """Return how much longer training lowered the validation ESR: best ESR at half the steps over best ESR at the end.

    1 is converged, 2 is an error halved in the second half. `curve` has the contract `training/1`; of several seeds,
    the best counts. Only validations at the full learning rate count, because its decay lowers the error of any
    training. If these are fewer than `MIN_VALIDATIONS`, all count and the result is divided by `DECAY_GAIN`. None if
    there are too few of any kind.
    """
    curve = curve[curve["valid_esr"].notna()]
    best = curve.nsmallest(1, "valid_esr")["seed"]
    curve = curve[curve["seed"].isin(best)]
    steps, errors = (curve[name].to_numpy(dtype=np.float64) for name in ("step", "valid_esr"))
    full = _at_full_rate(curve["learning_rate"].to_numpy(dtype=np.float64))
    if np.count_nonzero(full) >= MIN_VALIDATIONS:
        return _improvement(steps[full], errors[full])
    found = _improvement(steps, errors)
    return None if found is None else max(found / DECAY_GAIN, 1.0)


def _improvement(steps: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> float | None:
    if len(errors) < MIN_VALIDATIONS:
        return None
    first, second = errors[steps <= steps[-1] / 2], errors[steps > steps[-1] / 2]
    if not len(first) or not np.min(second) > 0.0:
        return None
    return max(float(np.min(first) / np.min(second)), 1.0)


def _at_full_rate(rates: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Mark the validations from the first to the last one at the highest rate: neither warm-up nor decay."""
    highest = rates >= 0.999 * np.max(rates, initial=0.0)
    return np.logical_or.accumulate(highest) & np.logical_or.accumulate(highest[::-1])[::-1]
