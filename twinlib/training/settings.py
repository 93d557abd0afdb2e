"""The `training:` section of the configuration."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twinlib.section import Section

LONGEST_WINDOW = 512
"""Longest window of the multi-resolution STFT loss in samples."""


def twin_file(path: str) -> Path:
    """Return the file of a twin, given by its file or its folder."""
    named = Path(os.path.normpath(path))
    return named if named.suffix == ".safetensors" else named / "twin.safetensors"


def training_identity(code: str, kernels: bool) -> str:
    """Return the identity of the code of a training: weights with and without the compiled kernels differ.

    The instruction set does not count, so that a training continues on another computer.
    """
    return code if kernels else f"{code}-torch"


Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Training(Section):
    """Training of a twin. The defaults are the recipe with the lowest error per CPU time in our measurements.

    Exactly one of `steps` and `cpu_seconds` is the budget; a budget in steps is reproducible.
    """

    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    """Seed of the initial weights and of the crops."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of trainings, with the seeds `seed`, `seed` + 1, ..., each with the whole budget; the one with the lowest
    validation ESR becomes the twin."""
    warm_start: str | None = None
    """A twin of the same network (file or folder) that supplies the initial weights, for example of a similar device;
    by default, the initial weights are random. A twin of this configuration is trained first; in that case set this key
    in the entries of `experiments` that start from it."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Budget in optimiser steps."""
    cpu_seconds: Positive | None = None
    """Budget in seconds of CPU time, over all resumptions, validation included."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device; `auto` is a GPU if available."""
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes for data-parallel training of one twin, each on its own core or GPU. Each trains on `batch` crops per
    step, so two processes are equivalent to one with twice the batch."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 4
    """Crops per step and process."""
    crop_samples: Annotated[int, Field(ge=2)] = 1024
    """Compared samples per crop, without its left context."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """`muon`: Muon for the hidden convolutions and AdamW for all other weights. `adamw`: AdamW for all."""
    muon_rate: Positive = 0.01
    """Learning rate of Muon. 0.01 was the best of four on one device (Klon, gain 25 %), mostly with one seed, for five
    layers of six taps."""
    adamw_rate: Positive = 0.004
    """Learning rate of AdamW."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of linear warm-up of the learning rates."""
    decay_fraction: Fraction = 0.4
    """Last fraction of the budget, over which the learning rates decay to zero."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Validations without a new best at the full learning rate before the decay starts early; the decay then takes
    `decay_fraction` of the shortened training. Null disables it."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay d of the exponential moving average of the weights, which is then validated and kept; it spans about
    1 / (1 - d) steps. 0 disables it."""
    linear_taps: Literal["auto"] | Annotated[int, Field(ge=0, le=65536)] = "auto"
    """Taps of a linear filter in parallel to the network, which then learns only what the filter leaves. It is fitted
    to the training split by least squares before the training. `auto` chooses up to 1024 taps on the validation split
    if the filter alone has a validation ESR of at most 1 %, as on mild devices, else none; 0 disables it. A `.nam` file
    with a filter has version 0.7, which old players refuse."""
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.85
    """Coefficient c of the pre-emphasis filter 1 - c z^-1."""
    preemphasis_weight: Weight = 0.5
    """Weight of the ESR of the pre-emphasised signals, relative to the plain ESR."""
    dc_weight: Weight = 0.05
    """Weight of the error of the mean (DC)."""
    stft_weight: Weight = 0.0
    """Weight of the multi-resolution STFT loss during the decay of the learning rates."""
    tone_crops: Annotated[int, Field(ge=0)] = 1
    """Crops per step and process that are steady sines, where the excitation has `tones`; music has at least one."""
    harmonic_weight: Weight = 0.001
    """Weight of the error of the harmonics of steady sines, relative to the level of each harmonic."""
    clip_norm: Positive = 1.0
    """Maximum gradient norm."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    valid_seconds: Positive = 20.0
    """Seconds of audio per validation, in evenly spaced excerpts of the validation split."""
    checkpoint_seconds: Weight = 30.0
    """Seconds between checkpoints."""

    @property
    def twin_to_start_from(self) -> Path | None:
        """File of the twin that `warm_start` names."""
        return None if self.warm_start is None else twin_file(self.warm_start)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.cpu_seconds is None):
            raise ValueError("set exactly one of steps and cpu_seconds: it is the budget of the training")
        if self.stft_weight and self.crop_samples < LONGEST_WINDOW:
            raise ValueError(
                f"stft_weight needs crop_samples of at least {LONGEST_WINDOW}, but crop_samples is {self.crop_samples}"
            )
        return self
