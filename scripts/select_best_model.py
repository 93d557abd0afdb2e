"""Select the best network and recipe of a search, and list all trials."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import TRIALS, WORKER
from twinlib.errors import TrainingError
from twinlib.files import read_json, write_table, write_text
from twinlib.model import Architecture
from twinlib.provenance import stage_record
from twinlib.training import (
    RECIPE,
    Search,
    Training,
    best_trial,
    finished_trials,
    format_trials,
    open_study,
    study_folder,
    to_table,
    write_best,
)


def main() -> None:
    """Write `best.yaml`, `trials.parquet` and `trials.txt`."""
    args = options(
        __doc__,
        search=str,
        settings=str,
        network=str,
        training=str,
        workers=[Path],
        best=Path,
        trials=Path,
        table=Path,
    )
    search, base = Search.model_validate_json(args.settings), Architecture.model_validate_json(args.network)
    training = Training.model_validate_json(args.training)
    params = {"settings": args.settings, "network": args.network, "training": args.training}
    with stage_record(Path(__file__), args.workers, [args.best, args.trials, args.table], params):
        identities = {read_json(path, WORKER)["identity"] for path in args.workers}
        if len(identities) != 1:
            raise TrainingError(
                f"The workers of {args.search} ran different searches. Delete {args.workers[0].parent} and run again"
            )
        study = open_study(study_folder(args.best.parent, identities.pop()), search, base, training)
        trials = finished_trials(study, search)
        best = best_trial(trials)
        recipe = best.parameters.model_dump(include=set(RECIPE))
        write_best(args.best, args.search, best.number, best.rungs[-1].valid_esr, best.parameters.network(base), recipe)
        write_table(args.trials, TRIALS, to_table(trials, base))
        text = format_trials(trials, base, search.budget_labels)
        write_text(args.table, text)
    print(text)


if __name__ == "__main__":
    run(main)
