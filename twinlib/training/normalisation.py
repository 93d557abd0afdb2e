"""The levels at which networks train, so that quiet devices learn as fast as loud ones."""

import numpy as np

from twinlib.errors import TrainingError
from twinlib.model.architecture import Network
from twinlib.training.data import TrainingData

INPUT_LEVEL = 0.4
"""Root mean square of what enters the network. In our measurements 0.4 beat 0.13, 1 and 3."""

HEAD_LEVEL = 2.0
"""Root mean square of what the head is to return before the network's `head_scale`. In our measurements 2 beat 6: the
weights of the head, drawn near zero, have less far to go."""

LEVEL_BATCHES = 64
"""Batches from which the levels of the training split are measured."""


def output_level(network: Network) -> float:
    """Root mean square of what the network is to return."""
    return HEAD_LEVEL * network.head_scale


def gains(data: TrainingData, network: Network) -> tuple[float, float]:
    """The factors before and after the network that bring the training split to its levels.

    With a dry path both belong to the level of the wet signal, so that its gain is one. Raises `TrainingError` if the
    split is silent or holds numbers that are not finite.
    """
    energies = np.zeros(2)
    for step in range(LEVEL_BATCHES):
        batch = data.batch(step)
        found = np.array([np.mean(np.square(part, dtype=np.float64)) for part in batch])
        if not np.isfinite(found).all():
            places = "; ".join(data.places(step))
            raise TrainingError(
                f"The training split holds samples that are not finite numbers ({places}): repair or leave out the "
                "recording"
            )
        energies += found / LEVEL_BATCHES
    dry, wet = np.sqrt(energies).tolist()
    if not dry > 0 or not wet > 0:
        silent_part = "dry" if not dry > 0 else "wet"
        raise TrainingError(
            f"The {silent_part} signal of the training split is silent: check the recordings of {data.device}"
        )
    output_gain = wet / output_level(network)
    return (1 / output_gain if network.dry_path else INPUT_LEVEL / dry), output_gain
