"""Log a finished twin to MLflow: settings, curves, metrics, dataset, figures, clips and the twin in all its formats."""

from pathlib import Path

from twinlib.dataset.manifest import CONTRACT as DATASET
from twinlib.evaluation.settings import METRICS
from twinlib.files import read_json, read_table, write_json
from twinlib.program import options, run
from twinlib.provenance.record import CONTRACT as RECORD
from twinlib.provenance.record import record_path, recorded
from twinlib.tracking import CONTRACT, identity_of, start, store_uri
from twinlib.tracking_settings import Tracking
from twinlib.training.best import described
from twinlib.training.loop import CONTRACT as TRAINING


def main() -> None:
    """Make `run.json`."""
    args = options(
        __doc__,
        device=str,
        model=str,
        network=str,
        settings=str,
        best=[Path],
        tracking=str,
        twin=Path,
        exports=[Path],
        curve=Path,
        metrics=Path,
        files=[Path],
        segments=Path,
        dataset=Path,
        store=Path,
        run=Path,
    )
    inputs = [args.twin, *args.exports, args.curve, args.metrics, *args.files, args.segments, args.dataset, *args.best]
    params = {"network": args.network, "settings": args.settings, "tracking": args.tracking}
    with recorded(Path(__file__), inputs, [args.run], params):
        trained, dataset = read_json(record_path(args.twin), RECORD), read_json(args.dataset, DATASET)
        network, settings = described(args.network, args.settings, args.best)
        identity = identity_of(
            trained["code"],
            dataset["digest"],
            network.model_dump_json(),
            settings.model_dump_json(),
            trained["params"]["warm_start"],
        )
        tags = {
            "device": args.device,
            "model": args.model,
            "simulated": str(dataset["simulated"]).lower(),
            "code": trained["code"],
            "git.commit": str(trained["git"].get("commit", "unknown")),
        }
        uri = store_uri(Tracking.model_validate_json(args.tracking), args.store.parents[1])
        run_log = start(uri, args.device, args.model, args.twin.parent / "checkpoints" / "run.json", identity, tags)
        run_log.log_params({"network": network.model_dump(mode="json"), "training": settings.model_dump(mode="json")})
        run_log.log_dataset(dataset["digest"], args.device, args.dataset)
        curve = read_table(args.curve, TRAINING)
        run_log.log_curve(curve.to_dict("records"), several=curve["seed"].nunique() > 1)
        run_log.log_metrics(read_json(args.metrics, METRICS))
        measurements = [path for path in args.files if path.suffix == ".json"]
        run_log.log_files([path for path in args.files if path.suffix == ".svg"], "figures")
        run_log.log_files([path for path in args.files if path.suffix == ".flac"], "listening")
        run_log.log_files([path for path in args.files if path.suffix == ".html"], "pages")
        run_log.log_files([args.twin, *args.exports], "twin")
        run_log.log_files(
            [args.metrics, args.dataset, record_path(args.twin), record_path(args.metrics), *measurements], "records"
        )
        run_log.finish()
        write_json(args.run, CONTRACT, {"experiment": args.device, "run_id": run_log.run_id, "identity": identity})


if __name__ == "__main__":
    run(main)
