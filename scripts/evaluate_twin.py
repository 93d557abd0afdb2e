"""Evaluate a twin on unseen music: errors and baselines, figures, listening clips."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import DATASET, MEASUREMENTS, SEGMENTS, TRAINING
from twinlib.evaluation import Evaluation, evaluate_twin, evaluation_seconds, take_verdicts
from twinlib.files import read_json, read_table
from twinlib.formatting import percent
from twinlib.kernels import engine_name
from twinlib.progress import show_progress
from twinlib.provenance import stage_record
from twinlib.reports import write_evaluation


def main() -> None:
    """Write `metrics.json`, `verdict.json`, `linear.json`, the figures and the clips."""
    args = options(
        __doc__,
        device=str,
        model=str,
        settings=str,
        twin=Path,
        curve=Path,
        segments=Path,
        dataset=Path,
        measurements=[Path],
        probe_take=[Path],
        probe_alignment=[Path],
        shards=[Path],
        outputs=[Path],
    )
    settings = Evaluation.model_validate_json(args.settings)
    inputs = [args.twin, args.curve, args.segments, args.dataset, *args.measurements, *args.shards]
    probes = list(zip(args.probe_take, args.probe_alignment, strict=True))
    inputs += [path for files in probes for path in files]
    with stage_record(Path(__file__), inputs, args.outputs, {"settings": args.settings}) as record:
        record.environment["kernels"] = engine_name()
        segments, dataset = read_table(args.segments, SEGMENTS), read_json(args.dataset, DATASET)
        curve = read_table(args.curve, TRAINING)
        seconds = evaluation_seconds(segments, settings, dataset["sample_rate"])
        with show_progress(f"evaluate {args.device}/{args.model}", seconds, "s of audio") as done:
            evaluation = evaluate_twin(
                args.twin,
                segments,
                args.shards[0].parent,
                dataset,
                settings,
                next((read_json(path, MEASUREMENTS) for path in args.measurements), None),
                curve,
                done,
                {take.parent.name: take_verdicts(take, alignment) for take, alignment in probes},
            )
        write_evaluation(args.outputs[0].parent, evaluation, curve)
    metrics = evaluation.metrics
    floor = f", noise floor of the device {percent(metrics['esr_floor'])}" if "esr_floor" in metrics else ""
    print(
        f"{args.device}/{args.model}: {metrics['verdict']}, test ESR {percent(metrics['esr'])}{floor}, "
        f"best linear filter {percent(metrics['esr_linear'])}"
    )


if __name__ == "__main__":
    run(main)
