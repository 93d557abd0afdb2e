"""Log a finished twin to MLflow, with all files that its stage records list."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import RUN
from twinlib.files import write_json
from twinlib.provenance import stage_record
from twinlib.tracking import Tracking, find_twin_files, log_if_reachable, log_twin, store_uri


def main() -> None:
    """Write `run.json`."""
    args = options(__doc__, device=str, model=str, tracking=str, results=Path, records=[Path], run=Path)
    uri = store_uri(Tracking.model_validate_json(args.tracking), args.results)
    files = find_twin_files(args.results, args.device, args.model, args.records)
    with stage_record(Path(__file__), files.all, [args.run], {"tracking": args.tracking}):
        write_json(args.run, RUN, log_if_reachable(lambda: log_twin(files, uri), uri, args.device))


if __name__ == "__main__":
    run(main)
