"""A twin as an MLflow model, with its weights as safetensors, and as a version of the registered model of its device.

The alias `best` names the version with the lowest test ESR on the newest dataset of the device.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from twinlib.files import sha256_file
from twinlib.model import Twin, load_twin
from twinlib.tracking.outage import is_server
from twinlib.tracking.runs import Run
from twinlib.version import UNKNOWN, library_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "best"
"""The alias of the best twin of a device."""

LOADER = "twinlib.tracking.pyfunc_model"
"""The module by which MLflow loads a twin."""

_EXAMPLE_SAMPLES = 8
_NOT_IN_NAMES = re.compile(r"[/:.%\"'`]")
_MODEL_ID, _ESR, _DATASET = "model.id", "esr", "dataset.sha256"


def registered_name(device: str) -> str:
    """Return the name of the registered model of a device: MLflow excludes some characters."""
    return _NOT_IN_NAMES.sub("-", device)


def save_model(twin: Twin, file: Path, folder: Path) -> None:
    """Write an MLflow model of a twin, whose file is `file`, into a new folder.

    Input and output are float32 samples `(n,)`; the parameter `sample_rate` is by default that of the twin.
    """
    # The import takes seconds.
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    samples = Schema([TensorSpec(np.dtype(np.float32), (-1,))])
    rate = ParamSchema([ParamSpec("sample_rate", DataType.long, twin.sample_rate)])
    pyfunc.save_model(
        str(folder),
        loader_module=LOADER,
        data_path=str(file),
        signature=ModelSignature(samples, samples, rate),
        input_example=np.linspace(-0.5, 0.5, _EXAMPLE_SAMPLES, dtype=np.float32),
        pip_requirements=["twinlib" if (version := library_version()) == UNKNOWN else f"twinlib=={version}"],
        metadata={"device": twin.device, "model": twin.model, "provenance": twin.provenance},
    )


def log_model(run: Run, file: Path, tags: Mapping[str, str], esr: float) -> None:
    """Log a twin as a model of its run, register it, and move the alias of its device. Idempotent.

    `tags` are those of the run; `esr` is the test ESR.
    """
    twin, digest = load_twin(file), sha256_file(file)

    def log(client: "MlflowClient", run_id: str) -> None:
        model_id = _logged_model(client, run_id, twin, file, digest)
        _register(client, run.uri, run_id, model_id, registered_name(twin.device), tags, esr)

    run.log("the model", log)


def _logged_model(client: "MlflowClient", run_id: str, twin: Twin, file: Path, digest: str) -> str:
    """Return the id of the model of a run, which is logged if it is missing."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run = client.get_run(run_id)
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    ready = [one for one in found if one.status == LoggedModelStatus.READY and one.tags.get("twin.sha256") == digest]
    for one in found:
        # A killed process left it unfinished.
        if one not in ready and one.status != LoggedModelStatus.READY:
            client.delete_logged_model(one.model_id)
    if ready:
        model_id = str(ready[0].model_id)
    else:
        tags = {"device": twin.device, "model": twin.model, "twin.sha256": digest}
        name = registered_name(f"{twin.device}-{twin.model}")
        made = client.create_logged_model(run.info.experiment_id, name, run_id, tags, model_type="twin")
        model_id = str(made.model_id)
        with TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            save_model(twin, file, folder)
            client.log_model_artifacts(model_id, str(folder))
        client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    if run.outputs is None or model_id not in [one.model_id for one in run.outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def _register(
    client: "MlflowClient", uri: str, run_id: str, model_id: str, name: str, tags: Mapping[str, str], esr: float
) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="Digital twins of one device.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    if model_id not in [one.tags.get(_MODEL_ID) for one in versions]:
        # For `models:/` and a database, MLflow asks the store of the process instead of the client's.
        source = f"models:/{model_id}" if is_server(uri) else client.get_logged_model(model_id).artifact_location
        described = {key: tags[key] for key in ("device", "model", "verdict", _DATASET, "twin.sha256") if key in tags}
        described |= {_MODEL_ID: model_id, _ESR: repr(esr)}
        client.create_model_version(name, source, run_id, described, await_creation_for=0, model_id=model_id)
    _move_alias(client, name)


def _move_alias(client: "MlflowClient", name: str) -> None:
    """Move the alias until the best version stays the same: another job may register one at the same time."""
    moved = None
    while (best := best_version(client.search_model_versions(f"name = '{name}'"))) not in (None, moved):
        client.set_registered_model_alias(name, ALIAS, best)
        moved = best


def best_version(versions: Sequence[Any]) -> str | None:
    """Return the version with the lowest ESR among those on the dataset of the newest version; None without any."""
    if not versions:
        return None
    newest = max(versions, key=lambda one: int(one.version))
    comparable = [one for one in versions if one.tags.get(_DATASET) == newest.tags.get(_DATASET)]
    ranked = [(float(one.tags.get(_ESR, "nan")), int(one.version)) for one in comparable]
    return str(min((one for one in ranked if math.isfinite(one[0])), default=(0.0, int(newest.version)))[1])
