"""The `search:` section of the configuration, and the parameters of a trial."""

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from twinlib.model import STRETCHED, ActivationName, Architecture, Count, Counts
from twinlib.section import Section
from twinlib.training.settings import LONGEST_WINDOW, Training, Weight

NETWORK = ("channels", "kernel_size", "dilations", "activation")
"""Network parameters that a search varies; its base determines the others."""

RANGES = ("muon_rate", "adamw_rate", "preemphasis_weight")
"""Parameters whose choices are a range."""

RECIPE = ("muon_rate", "adamw_rate", "batch", "crop_samples", "preemphasis_weight")
"""Training parameters that a search varies; the section `training` determines the others."""


def _range(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range is [lowest, highest], not {list(value)}")
    return value


def _rising(value: tuple[float, ...]) -> tuple[float, ...]:
    if any(after <= before for before, after in pairwise(value)):
        raise ValueError("each budget must be larger than the one before")
    return value


Rate = Annotated[float, Field(gt=0)]
RateRange = Annotated[tuple[Rate, Rate], AfterValidator(_range)]
WeightRange = Annotated[tuple[Weight, Weight], AfterValidator(_range)]
Choices = Annotated[tuple[Count, ...], Field(min_length=1)]
Batch = Annotated[int, Field(ge=1, le=4096)]
Crop = Annotated[int, Field(ge=2)]


class Space(Section):
    """Search space: lists of choices, and ranges [lowest, highest].

    The values of the first trial, those of the base and of `training`, are added automatically. A list with one entry,
    or a range of zero width, fixes a value if the first trial has it too.
    """

    channels: Choices = (4, 8, 12, 16, 24)
    """Channels of the signal between layers."""
    kernel_size: Choices = (3, 6, 9)
    """Taps of each dilated convolution."""
    dilations: Annotated[tuple[Counts, ...], Field(min_length=1)] = (
        (1, 5, 29, 97, 227),
        (1, 4, 16, 64, 256),
        (1, 3, 9, 27, 81, 243),
        (1, 3, 7, 17, 41, 101, 239),
        (1, 2, 4, 8, 16, 32, 64, 128),
        (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        STRETCHED,
        (512, 256, 128, 64, 32, 16, 8, 4, 2, 1),
    )
    """Samples between taps, one list per network: number of layers, receptive field and order. In descending order a
    step costs half as much, but the network models the filtering of distortion products less accurately."""
    activation: Annotated[tuple[ActivationName, ...], Field(min_length=1)] = ("tanh", "leaky_relu", "gated")
    """Nonlinearity of all layers."""
    muon_rate: RateRange = (0.001, 0.04)
    """Learning rate of Muon, sampled on a logarithmic scale; constant with the optimiser `adamw`."""
    adamw_rate: RateRange = (0.001, 0.02)
    """Learning rate of AdamW, sampled on a logarithmic scale."""
    batch: Annotated[tuple[Batch, ...], Field(min_length=1)] = (2, 4, 8, 16)
    """Crops per step and process of the final training; a trial, in one process, uses those of all processes."""
    crop_samples: Annotated[tuple[Crop, ...], Field(min_length=1)] = (512, 1024, 2048)
    """Compared samples per crop."""
    preemphasis_weight: WeightRange = (0.0, 1.0)
    """Weight of the ESR of the pre-emphasised signals, relative to the plain ESR."""


class Parameters(Section):
    """Parameters of a trial: a point of the search space."""

    channels: int
    kernel_size: int
    dilations: tuple[int, ...]
    activation: ActivationName
    muon_rate: float
    adamw_rate: float
    batch: int
    crop_samples: int
    preemphasis_weight: float

    @classmethod
    def from_base(cls, base: Architecture, training: Training) -> "Parameters":
        """Return the parameters of a model and recipe, those of the first trial."""
        network = {name: getattr(base, name) for name in NETWORK}
        return cls.model_validate(network | {name: getattr(training, name) for name in RECIPE})

    def network(self, base: Architecture) -> Architecture:
        """Return the base with this trial's layers."""
        return Architecture.model_validate(base.model_dump() | {name: getattr(self, name) for name in NETWORK})

    def recipe(self, training: Training, **others: Any) -> Training:
        """Return the recipe with this trial's parameters and with `others`, such as the budget."""
        changed = {name: getattr(self, name) for name in RECIPE}
        return Training.model_validate({**training.model_dump(), **changed, **others})

    def trial_settings(self, training: Training, **budget: Any) -> Training:
        """Return the recipe of a trial: one seed, random initial weights, one process.

        The process trains on the crops of all processes of the recipe, so that steps equal those of the final training.
        """
        whole = {"processes": 1, "batch": self.batch * training.processes}
        return self.recipe(training, seeds=1, warm_start=None, **whole, **budget)


class Search(Section):
    """A search for the best network and recipe on one device; its name can be used as the name of a model.

    All trials train with a small budget, the best third with a larger one (asynchronous successive halving, Li et al.
    2020). The TPE sampler proposes new trials from the history (Bergstra et al. 2011). The criterion is the error on
    the validation split. With the default budgets a trial takes one minute of CPU time on average.
    """

    device: str
    """A key of `devices`: the device of the trials."""
    base: str
    """A key of `models`, not a preset: the network of the first trial, with the recipe of `training`."""
    trials: Annotated[int, Field(ge=1, le=100000)] = 40
    """Number of trials; a larger number later continues the search."""
    workers: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of parallel jobs. With one job the trials are reproducible; with several they depend on timing."""
    cpu_seconds: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=8), AfterValidator(_rising)] | None = None
    """Budgets in seconds of CPU time, in rising order, from that of all trials to that of the best; 20, 60 and 180 if
    `steps` is not set either."""
    steps: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8), AfterValidator(_rising)] | None = None
    """Budgets in steps instead of `cpu_seconds`: reproducible, but they ignore the cost of large networks."""
    multiply_adds: Count | None = None
    """Maximum multiply-adds per sample (`small` has 10,432); null for no limit."""
    receptive_field: Count = 8192
    """Maximum receptive field in samples; contiguous segments and clips must be longer."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler."""
    space: Space = Space()
    """Search space."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.cpu_seconds is not None and self.steps is not None:
            raise ValueError("set only one of steps and cpu_seconds: they are the budgets of the trials")
        return self

    @property
    def budgets(self) -> list[dict[str, float | None]]:
        """Budget per rung: `steps` and `cpu_seconds` of a training, one of them None."""
        if self.steps is not None:
            return [{"steps": steps, "cpu_seconds": None} for steps in self.steps]
        return [{"steps": None, "cpu_seconds": seconds} for seconds in self._seconds]

    @property
    def budget_labels(self) -> list[str]:
        """Budgets as text, such as `20 CPU-s`."""
        return [f"{value:g} {'steps' if self.steps else 'CPU-s'}" for value in self.steps or self._seconds]

    @property
    def _seconds(self) -> tuple[float, ...]:
        return self.cpu_seconds or (20.0, 60.0, 180.0)

    def fits(self, network: Architecture) -> bool:
        """Whether a network is within the limits of multiply-adds and receptive field."""
        cheap = self.multiply_adds is None or network.network.multiply_adds <= self.multiply_adds
        return cheap and self.fits_receptive_field(network)

    def fits_receptive_field(self, network: Architecture) -> bool:
        """Whether a network is within the limit of the receptive field."""
        return network.network.receptive_field <= self.receptive_field

    def including(self, base: Architecture, training: Training) -> "Search":
        """Return the search with the parameters of its first trial in its space."""
        wider: dict[str, Any] = {}
        for name, value in Parameters.from_base(base, training):
            allowed = getattr(self.space, name)
            if name in RANGES:
                wider[name] = min(allowed[0], value), max(allowed[1], value)
            elif value not in allowed:
                wider[name] = *allowed, value
        return self.model_copy(update={"space": self.space.model_copy(update=wider)})

    def objection(self, base: Architecture, training: Training) -> str | None:
        """Return why the base cannot be the first trial, starting with the conflicting key, or None."""
        if base.preset is not None:
            return f"base: '{self.base}' is a preset, whose layers are fixed. Use a model with its own layers"
        if training.stft_weight and min(self.space.crop_samples) < LONGEST_WINDOW:
            return (
                f"space.crop_samples: training.stft_weight needs crops of at least {LONGEST_WINDOW} samples. Remove "
                f"{min(self.space.crop_samples)}"
            )
        if not self.fits_receptive_field(base):
            needed = base.network.receptive_field
            return f"receptive_field: the first trial, the base '{self.base}', needs {needed}. Raise the limit"
        if not self.fits(base):
            needed = base.network.multiply_adds
            return f"multiply_adds: the first trial, the base '{self.base}', needs {needed}. Raise the limit"
        return None
