"""Train the twin of a device; a training that was stopped goes on where it was."""

import sys
from pathlib import Path

import torch

from twinlib.dataset.leaks import CONTRACT as LEAKS
from twinlib.dataset.manifest import CONTRACT as DATASET
from twinlib.dataset.segments import CONTRACT as SEGMENTS
from twinlib.errors import LeakError, TwinError
from twinlib.files import read_json, read_table, write_table
from twinlib.program import options, run
from twinlib.progress import progress
from twinlib.provenance.code import digest
from twinlib.provenance.record import recorded
from twinlib.tracking import identity_of, start, store_uri
from twinlib.tracking_settings import Tracking
from twinlib.training.best import described
from twinlib.training.data import ShardData
from twinlib.training.loop import CONTRACT, nothing, train


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
    inputs = [args.segments, args.dataset, args.leaks, *args.shards, *args.best]
    params = {"network": args.network, "settings": args.settings}
    with recorded(Path(__file__), inputs, [args.twin, args.curve], params):
        if read_json(args.leaks, LEAKS)["leaks"]:
            raise LeakError(f"{args.leaks} names leaks between the splits: nothing is trained on them")
        architecture, settings = described(args.network, args.settings, args.best)
        network = architecture.network
        data = ShardData(
            read_table(args.segments, SEGMENTS),
            read_json(args.dataset, DATASET),
            args.shards[0].parent,
            network.receptive_field,
            settings,
        )
        code = digest(Path(__file__), Path(__file__).parents[1])
        checkpoints = args.twin.parent / "checkpoints"
        title, budget = f"train {args.device}/{args.model}", settings.steps or settings.cpu_seconds or 0
        unit = "steps" if settings.steps else "CPU-s"
        run_log = None
        tracking = Tracking.model_validate_json(args.tracking)
        if tracking.enabled:
            uri = store_uri(tracking, args.store.parents[1])
            identity = identity_of(code, data.digest, architecture.model_dump_json(), settings.model_dump_json())
            run_log = start(uri, args.device, args.model, checkpoints / "run.json", identity, strict=False)
            run_log.log_params(
                {"network": architecture.model_dump(mode="json"), "training": settings.model_dump(mode="json")}
            )
        try:
            with progress(title, budget, unit) as done:
                rows = run_log.log_curve if run_log else nothing
                trained = train(data, network, settings, checkpoints, code, done, rows, args.model)
        except BaseException as error:
            if run_log:
                run_log.finish("FAILED" if isinstance(error, TwinError) else "KILLED")
            raise
        trained.twin.save(args.twin)
        write_table(args.curve, CONTRACT, trained.curve)
    print(
        f"{args.device}/{args.model}: validation ESR {trained.valid_esr:.3%} after {trained.steps} steps, "
        f"{trained.cpu_seconds:.0f} CPU-s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
