"""What a search found, as a file that a training reads: `best.yaml`."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from twinlib.errors import TrainingError
from twinlib.files import write_text
from twinlib.model.architecture import Architecture
from twinlib.training.search_settings import RECIPE, Parameters
from twinlib.training.settings import Training

CONTRACT = "best/1"
"""The contract of the file."""


def write_best(path: Path, search: str, trial: int, valid_esr: float, found: Parameters, base: Architecture) -> None:
    """Write the network as an entry of `models`, and the recipe as keys of `training`; equal content, equal bytes."""
    content = {
        "contract": CONTRACT,
        "search": search,
        "trial": trial,
        "valid_esr": valid_esr,
        "network": found.network(base).model_dump(mode="json"),
        "training": {name: getattr(found, name) for name in RECIPE},
    }
    write_text(path, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def with_best(path: Path, training: Training) -> tuple[Architecture, Training]:
    """The network that a search found, and the recipe `training` with what it found; the budget stays.

    Raises `TrainingError` if the file is none of `write_best`.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content["contract"] != CONTRACT:
            raise ValueError(f"it holds {content['contract']}, not {CONTRACT}")
        network = Architecture.model_validate(content["network"])
        recipe = {name: content["training"][name] for name in RECIPE}
        return network, Training.model_validate({**training.model_dump(), **recipe})
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: run the search that makes it") from None
    except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError, ValidationError) as error:
        raise TrainingError(f"{path} is not what a search has found ({error}): delete it and run again") from None
