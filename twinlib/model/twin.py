"""The twin: a trained network with all that is needed to play it, in one file `twin.safetensors`."""

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
from twinlib.settings import Settings


class _Header(Settings):
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
    """A trained model of one device at one setting, for signals of one channel."""

    network: Network
    """Its architecture."""
    weights: Mapping[str, Tensor]
    """float32 tensors by their names in `WaveNet`."""
    sample_rate: int
    """Hz of the signals that it was trained on."""
    guard_samples: int
    """Samples by which its output is late on purpose; `render` takes them out."""
    input_gain: float = 1.0
    """Factor before the network."""
    output_gain: float = 1.0
    """Factor after the network."""
    device: str = ""
    """Name of the device in the configuration."""
    model: str = ""
    """Name of the architecture in the configuration."""
    dataset: str = ""
    """Digest of the dataset that it learned from."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON."""
    provenance: str = ""
    """The link of the stage record that tells how it was made: all of its history hangs on it."""

    def build(self) -> WaveNet:
        """The network with these weights, for inference; raises `ModelError` if they do not fit."""
        model = WaveNet(self.network, dry_delay=self.guard_samples)
        wanted = model.state_dict()
        if missing := sorted(wanted.keys() - self.weights.keys()):
            raise ModelError(f"the twin lacks {', '.join(missing[:3])}: train it again")
        if foreign := sorted(self.weights.keys() - wanted.keys()):
            raise ModelError(f"the twin holds {', '.join(foreign[:3])}, which its network has not: train it again")
        for name, tensor in wanted.items():
            found = self.weights[name]
            if found.shape != tensor.shape or found.dtype != tensor.dtype:
                raise ModelError(
                    f"the twin's {name} is {found.dtype} {tuple(found.shape)}, its network wants "
                    f"{tensor.dtype} {tuple(tensor.shape)}: train it again"
                )
        model.load_state_dict(dict(self.weights))
        return model.requires_grad_(False).eval()

    def save(self, path: Path) -> None:
        """Write the twin, whole or not at all; equal twins give equal bytes.

        Raises `ModelError` if its weights do not fit its network or are not finite.
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
    """Read a twin from its file or from the folder that holds it.

    Raises `ModelError` if there is none, or if anything in the file is not as `Twin.save` writes it.
    """
    file = path / TWIN_FILE if path.is_dir() else path
    content, weights = load_tensors(file, TWIN)
    try:
        header = _Header.model_validate(content)
        twin = Twin(weights=weights, **{name: getattr(header, name) for name in _Header.model_fields})
        twin.build()
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ModelError(f"{file} is damaged: {place}: {problem['msg']}") from None
    except ModelError as error:
        raise ModelError(f"{file} is damaged: {error}") from None
    return twin
