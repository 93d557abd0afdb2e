"""Locate the MLflow store and the experiments of a results folder, without importing MLflow or torch."""

from pathlib import Path

from pydantic import ValidationError

from twinlib.contracts import STORE
from twinlib.errors import TwinError
from twinlib.files import read_json
from twinlib.provenance import read_record
from twinlib.tracking import Tracking, absolute_uri, store_uri


def resolve_store(results: Path, uri: str | None) -> str:
    """Return the given URI, else that of MLFLOW_TRACKING_URI, else the store that the stages logged to."""
    return absolute_uri(uri) if uri is not None else store_uri(recorded_tracking(results), results)


def list_experiments(results: Path) -> list[str]:
    """Return the experiments of these results, one per device, those of earlier configurations included; sorted."""
    devices = [path.name for room in ("devices", "twins") for path in results.glob(f"{room}/*") if path.is_dir()]
    return sorted({*(read_experiments(results / "mlflow" / "store.json") or {}), *devices})


def recorded_tracking(results: Path) -> Tracking:
    """Return the tracking settings of the first stage record that has them, else the defaults."""
    for pattern in ("twins/*/*/run.json.prov.json", "searches/*/run.json.prov.json"):
        for record in sorted(results.glob(pattern)):
            try:
                return Tracking.model_validate_json(read_record(record)["params"]["tracking"])
            except (TwinError, KeyError, ValidationError):
                continue
    return Tracking()


def read_experiments(path: Path) -> dict[str, str] | None:
    """Return the experiment ids in a `store.json` by name, or None if it is missing or damaged."""
    try:
        experiments: dict[str, str] = read_json(path, STORE)["experiments"]
    except (TwinError, KeyError):
        return None
    return experiments
