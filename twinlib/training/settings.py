"""The `training:` section of the configuration."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twinlib.section import Section

LONGEST_WINDOW = 512
"""Samples of the longest window of the multi-resolution STFT loss."""


def twin_file(path: str) -> Path:
    """The file of a twin that a user named by the file or by the folder that holds it."""
    named = Path(os.path.normpath(path))
    return named if named.suffix == ".safetensors" else named / "twin.safetensors"


Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Training(Section):
    """How a twin is trained. The defaults are the recipe with the lowest error for its CPU time in our measurements.

    Exactly one of `steps` and `cpu_seconds` is the budget; a budget in steps gives the same weights every time.
    """

    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    """Seed of the first weights and of the crops."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    """Trainings with the seeds `seed`, `seed` + 1, ..., one after the other, each with the whole budget; the one with
    the lowest validation ESR becomes the twin."""
    warm_start: str | None = None
    """A twin of the same network (its file, or the folder that holds it) whose weights the training starts from, such
    as one of a similar device; by default they are drawn. A twin of this configuration is made first; then write it at
    the entries of `experiments` that are to start from it."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Budget in optimiser steps."""
    cpu_seconds: Positive | None = None
    """Budget in seconds of processor time, over all resumptions, validation included."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` is a GPU if there is one."""
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that train one twin together, each on a core, or on a GPU, of its own. Each takes `batch` crops of a
    step, so that two train as one does with twice the batch."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 4
    """Crops in a step, for each process."""
    crop_samples: Annotated[int, Field(ge=2)] = 1024
    """Samples of a crop that are compared; its context comes on top."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """`muon` for the hidden convolutions and AdamW for all other weights, or AdamW for all."""
    muon_rate: Positive = 0.01
    """Learning rate of Muon. 0.01 was best of four on one device (Klon, gain 25 %), mostly with one seed, and with five
    layers of six taps."""
    adamw_rate: Positive = 0.004
    """Learning rate of AdamW."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps over which the learning rates rise to their full value."""
    decay_fraction: Fraction = 0.4
    """Last part of the budget, over which the learning rates fall to zero."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Validations without a new best after which a training at its full learning rate begins to decay, sooner than its
    budget asks; the decay then lasts `decay_fraction` of the shorter whole. Null means never."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay d of the running average of the weights, which then is what is validated and kept: it spans about
    1 / (1 - d) steps. 0 means none."""
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.85
    """Coefficient c of the filter 1 - c z^-1 that lifts the highs."""
    preemphasis_weight: Weight = 0.5
    """Weight of the error of the filtered signals beside that of the plain ones."""
    dc_weight: Weight = 0.05
    """Weight of the error of the mean."""
    stft_weight: Weight = 0.0
    """Weight of the multi-resolution STFT loss, which is added while the learning rates decay."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    valid_seconds: Positive = 20.0
    """Seconds of the validation split, in evenly spread excerpts, that are compared at each validation."""
    checkpoint_seconds: Weight = 30.0
    """Seconds between checkpoints."""

    @property
    def twin_to_start_from(self) -> Path | None:
        """The file that `warm_start` means."""
        return None if self.warm_start is None else twin_file(self.warm_start)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.cpu_seconds is None):
            raise ValueError("exactly one of steps and cpu_seconds must be set: it is the budget of a training")
        if self.stft_weight and self.crop_samples < LONGEST_WINDOW:
            raise ValueError(
                f"stft_weight needs crops of {LONGEST_WINDOW} samples or more, and crop_samples is {self.crop_samples}"
            )
        return self
