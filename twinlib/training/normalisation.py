"""Level normalisation: input and output gains that make training independent of the level of the device."""

import numpy as np

from twinlib.errors import TrainingError
from twinlib.model import Network
from twinlib.training.data import TrainingData
from twinlib.training.linear_part import NO_FILTER, LinearPart

INPUT_RMS = 0.4
"""RMS of the network input. Measured: 0.4 is better than 0.13, 1 and 3."""

HEAD_RMS = 2.0
"""RMS of the head output before `head_scale`. Measured: 2 is better than 6; the initial head weights are near zero."""

LEVEL_BATCHES = 64
"""Batches for measuring the levels of the training split."""


def target_rms(network: Network) -> float:
    """Return the target RMS of the network output."""
    return HEAD_RMS * network.head_scale


SMALLEST_TARGET = 1e-6
"""Smallest RMS of the target relative to the wet signal: a linear device leaves rounding errors only."""


def measure_gains(data: TrainingData, network: Network, linear: LinearPart = NO_FILTER) -> tuple[float, float, float]:
    """Return the input and the output gain that bring the training split to the target levels, and the target share.

    The target of the network is what the linear part leaves of the wet signal; its share is its energy relative to
    that of the wet signal. With a dry path both gains follow from the wet level, so that the dry gain is 1. Raises
    `TrainingError` if the split is silent or contains NaN or Inf.
    """
    energies = np.zeros(3)
    for step in range(LEVEL_BATCHES):
        dry, wet = data.batch(step)
        signals = dry, wet, linear.remove(dry, wet)
        means = np.array([np.mean(np.square(signal, dtype=np.float64)) for signal in signals])
        if not np.isfinite(means).all():
            crops = "; ".join(data.crop_positions(step))
            raise TrainingError(f"The training split contains NaN or Inf ({crops}). Repair or exclude the recording")
        energies += means / LEVEL_BATCHES
    dry_rms, wet_rms, left_rms = np.sqrt(energies).tolist()
    if not dry_rms > 0 or not wet_rms > 0:
        signal = "dry" if not dry_rms > 0 else "wet"
        raise TrainingError(
            f"The {signal} signal of the training split is silent. Check the recordings of {data.device}"
        )
    left_rms = max(left_rms, SMALLEST_TARGET * wet_rms)
    output_gain = left_rms / target_rms(network)
    return (1 / output_gain if network.dry_path else INPUT_RMS / dry_rms), output_gain, (left_rms / wet_rms) ** 2
