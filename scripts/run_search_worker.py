"""Run trials of a search until all are done; a stopped worker resumes."""

from pathlib import Path

import torch

from twinlib.cli_runtime import options, run
from twinlib.contracts import DATASET, SEGMENTS, WORKER
from twinlib.dataset import require_no_leaks
from twinlib.files import read_json, read_table, write_json
from twinlib.kernels import is_enabled
from twinlib.model import Architecture, Network
from twinlib.progress import show_progress
from twinlib.provenance import stage_record
from twinlib.tracking import Tracking, log_trial, start_study, store_uri
from twinlib.training import (
    Search,
    SearchTask,
    ShardData,
    Training,
    Trial,
    check_shards,
    open_study,
    run_worker,
    study_folder,
    study_identity,
    training_engine,
    training_identity,
    trials_digest,
)


def main() -> None:
    """Write `worker-{worker}.json` and, with the other workers, the study in the same folder."""
    args = options(
        __doc__,
        search=str,
        worker=str,
        settings=str,
        network=str,
        training=str,
        tracking=str,
        segments=Path,
        dataset=Path,
        leaks=Path,
        shards=[Path],
        results=Path,
        done=Path,
    )
    torch.set_num_threads(1)
    search, base = Search.model_validate_json(args.settings), Architecture.model_validate_json(args.network)
    training = Training.model_validate_json(args.training)
    inputs = [args.segments, args.dataset, args.leaks, *args.shards]
    params = {"settings": args.settings, "network": args.network, "training": args.training}
    params["kernels"] = str(is_enabled())
    with stage_record(Path(__file__), inputs, [args.done], params) as record:
        record.environment["kernels"] = training_engine(training.device)
        require_no_leaks(args.leaks)
        dataset = read_json(args.dataset, DATASET)
        check_shards({path: record.sha256(path) for path in args.shards}, dataset)
        segments = read_table(args.segments, SEGMENTS, ShardData.columns)
        code = training_identity(record.code, is_enabled())
        identity = study_identity(code, dataset["digest"], search, base, training)
        folder = study_folder(args.done.parent, identity)
        tracking, uri = Tracking.model_validate_json(args.tracking), ""
        if tracking.enabled:
            uri = store_uri(tracking, args.results)
            parent = start_study(uri, search.device, args.search, folder / "runs", identity, strict=False)

        def make_data(network: Network, settings: Training) -> ShardData:
            return ShardData(segments, dataset, args.shards[0].parent, network.receptive_field, settings)

        def log(trial: Trial) -> None:
            if tracking.enabled:
                log_trial(uri, search.device, parent, folder / "runs", identity, trial, strict=False)

        with show_progress(f"search {args.search}, worker {args.worker}", search.trials, "trials") as done:
            study = open_study(folder, search, base, training)
            run_worker(study, SearchTask(search, base, training, make_data, folder, code), log, done)
        result = {"identity": identity, "finished": trials_digest(study.trials(search.trials))}
        write_json(args.done, WORKER, result)


if __name__ == "__main__":
    run(main)
