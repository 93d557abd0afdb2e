"""Checkpoints: the complete state of a training on disk, for exact resumption."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, JsonValue, ValidationError
from torch import Tensor

from twinlib.contracts import CHECKPOINT, CHECKPOINT_FILE
from twinlib.errors import ModelError
from twinlib.model import load_tensors, save_tensors
from twinlib.section import Section

Row = dict[str, JsonValue]
"""A row of the learning curve."""

_PARTS = ("weights", "best", "average", "optimiser", "linear")


@dataclass
class State:
    """The state of a training between steps, apart from tensors; there is no random state."""

    step: int = 0
    """Steps done."""
    cpu_seconds: float = 0.0
    """CPU time used."""
    input_gain: float = 1.0
    """Factor before the network."""
    output_gain: float = 1.0
    """Factor after the network."""
    target_share: float = 1.0
    """Energy of the target of the network relative to the wet signal."""
    linear_esr: float | None = None
    """Validation ESR of the linear filter alone; None if none was fitted."""
    loss_sum: float = 0.0
    """Sum of the losses since the last row of the curve."""
    loss_count: int = 0
    """Count of these losses."""
    best_esr: float | None = None
    """Lowest validation ESR."""
    best_step: int = 0
    """Step of the lowest validation ESR."""
    end: float | None = None
    """End of the training in units of its budget, if patience ran out before the decay."""
    finished: bool = False
    """Whether the budget is used up."""
    rows: list[Row] = field(default_factory=list)
    """The learning curve."""


class _Header(Section):
    identity: str
    step: int
    cpu_seconds: Annotated[float, Field(ge=0)]
    input_gain: float
    output_gain: float
    target_share: float
    linear_esr: float | None
    loss_sum: float
    loss_count: int
    best_esr: float | None
    best_step: int
    end: float | None
    finished: bool
    rows: list[Row]


@dataclass(frozen=True)
class Checkpoint:
    """A state with its tensors: latest, best and averaged weights (if any), those of the optimiser, the filter."""

    state: State
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    linear: Mapping[str, Tensor]

    def fits(self, weights: Mapping[str, Tensor], averaged: bool) -> bool:
        """Whether weights (averaged ones only if `averaged`) have these names and shapes, and the filter `(taps,)`."""
        shapes = _shapes(weights)
        average = shapes if averaged else {}
        filters = all(tensor.ndim == 1 for tensor in self.linear.values())
        return filters and (_shapes(self.weights), _shapes(self.best), _shapes(self.average)) == (
            shapes,
            shapes,
            average,
        )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def save_checkpoint(folder: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in a folder atomically; raise `ModelError` if a tensor holds NaN or Inf.

    Latest state and best weights are in the same file, so that they always match, even after a kill.
    """
    parts = {name: getattr(checkpoint, name) for name in _PARTS}
    tensors = {
        f"{part}:{name}": tensor.detach().cpu().numpy()
        for part, content in parts.items()
        for name, tensor in content.items()
    }
    header = _Header(identity=identity, **vars(checkpoint.state)).model_dump(mode="json")
    save_tensors(folder / CHECKPOINT_FILE, CHECKPOINT, header, tensors)


def load_checkpoint(folder: Path, identity: str) -> Checkpoint | None:
    """Return the checkpoint of this training; None if it is missing, corrupted, or of another training."""
    try:
        content, tensors = load_tensors(folder / CHECKPOINT_FILE, CHECKPOINT)
        header = _Header.model_validate(content)
        if header.identity != identity:
            return None
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in _PARTS}
        for name, tensor in tensors.items():
            part, _, key = name.partition(":")
            parts[part][key] = torch.from_numpy(tensor)
    except (ModelError, ValidationError, LookupError, TypeError):
        # Unknown parts, or types that torch does not have.
        return None
    values = {name: getattr(header, name) for name in _Header.model_fields if name != "identity"}
    return Checkpoint(State(**values), **parts)
