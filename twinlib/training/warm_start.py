"""Warm start: training from the weights of another twin of the same network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib.errors import ModelError, TrainingError
from twinlib.files import sha256_file
from twinlib.model import Network, Twin, load_twin


@dataclass(frozen=True)
class WarmStart:
    """The twin that supplies the initial weights."""

    path: Path
    """File of the twin."""
    sha256: str
    """Checksum of the file, part of the identity of the training."""
    twin: Twin
    """Content of the file."""


def read_warm_start(path: Path) -> WarmStart:
    """Read the twin that `training.warm_start` names; raise `TrainingError` if it cannot be read."""
    try:
        return WarmStart(path, sha256_file(path) if path.is_file() else "", load_twin(path))
    except ModelError as error:
        raise TrainingError(f"training.warm_start: {error}") from None


def check_warm_start(
    start: WarmStart, network: Network, sample_rate: int, guard_samples: int, linear_taps: int | str
) -> None:
    """Raise `TrainingError` if the network, sample rate (Hz) or guard of the twin differ, or if only one has a filter.

    A network beside a linear filter has learned what the filter leaves.
    """
    found_filter = start.twin.linear_filter is not None
    if linear_taps != "auto" and found_filter != bool(linear_taps):
        raise TrainingError(
            f"training.warm_start: {start.path} has {'a' if found_filter else 'no'} linear filter, but "
            f"training.linear_taps is {linear_taps}. Set linear_taps to auto, or remove warm_start"
        )
    for what, found, expected in (
        ("network", start.twin.network, network),
        ("sample rate", start.twin.sample_rate, sample_rate),
        ("guard", start.twin.guard_samples, guard_samples),
    ):
        if found != expected:
            values = "" if what == "network" else f" ({found}, not {expected})"
            raise TrainingError(
                f"training.warm_start: {start.path} has another {what}{values}. Choose a twin with the same network, "
                "sample rate and guard, or remove warm_start"
            )


def rescale_weights(twin: Twin, input_gain: float, output_gain: float) -> dict[str, npt.NDArray[np.float32]]:
    """Return the network's weights of a twin for other gains, such that its output stays the same.

    Each training measures the gains of its own data, because learning rates depend on the levels inside the network.
    The ratios of old to new gains fold into the weights on the input and into those of the head. A dry path has unity
    gain at any level.
    """
    input_ratio, output_ratio = twin.input_gain / input_gain, twin.output_gain / output_gain
    last = f"stacks.{len(twin.network.stacks) - 1}."
    head = (f"{last}head", f"{last}head_bias")
    weights = {}
    for name, weight in twin.network_weights.items():
        on_input = name == "stacks.0.rechannel" or name.endswith(".mix")
        on_output = name in head or name.endswith(".skip")
        weights[name] = weight * (input_ratio if on_input else output_ratio if on_output else 1.0)
    return weights
