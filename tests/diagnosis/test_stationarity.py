"""A gate is told from a change of level by the sections before and after it."""

import numpy as np

from twinlib.diagnosis.observations import Observations
from twinlib.diagnosis.stationarity import is_gate

WINDOWS, STEP = 400, 250
LEVEL = np.random.default_rng(0).uniform(0.05, 1.0, WINDOWS)
SOFT = LEVEL < 0.2


def observed(gain: np.ndarray) -> Observations:
    bands = np.ones((7, WINDOWS))
    return Observations(
        gain=gain * bands, energy=bands, weight=bands, level=LEVEL, tilt=bands[1:], correlation=bands[0],
        predicted_correlation=bands[0], residual=bands[1:], wet_energy=np.square(LEVEL * gain),
        match=bands[0],
    )  # fmt: skip


def test_a_gate_is_silent_for_soft_programme_before_and_after_a_change() -> None:
    later = np.where(np.arange(WINDOWS) < STEP, 1.0, 0.5)
    assert is_gate(observed(np.where(SOFT, 0.0, 1.0)))
    assert is_gate(observed(np.where(SOFT, 0.0, later)), [STEP])


def test_mutes_are_no_gate_and_a_gate_with_a_low_threshold_is_one() -> None:
    random = np.random.default_rng(1)
    muted, softest = np.ones(WINDOWS), np.ones(WINDOWS)
    muted[random.choice(WINDOWS, 15, replace=False)] = 0.0
    softest[np.argsort(LEVEL)[:12]] = 0.0
    assert not is_gate(observed(muted))
    assert is_gate(observed(softest))


def test_a_much_lower_level_is_no_gate() -> None:
    """More than half of the take is loud, so that the softest windows of all are those of the low level."""
    fallen = np.where(np.arange(WINDOWS) < STEP, 1.0, 0.05)
    order = np.argsort(LEVEL)
    level = np.empty(WINDOWS)
    level[np.concatenate((np.arange(STEP, WINDOWS), np.arange(STEP)))] = LEVEL[order]
    quiet_later = Observations(**{**vars(observed(fallen)), "level": level})
    assert is_gate(quiet_later)
    assert not is_gate(quiet_later, [STEP])
