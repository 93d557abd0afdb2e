"""The twin: a trained network with all data needed for playback, in one file `twin.safetensors`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue, ValidationError

from twinlib.contracts import TWIN, TWIN_FILE
from twinlib.errors import ModelError
from twinlib.model.architecture import Network, parameter_shapes
from twinlib.model.tensors import load_tensors, save_tensors
from twinlib.section import Section

MAX_RATE = 768_000
"""Highest sample rate of a twin in Hz."""


class _Header(Section):
    network: Network
    sample_rate: int = Field(gt=0, le=MAX_RATE)
    guard_samples: int = Field(ge=0, le=MAX_RATE)
    input_gain: float = Field(gt=0)
    output_gain: float = Field(gt=0)
    device: str
    model: str
    dataset: str
    provenance: str = ""
    metadata: dict[str, JsonValue]


Weights = Mapping[str, npt.NDArray[np.float32]]
"""Weights of a network by the names of `parameter_shapes`."""

LINEAR = "linear.kernel"
"""Name of the linear filter among the weights of a twin."""


@dataclass(frozen=True)
class Twin:
    """A trained model of one device at one setting, for mono signals.

    The output is `output_gain * network(input_gain * x) + linear_filter * x`; the filter is optional.
    """

    network: Network
    """Architecture."""
    weights: Weights
    """Names and shapes as in `parameter_shapes`, arrays or tensors; with a linear filter also its impulse response
    `linear.kernel` `(taps,)`, at most as long as the receptive field."""
    sample_rate: int
    """Sample rate of the training signals, Hz."""
    guard_samples: int
    """Latency of the output in samples; `render_file` removes it."""
    input_gain: float = 1.0
    """Factor before the network."""
    output_gain: float = 1.0
    """Factor after the network."""
    device: str = ""
    """Name of the device in the configuration."""
    model: str = ""
    """Name of the model in the configuration."""
    dataset: str = ""
    """Digest of the training dataset."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values, such as `valid_esr`, `step` and `seed`."""
    provenance: str = ""
    """Chain hash of the training stage, which identifies the whole history of the twin."""

    def __post_init__(self) -> None:
        # The state of a torch module holds tensors.
        object.__setattr__(self, "weights", {name: np.asarray(weight) for name, weight in self.weights.items()})

    @property
    def linear_filter(self) -> npt.NDArray[np.float32] | None:
        """Impulse response `(taps,)` of the filter in parallel to the network, guard included; None without."""
        return self.weights.get(LINEAR)

    @property
    def network_weights(self) -> Weights:
        """Weights of the network alone."""
        return {name: weight for name, weight in self.weights.items() if name != LINEAR}

    def check_weights(self) -> None:
        """Raise `ModelError` unless names, shapes and dtypes of the weights fit the network."""
        expected = parameter_shapes(self.network)
        if self.linear_filter is not None:
            limit = self.network.receptive_field
            if self.linear_filter.ndim != 1 or not 1 <= len(self.linear_filter) <= limit:
                raise ModelError(
                    f"{LINEAR} has the shape {self.linear_filter.shape}, but needs 1 to {limit} taps, the receptive "
                    "field. Retrain the twin"
                )
            expected[LINEAR] = self.linear_filter.shape
        if missing := sorted(expected.keys() - self.weights.keys()):
            raise ModelError(f"missing weights: {', '.join(missing[:3])}. Retrain the twin")
        if unexpected := sorted(self.weights.keys() - expected.keys()):
            raise ModelError(f"unexpected weights: {', '.join(unexpected[:3])}. Retrain the twin")
        for name, shape in expected.items():
            found = self.weights[name]
            if found.shape != shape or found.dtype != np.float32:
                raise ModelError(
                    f"weight {name} is {found.dtype} {found.shape}, but the network needs float32 {shape}. "
                    "Retrain the twin"
                )

    def save(self, path: Path) -> None:
        """Write the twin atomically; equal twins give equal bytes.

        Raises `ModelError` if the weights do not fit the network, or hold NaN or Inf.
        """
        self.check_weights()
        header = _Header(
            network=self.network,
            sample_rate=self.sample_rate,
            guard_samples=self.guard_samples,
            input_gain=self.input_gain,
            output_gain=self.output_gain,
            device=self.device,
            model=self.model,
            dataset=self.dataset,
            provenance=self.provenance,
            metadata=dict(self.metadata),
        )
        save_tensors(path, TWIN, header.model_dump(mode="json"), self.weights)


def load_twin(path: Path) -> Twin:
    """Read a twin from its file or its folder.

    Raises `ModelError` if the file is missing, or was not written by `Twin.save`.
    """
    file = path / TWIN_FILE if path.is_dir() else path
    content, weights = load_tensors(file, TWIN)
    try:
        header = _Header.model_validate(content)
        twin = Twin(weights=weights, **{name: getattr(header, name) for name in _Header.model_fields})
        twin.check_weights()
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise ModelError(f"{file} is corrupted: {key}: {problem['msg']}") from None
    except ModelError as error:
        raise ModelError(f"{file} is corrupted: {error}") from None
    return twin
