"""What the runs of twins are called, and their parameters."""

from typing import Any

from twinlib.model import Architecture


def run_name(device: str, model: str) -> str:
    """Return the name of the run of a twin, a search or a trial."""
    return f"{device}/{model}"


def network_params(architecture: Architecture) -> dict[str, Any]:
    """Return the parameters of a network: the entry of the configuration and, for a preset, what it stands for."""
    written = architecture.model_dump(mode="json")
    if architecture.preset is None:
        return written
    resolved = architecture.network.model_dump(mode="json")
    stacks = {str(index): stack for index, stack in enumerate(resolved.pop("stacks"))}
    return {**written, **resolved, "stacks": stacks, "receptive_field": architecture.network.receptive_field}
