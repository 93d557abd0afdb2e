"""A warm start: a training that begins with the weights of another twin of the same network."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from twinlib.errors import ModelError, TrainingError
from twinlib.files import sha256_file
from twinlib.model.architecture import Network
from twinlib.model.twin import Twin, load_twin


@dataclass(frozen=True)
class Start:
    """The twin that a training starts from."""

    path: Path
    """Its file."""
    sha256: str
    """The sum of the file: part of the identity of the training."""
    twin: Twin
    """What it holds."""


def read_start(path: Path) -> Start:
    """Read the twin that `training.warm_start` names; raises `TrainingError` if there is none."""
    try:
        return Start(path, sha256_file(path) if path.is_file() else "", load_twin(path))
    except ModelError as error:
        raise TrainingError(f"training.warm_start: {error}") from None


def check_start(start: Start, network: Network, sample_rate: int, guard_samples: int) -> None:
    """Raise `TrainingError` if the twin is of another network, or was trained at another rate or guard."""
    for what, found, wanted in (
        ("network", start.twin.network, network),
        ("sample rate", start.twin.sample_rate, sample_rate),
        ("guard", start.twin.guard_samples, guard_samples),
    ):
        if found != wanted:
            numbers = "" if what == "network" else f" ({found}, not {wanted})"
            raise TrainingError(
                f"training.warm_start: {start.path} is a twin with another {what}{numbers}: name a twin that was "
                "trained with the same network, rate and guard, or leave warm_start out"
            )


def folded(twin: Twin, input_gain: float, output_gain: float) -> dict[str, Tensor]:
    """The twin's weights for other gains, so that the whole plays the same function.

    Trainings measure the gains of their own data anew, for the learning rates belong to the levels inside the network;
    so the old gains over the new go into the weights that touch the input, and into those of the head. A dry path has
    a gain of one whatever the levels.
    """
    dry, wet = twin.input_gain / input_gain, twin.output_gain / output_gain
    last = f"stacks.{len(twin.network.stacks) - 1}."
    head = (f"{last}head", f"{last}head_bias")
    weights: dict[str, Tensor] = {}
    for name, weight in twin.weights.items():
        touches_input = name == "stacks.0.rechannel" or name.endswith(".mix")
        of_head = name in head or name.endswith(".skip")
        weights[name] = weight * (dry if touches_input else wet if of_head else 1.0)
    return weights
