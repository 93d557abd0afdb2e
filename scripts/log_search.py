"""Log a finished search to MLflow: a run for the study, with a child run for each trial."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import RUN
from twinlib.files import write_json
from twinlib.provenance import stage_record
from twinlib.tracking import Tracking, log_if_reachable, log_search, store_uri
from twinlib.training import Search


def main() -> None:
    """Write `run.json`."""
    args = options(
        __doc__,
        search=str,
        settings=str,
        tracking=str,
        workers=[Path],
        trials=Path,
        files=[Path],
        results=Path,
        run=Path,
    )
    params = {"settings": args.settings, "tracking": args.tracking}
    uri = store_uri(Tracking.model_validate_json(args.tracking), args.results)
    with stage_record(Path(__file__), [*args.workers, args.trials, *args.files], [args.run], params):
        settings = Search.model_validate_json(args.settings)
        files = args.workers, args.trials, args.files
        found = log_if_reachable(lambda: log_search(uri, args.search, settings, *files), uri, settings.device)
        write_json(args.run, RUN, found)


if __name__ == "__main__":
    run(main)
