"""The running average of the weights, which is judged and kept in place of the last ones."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from twinlib.model.wavenet import WaveNet


class Average:
    """An exponential average of a network's weights, as a network of its own.

    With a `decay` of d the average moves by 1 - d of the distance at each step: it spans about 1 / (1 - d) steps. The
    first steps span fewer, so that the weights from which the training started do not linger. With a decay of 0 the
    average is the trained network itself and costs nothing.
    """

    def __init__(self, model: WaveNet, decay: float) -> None:
        self._trained, self._decay = model, decay
        self.model = copy.deepcopy(model).requires_grad_(False) if decay else model

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps, counted from 1."""
        if self._decay:
            # The warm-up of TensorFlow's ExponentialMovingAverage.
            decay = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.model.parameters()), list(self._trained.parameters()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights by name; none if nothing is averaged."""
        return dict(self.model.state_dict()) if self._decay else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights that `state()` gave."""
        if self._decay:
            self.model.load_state_dict(dict(state))
