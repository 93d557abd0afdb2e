"""Train the twin of a device; a training that was stopped goes on where it was."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from twinlib.cli_runtime import options, run
from twinlib.contracts import DATASET, SEGMENTS, TRAINING
from twinlib.dataset.leaks import require_no_leaks
from twinlib.errors import TwinError
from twinlib.files import read_json, read_table, write_table
from twinlib.model.architecture import Architecture
from twinlib.progress import no_progress, show_progress
from twinlib.provenance.code_digest import digest
from twinlib.provenance.record import recorded
from twinlib.tracking.runs import run_identity, start_run, store_uri
from twinlib.tracking.settings import Tracking
from twinlib.training.best_config import resolve_model
from twinlib.training.checkpoint import Row
from twinlib.training.data import ShardData
from twinlib.training.distributed import group, launch, launched_as_one, rank
from twinlib.training.loop import Trained, nothing
from twinlib.training.seeds import stopped_sentence, train_seeds
from twinlib.training.settings import Training
from twinlib.training.warm_start import Start, read_start


def main() -> None:
    """Make `twin.safetensors` and `training.parquet`."""
    args = options(
        __doc__,
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
        store=Path,
        twin=Path,
        curve=Path,
    )
    torch.set_num_threads(1)
    network, settings = resolve_model(args.network, args.settings, args.best)
    if not launched_as_one(settings.processes):
        sys.exit(launch(settings.processes, __file__, sys.argv[1:]))
    with group(settings.processes, settings.device):
        train_one(args, network, settings) if rank() == 0 else train_along(args, network, settings)


def train_one(args: Namespace, network: Architecture, settings: Training) -> None:
    """Train, record and log: what the first process does, or the only one."""
    warm = read_start(settings.twin_to_start_from) if settings.twin_to_start_from else None
    inputs = [args.segments, args.dataset, args.leaks, *args.shards, *args.best, *([warm.path] if warm else [])]
    params = {"network": args.network, "settings": args.settings, "warm_start": warm.sha256 if warm else ""}
    with recorded(Path(__file__), inputs, [args.twin, args.curve], params) as record:
        require_no_leaks(args.leaks)
        with logged(args, network, settings, params["warm_start"]) as rows:
            trained = train(args, network, settings, warm, rows)
        replace(trained.twin, provenance=record.link).save(args.twin)
        write_table(args.curve, TRAINING, trained.curve)
    print(
        f"{args.device}/{args.model}: validation ESR {trained.valid_esr:.3%} after {trained.steps} steps, "
        f"{trained.cpu_seconds:.0f} CPU-s",
        file=sys.stderr,
    )


def train_along(args: Namespace, network: Architecture, settings: Training) -> None:
    """Train beside the first process, which alone writes."""
    warm = read_start(settings.twin_to_start_from) if settings.twin_to_start_from else None
    train(args, network, settings, warm, nothing)


def train(
    args: Namespace,
    architecture: Architecture,
    settings: Training,
    warm: Start | None,
    rows: Callable[[list[Row]], None],
) -> Trained:
    """Train on the dataset that the options name."""
    network = architecture.network
    dataset = read_json(args.dataset, DATASET)

    def data_of(one: Training) -> ShardData:
        # Read here, so that nothing keeps the table: it grows with the length of the audio.
        segments = read_table(args.segments, SEGMENTS, ShardData.columns)
        return ShardData(segments, dataset, args.shards[0].parent, network.receptive_field, one)

    checkpoints, code = args.twin.parent / "checkpoints", digest(Path(__file__), Path(__file__).parents[1])
    unit, budget = ("steps", settings.steps) if settings.steps else ("CPU-s", settings.cpu_seconds)
    title = f"train {args.device}/{args.model}"
    try:
        total = settings.seeds * (budget or 0)
        with show_progress(title, total, unit) if rank() == 0 else nullcontext(no_progress) as done:
            return train_seeds(data_of, network, settings, checkpoints, code, done, rows, args.model, warm)
    except (KeyboardInterrupt, SystemExit):
        if rank() == 0:
            print(stopped_sentence(checkpoints), file=sys.stderr)
        raise


@contextmanager
def logged(
    args: Namespace, network: Architecture, settings: Training, start_sha256: str
) -> Iterator[Callable[[list[Row]], None]]:
    """What logs new rows of the curves to MLflow while the training runs, or nothing."""
    tracking = Tracking.model_validate_json(args.tracking)
    if not tracking.enabled:
        yield nothing
        return
    code, dataset = digest(Path(__file__), Path(__file__).parents[1]), read_json(args.dataset, DATASET)["digest"]
    identity = run_identity(code, dataset, network.model_dump_json(), settings.model_dump_json(), start_sha256)
    uri, side = store_uri(tracking, args.store.parents[1]), args.twin.parent / "checkpoints" / "run.json"
    run_log = start_run(uri, args.device, args.model, side, identity, strict=False)
    run_log.log_params({"network": network.model_dump(mode="json"), "training": settings.model_dump(mode="json")})
    try:
        yield lambda rows: run_log.log_curve(rows, by_seed=settings.seeds > 1)
    except BaseException as error:
        run_log.finish("FAILED" if isinstance(error, TwinError) else "KILLED")
        raise


if __name__ == "__main__":
    run(main)
