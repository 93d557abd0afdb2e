"""The twin: a trained network with all data needed for playback, in one file `twin.safetensors`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError
from torch import Tensor

from twinlib.contracts import TWIN, TWIN_FILE
from twinlib.errors import ModelError
from twinlib.model.architecture import Network
from twinlib.model.tensors import load_tensors, save_tensors
from twinlib.model.wavenet import WaveNet
from twinlib.section import Section


class _Header(Section):
    network: Network
    sample_rate: int = Field(gt=0)
    guard_samples: int = Field(ge=0)
    input_gain: float = Field(gt=0)
    output_gain: float = Field(gt=0)
    device: str
    model: str
    dataset: str
    provenance: str = ""
    metadata: dict[str, JsonValue]


@dataclass(frozen=True)
class Twin:
    """A trained model of one device at one setting, for mono signals."""

    network: Network
    """Architecture."""
    weights: Mapping[str, Tensor]
    """float32 tensors by their `WaveNet` parameter names."""
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

    def build(self) -> WaveNet:
        """Return the network with these weights, for inference; raise `ModelError` if they do not fit."""
        model = WaveNet(self.network, dry_delay=self.guard_samples)
        expected = model.state_dict()
        if missing := sorted(expected.keys() - self.weights.keys()):
            raise ModelError(f"missing weights: {', '.join(missing[:3])}. Retrain the twin")
        if unexpected := sorted(self.weights.keys() - expected.keys()):
            raise ModelError(f"unexpected weights: {', '.join(unexpected[:3])}. Retrain the twin")
        for name, tensor in expected.items():
            found = self.weights[name]
            if found.shape != tensor.shape or found.dtype != tensor.dtype:
                raise ModelError(
                    f"weight {name} is {found.dtype} {tuple(found.shape)}, but the network needs {tensor.dtype} "
                    f"{tuple(tensor.shape)}. Retrain the twin"
                )
        model.load_state_dict(dict(self.weights))
        return model.requires_grad_(False).eval()

    def save(self, path: Path) -> None:
        """Write the twin atomically; equal twins give equal bytes.

        Raises `ModelError` if the weights do not fit the network, or hold NaN or Inf.
        """
        self.build()
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
        twin.build()
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise ModelError(f"{file} is corrupted: {key}: {problem['msg']}") from None
    except ModelError as error:
        raise ModelError(f"{file} is corrupted: {error}") from None
    return twin
