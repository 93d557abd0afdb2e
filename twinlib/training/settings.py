"""The `training:` section of the configuration."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twinlib.settings import Settings

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Training(Settings):
    """How a twin is trained. The defaults are the recipe with the lowest error for its CPU time in our measurements.

    Exactly one of `steps` and `cpu_seconds` is the budget; a budget in steps gives the same weights every time.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the first weights and of the crops."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Budget in optimiser steps."""
    cpu_seconds: Positive | None = None
    """Budget in seconds of processor time, over all resumptions, validation included."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` is a GPU if there is one."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 4
    """Crops in a step."""
    crop_samples: Annotated[int, Field(ge=2)] = 1024
    """Samples of a crop that are compared; its context comes on top."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """`muon` for the hidden convolutions and AdamW for all other weights, or AdamW for all."""
    muon_rate: Positive = 0.01
    """Learning rate of Muon. 0.01 was best of four on one device (Klon, gain 25 %), mostly with one seed."""
    adamw_rate: Positive = 0.004
    """Learning rate of AdamW."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps over which the learning rates rise to their full value."""
    decay_fraction: Fraction = 0.4
    """Last part of the budget, over which the learning rates fall to zero."""
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.85
    """Coefficient c of the filter 1 - c z^-1 that lifts the highs."""
    preemphasis_weight: Weight = 0.5
    """Weight of the error of the filtered signals beside that of the plain ones."""
    dc_weight: Weight = 0.05
    """Weight of the error of the mean."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    valid_seconds: Positive = 20.0
    """Seconds of the validation split, in evenly spread excerpts, that are compared at each validation."""
    checkpoint_seconds: Weight = 30.0
    """Seconds between checkpoints."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.cpu_seconds is None):
            raise ValueError("exactly one of steps and cpu_seconds must be set: it is the budget of a training")
        return self
