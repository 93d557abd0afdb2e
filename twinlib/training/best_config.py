"""The result of a search as a file for trainings: `best.yaml`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from twinlib.contracts import BEST, describe_mismatch
from twinlib.errors import TrainingError
from twinlib.files import write_text
from twinlib.model import Architecture
from twinlib.parsing import parse_yaml, read_text
from twinlib.training.settings import Training


def write_best(
    path: Path, search: str, trial: int, valid_esr: float, network: Architecture, recipe: Mapping[str, float]
) -> None:
    """Write the network (an entry of `models`) and the recipe (keys of `training`); equal content gives equal bytes."""
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
    """Return the network and recipe of a model from JSON; the file of a search, if given, overrides the JSON.

    Raises `TrainingError` if the file was not written by `write_best`.
    """
    training = Training.model_validate_json(settings)
    if not best:
        return Architecture.model_validate_json(network), training
    path = best[0]
    try:
        content = parse_yaml(read_text(path))
        if content["contract"] != BEST:
            raise TrainingError(f"{path} {describe_mismatch(content['contract'], BEST)}")
        recipe = Training.model_validate({**training.model_dump(), **content["training"]})
        return Architecture.model_validate(content["network"]), recipe
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist. Run the search that creates it") from None
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise TrainingError(f"{path} is not the result of a search ({error}). Delete it and run again") from None
