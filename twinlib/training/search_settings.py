"""The `search:` section of the configuration, and what one trial of a search is."""

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from twinlib.model.architecture import STRETCHED, ActivationName, Architecture, Count, Counts
from twinlib.section import Section
from twinlib.training.settings import LONGEST_WINDOW, Training, Weight

NETWORK = ("channels", "kernel_size", "dilations", "activation")
"""What a search tries of a network; the rest is its base's."""

RECIPE = ("muon_rate", "adamw_rate", "batch", "crop_samples", "preemphasis_weight")
"""What a search tries of the training; the rest is the section `training`."""


def _range(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range goes from the lower to the higher number, not from {value[0]} to {value[1]}")
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
    """What a search tries: lists of choices, and ranges [lowest, highest].

    A list of one, or a range without width, fixes a value.
    """

    channels: Choices = (4, 8, 12, 16, 24)
    """Channels of the signal between layers."""
    kernel_size: Choices = (3, 6, 9)
    """Taps of every dilated convolution."""
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
    """Samples between taps, a list a network: how many layers there are, how far they look, and in which order. From
    long to short a step costs half as much, but what a device makes of its own distortion later is learnt worse."""
    activation: Annotated[tuple[ActivationName, ...], Field(min_length=1)] = ("tanh", "leaky_relu", "gated")
    """The nonlinearity of every layer."""
    muon_rate: RateRange = (0.001, 0.04)
    """Learning rate of Muon, drawn on a logarithmic scale; with the optimiser `adamw` it stays the recipe's."""
    adamw_rate: RateRange = (0.001, 0.02)
    """Learning rate of AdamW, drawn on a logarithmic scale."""
    batch: Annotated[tuple[Batch, ...], Field(min_length=1)] = (2, 4, 8, 16)
    """Crops in a step, for each of the recipe's processes; a trial takes those of all."""
    crop_samples: Annotated[tuple[Crop, ...], Field(min_length=1)] = (512, 1024, 2048)
    """Samples of a crop that are compared."""
    preemphasis_weight: WeightRange = (0.0, 1.0)
    """Weight of the error of the filtered signals beside that of the plain ones."""


class Parameters(Section):
    """One point of a space: what a trial tries."""

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
    def of(cls, base: Architecture, training: Training) -> "Parameters":
        """What a model and a recipe already are: the first trial."""
        network = {name: getattr(base, name) for name in NETWORK}
        return cls.model_validate(network | {name: getattr(training, name) for name in RECIPE})

    def network(self, base: Architecture) -> Architecture:
        """The base with this trial's layers."""
        return Architecture.model_validate(base.model_dump() | {name: getattr(self, name) for name in NETWORK})

    def recipe(self, training: Training, **others: Any) -> Training:
        """The recipe with this trial's rates and batches, and with other settings, such as the budget."""
        changed = {name: getattr(self, name) for name in RECIPE}
        return Training.model_validate({**training.model_dump(), **changed, **others})

    def trial(self, training: Training, **budget: Any) -> Training:
        """The recipe as a trial trains by it: one seed from drawn weights, as networks differ, in one process.

        That takes the crops of all processes that the recipe has, so that its steps are those of the final training.
        """
        whole = {"processes": 1, "batch": self.batch * training.processes}
        return self.recipe(training, seeds=1, warm_start=None, **whole, **budget)


class Search(Section):
    """A search for the best network and recipe on one device; its name may be used as a model's.

    It trains many trials for a short time and goes on with the best third for a longer one (asynchronous successive
    halving, Li et al. 2020); what to try next it learns from what it has seen (TPE, Bergstra et al. 2011). All is
    decided on the validation split. With the default budgets a trial takes a minute of processor time on average.
    """

    device: str
    """A key of `devices`: what the trials are trained on."""
    base: str
    """A key of `models`, no preset: the network that is tried first, with the recipe of `training`, and varied then."""
    trials: Annotated[int, Field(ge=1, le=100000)] = 40
    """How many trials there are; more may be asked for later, and the search goes on."""
    workers: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many jobs search side by side. With one the same seed gives the same trials; with more it depends on which
    ends first."""
    cpu_seconds: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=8), AfterValidator(_rising)] | None = None
    """The budgets in seconds of processor time, from that of every trial to that of the best; 20, 60 and 180 if neither
    these nor `steps` are given."""
    steps: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8), AfterValidator(_rising)] | None = None
    """The budgets in steps, in place of `cpu_seconds`: repeatable, but blind to what a large network costs."""
    multiply_adds: Count | None = None
    """The most multiplications for a sample of sound that a network may do (`small` does 10,432); null for any."""
    receptive_field: Count = 8192
    """The most samples that a network may look back, the present one included: segments joined together and clips must
    be longer."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of what is drawn."""
    space: Space = Space()
    """What is tried."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.cpu_seconds is not None and self.steps is not None:
            raise ValueError("only one of steps and cpu_seconds may be given: they are the budgets of the trials")
        return self

    @property
    def budgets(self) -> list[dict[str, float | None]]:
        """The rungs of the ladder: `steps` and `cpu_seconds` of a training, one of them null."""
        if self.steps is not None:
            return [{"steps": steps, "cpu_seconds": None} for steps in self.steps]
        return [{"steps": None, "cpu_seconds": seconds} for seconds in self._seconds]

    @property
    def budget_words(self) -> list[str]:
        """The budgets for people, such as `20 CPU-s`."""
        return [f"{value:g} {'steps' if self.steps else 'CPU-s'}" for value in self.steps or self._seconds]

    @property
    def _seconds(self) -> tuple[float, ...]:
        return self.cpu_seconds or (20.0, 60.0, 180.0)

    def fits(self, network: Architecture) -> bool:
        """Whether a network is small enough and looks back no further than it may."""
        cheap = self.multiply_adds is None or network.network.multiply_adds <= self.multiply_adds
        return cheap and self.reaches(network)

    def reaches(self, network: Architecture) -> bool:
        """Whether a network looks back no further than it may."""
        return network.network.receptive_field <= self.receptive_field

    def objection(self, base: Architecture, training: Training) -> str | None:
        """Why the base cannot be the first trial, beginning with the key that is in the way; else nothing."""
        if base.preset is not None:
            return f"base: '{self.base}' is a preset, whose layers cannot be varied: name a model that has its own"
        for name, value in Parameters.of(base, training):
            allowed = getattr(self.space, name)
            ranged = name in ("muon_rate", "adamw_rate", "preemphasis_weight")
            if not (allowed[0] <= value <= allowed[1] if ranged else value in allowed):
                of = f"the base '{self.base}'" if name in NETWORK else "the section training"
                found = list(value) if isinstance(value, tuple) else value
                return f"space.{name}: {of} has {found}, which is tried first, so it must be in the space: add it"
        if training.stft_weight and min(self.space.crop_samples) < LONGEST_WINDOW:
            return (
                f"space.crop_samples: training.stft_weight needs crops of {LONGEST_WINDOW} samples or more, and "
                f"{min(self.space.crop_samples)} is allowed: leave it out"
            )
        if not self.reaches(base):
            needs = base.network.receptive_field
            return f"receptive_field: the base '{self.base}', which is tried first, needs {needs}: allow as many"
        if not self.fits(base):
            needs = base.network.multiply_adds
            return f"multiply_adds: the base '{self.base}', which is tried first, needs {needs}: allow as many"
        return None
