"""Make the MLflow store and one experiment a device, once, before anything is logged."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import STORE
from twinlib.files import write_json
from twinlib.tracking.runs import make_store, store_uri
from twinlib.tracking.settings import Tracking


def main() -> None:
    """Make the store, and `store.json` to say so."""
    args = options(__doc__, results=Path, tracking=str, experiments=[str], store=Path)
    settings = Tracking.model_validate_json(args.tracking)
    made = make_store(args.results, store_uri(settings, args.results), args.experiments) if settings.enabled else {}
    write_json(args.store, STORE, {"experiments": made})


if __name__ == "__main__":
    run(main)
