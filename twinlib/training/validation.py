"""The validation split in memory, and how near a network is to it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from twinlib.errors import TrainingError
from twinlib.model.wavenet import WaveNet


class Validation:
    """Dry `(receptive_field - 1 + n,)` and wet `(n,)` excerpts at the levels of the network.

    Raises `TrainingError`, which names the device, if the wet ones are silent or not finite.
    """

    def __init__(self, excerpts: Sequence[tuple[Tensor, Tensor]], device: str) -> None:
        self._excerpts = excerpts
        self._energy = sum(wet.double().square().sum().item() for _, wet in excerpts)
        if not math.isfinite(self._energy) or not self._energy > 0:
            problem = "silent" if self._energy == 0 else "not finite"
            raise TrainingError(
                f"The wet signal of the validation split is {problem}: check the recordings of {device}"
            )

    @torch.no_grad()
    def esr(self, model: WaveNet) -> float:
        """The error-to-signal ratio, pooled over all excerpts."""
        error = 0.0
        for dry, wet in self._excerpts:
            error += (model(dry[None])[0] - wet).double().square().sum().item()
        return error / self._energy
