"""Log a finished search to MLflow: a run for the study, one below it for each trial."""

from pathlib import Path

from twinlib.files import read_json, read_table, write_json
from twinlib.program import options, run
from twinlib.provenance.record import recorded
from twinlib.tracking import CONTRACT, store_uri
from twinlib.tracking_search import log_trial, start_study
from twinlib.tracking_settings import Tracking
from twinlib.training.search import COUNTS, WORKER, study_folder
from twinlib.training.search_settings import Search
from twinlib.training.trials import CONTRACT as TRIALS
from twinlib.training.trials import best_trial, from_table


def main() -> None:
    """Make `run.json`."""
    args = options(
        __doc__,
        search=str,
        device=str,
        settings=str,
        tracking=str,
        workers=[Path],
        trials=Path,
        files=[Path],
        store=Path,
        run=Path,
    )
    params = {"settings": args.settings, "tracking": args.tracking}
    with recorded(Path(__file__), [*args.workers, args.trials, *args.files], [args.run], params):
        identity = read_json(args.workers[0], WORKER)["identity"]
        folder = study_folder(args.run.parent, identity) / "runs"
        uri = store_uri(Tracking.model_validate_json(args.tracking), args.store.parents[1])
        parent = start_study(uri, args.device, args.search, folder, identity)
        # Trials may be added to a study, so their number is no parameter of it.
        settings = Search.model_validate_json(args.settings)
        parent.log_params({"search": settings.model_dump(mode="json", exclude=COUNTS)})
        trials = from_table(read_table(args.trials, TRIALS))
        for trial in trials:
            log_trial(uri, args.device, parent, folder, identity, trial)
        best = best_trial(trials)
        parent.log_metrics({"valid_esr": best.rungs[-1].valid_esr, "best_trial": best.number, "trials": len(trials)})
        parent.log_files([args.trials, *args.files])
        parent.finish()
        write_json(args.run, CONTRACT, {"experiment": args.device, "run_id": parent.run_id, "identity": identity})


if __name__ == "__main__":
    run(main)
