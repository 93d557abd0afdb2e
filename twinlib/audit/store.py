"""Which MLflow store holds the runs of a results folder, and where in it: told without torch, and without MLflow."""

from pathlib import Path

from pydantic import ValidationError

from twinlib.contracts import STORE
from twinlib.errors import TwinError
from twinlib.files import read_json
from twinlib.provenance.record import read_record
from twinlib.tracking.runs import absolute_uri, store_uri
from twinlib.tracking.settings import Tracking


def store_of(results: Path, uri: str | None) -> str:
    """The store that is meant: the given one, else that of MLFLOW_TRACKING_URI or the one that the stages logged to."""
    return absolute_uri(uri) if uri is not None else store_uri(settings_of(results), results)


def experiments_of(results: Path) -> list[str]:
    """The experiments that hold runs of these results, sorted: one a device, those of earlier configurations too."""
    devices = [path.name for room in ("devices", "twins") for path in results.glob(f"{room}/*") if path.is_dir()]
    return sorted({*(experiments_in(results / "mlflow" / "store.json") or {}), *devices})


def settings_of(results: Path) -> Tracking:
    """Where the stages logged to, by the first record that says so."""
    for pattern in ("twins/*/*/run.json.prov.json", "searches/*/run.json.prov.json"):
        for record in sorted(results.glob(pattern)):
            try:
                return Tracking.model_validate_json(read_record(record)["params"]["tracking"])
            except (TwinError, KeyError, ValidationError):
                continue
    return Tracking()


def experiments_in(path: Path) -> dict[str, str] | None:
    """The experiments that a `store.json` names, None if there is no readable one."""
    try:
        found: dict[str, str] = read_json(path, STORE)["experiments"]
    except (TwinError, KeyError):
        return None
    return found
