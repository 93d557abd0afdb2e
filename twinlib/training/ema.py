"""Exponential moving average of the weights, validated and kept instead of the last weights."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from twinlib.model import WaveNet


class WeightAverage:
    """An exponential moving average of the weights of a network, as a network.

    With `decay` d each step moves the average by 1 - d of its distance to the weights: the average spans about
    1 / (1 - d) steps, but fewer at the start, so that the initial weights fade quickly. With a decay of 0 the
    average is the trained network itself, at no cost.
    """

    def __init__(self, model: WaveNet, decay: float) -> None:
        self._trained, self._decay = model, decay
        self._averaged: AveragedModel | None = None
        self.model = model
        if decay:
            self._averaged = AveragedModel(model, avg_fn=self._blend)
            # The first update copies the weights and sets the count to 1: from then on, the count is the step.
            self._averaged.update_parameters(model)
            self.model = cast(WaveNet, self._averaged.module.requires_grad_(False))

    def update(self) -> None:
        """Add the weights after one more step."""
        if self._averaged is not None:
            self._averaged.update_parameters(self._trained)

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights by name; empty without averaging."""
        return dict(self.model.state_dict()) if self._averaged is not None else {}

    def load(self, state: Mapping[str, Tensor], step: int) -> None:
        """Restore the weights of `state()` after `step` steps."""
        if self._averaged is not None:
            self.model.load_state_dict(dict(state))
            self._averaged.n_averaged.fill_(step + 1)

    def _blend(self, average: Tensor, weight: Tensor, step: Tensor | int) -> Tensor:
        # Warm-up of TensorFlow's ExponentialMovingAverage.
        decay = min(self._decay, (1 + int(step)) / (10 + int(step)))
        return torch.lerp(average, weight, 1 - decay)
