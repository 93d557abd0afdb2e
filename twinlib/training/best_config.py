"""What a search found, as a file that a training reads: `best.yaml`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from twinlib.contracts import BEST
from twinlib.errors import TrainingError
from twinlib.files import write_text
from twinlib.model.architecture import Architecture
from twinlib.training.settings import Training


def write_best(
    path: Path, search: str, trial: int, valid_esr: float, network: Architecture, recipe: Mapping[str, float]
) -> None:
    """Write the network as an entry of `models`, and the recipe as keys of `training`; equal content, equal bytes."""
    content = {
        "contract": BEST,
        "search": search,
        "trial": trial,
        "valid_esr": valid_esr,
        "network": network.model_dump(mode="json"),
        "training": dict(recipe),
    }
    write_text(path, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def resolve_model(network: str, settings: str, best: Sequence[Path]) -> tuple[Architecture, Training]:
    """A model's network and recipe, from JSON; with a file of a search, the network and parts of the recipe are its.

    Raises `TrainingError` if the file is none of `write_best`.
    """
    training = Training.model_validate_json(settings)
    if not best:
        return Architecture.model_validate_json(network), training
    path = best[0]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content["contract"] != BEST:
            raise ValueError(f"it holds {content['contract']}, not {BEST}")
        recipe = Training.model_validate({**training.model_dump(), **content["training"]})
        return Architecture.model_validate(content["network"]), recipe
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: run the search that makes it") from None
    except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise TrainingError(f"{path} is not what a search has found ({error}): delete it and run again") from None
