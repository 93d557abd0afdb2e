"""The validation split in memory, and the error of a network on it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from twinlib.errors import TrainingError
from twinlib.model import WaveNet


class ValidationSet:
    """Dry `(receptive_field - 1 + n,)` and target `(n,)` excerpts at the levels of the network.

    `energy` is that of the wet signal at the level of the targets. Raises `TrainingError`, with the name of the device,
    if the wet excerpts are silent or contain NaN or Inf.
    """

    def __init__(self, excerpts: Sequence[tuple[Tensor, Tensor]], energy: float, device: str) -> None:
        self._excerpts, self._energy = excerpts, energy
        if not math.isfinite(self._energy) or not self._energy > 0:
            problem = "silent" if self._energy == 0 else "not finite"
            raise TrainingError(
                f"The wet signal of the validation split is {problem}. Check the recordings of {device}"
            )

    @torch.no_grad()
    def esr(self, model: WaveNet) -> float:
        """Return the error-to-signal ratio of the twin, pooled over all excerpts."""
        error = 0.0
        for dry, target in self._excerpts:
            error += (model(dry[None])[0] - target).double().square().sum().item()
        return error / self._energy
