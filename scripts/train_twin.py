"""Train the twin of a device; a stopped training resumes."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from twinlib.cli_runtime import options, run
from twinlib.contracts import DATASET, TRAINING
from twinlib.dataset import require_no_leaks
from twinlib.files import read_json, write_table
from twinlib.kernels import is_enabled
from twinlib.provenance import stage_code, stage_record
from twinlib.tracking import Tracking, log_training
from twinlib.training import (
    TrainingRun,
    check_shards,
    launch,
    needs_launch,
    process_group,
    rank,
    read_warm_start,
    resolve_model,
    run_training,
    training_engine,
    training_identity,
)


def main() -> None:
    """Write `twin.safetensors` and `training.parquet`."""
    args = options(
        __doc__,
        nodes=int,
        device=str,
        model=str,
        network=str,
        settings=str,
        best=[Path],
        tracking=str,
        segments=Path,
        dataset=Path,
        leaks=Path,
        shards=[Path],
        results=Path,
        twin=Path,
        curve=Path,
    )
    torch.set_num_threads(1)
    architecture, settings = resolve_model(args.network, args.settings, args.best)
    if needs_launch(settings.processes):
        sys.exit(launch(settings.processes, __file__, sys.argv[1:], args.nodes))
    with process_group(settings.processes, settings.device):
        warm_start = read_warm_start(settings.twin_to_start_from) if settings.twin_to_start_from else None
        training = TrainingRun(
            device=args.device,
            model=args.model,
            architecture=architecture,
            settings=settings,
            warm_start=warm_start,
            segments=args.segments,
            dataset=args.dataset,
            shards=args.shards,
            checkpoints=args.twin.parent / "checkpoints",
            identity=training_identity(stage_code(Path(__file__), Path(__file__).parents[1]).digest, is_enabled()),
        )
        if rank():
            run_training(training)
            return
        start_files = [warm_start.path] if warm_start else []
        inputs = [args.segments, args.dataset, args.leaks, *args.shards, *args.best, *start_files]
        start_sha256 = warm_start.sha256 if warm_start else ""
        params = {"network": args.network, "settings": args.settings, "warm_start": start_sha256}
        params["kernels"] = str(is_enabled())
        with stage_record(Path(__file__), inputs, [args.twin, args.curve], params) as record:
            record.environment["kernels"] = training_engine(settings.device)
            require_no_leaks(args.leaks)
            check_shards({path: record.sha256(path) for path in args.shards}, read_json(args.dataset, DATASET))
            with log_training(Tracking.model_validate_json(args.tracking), args.results, training) as on_rows:
                trained = run_training(training, on_rows)
            replace(trained.twin, provenance=record.chain_hash).save(args.twin)
            write_table(args.curve, TRAINING, trained.curve)
    print(
        f"{args.device}/{args.model}: validation ESR {trained.valid_esr:.3%} after {trained.steps} steps, "
        f"{trained.cpu_seconds:.0f} CPU-s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
