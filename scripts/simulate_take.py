"""Simulate the take of a reel through a circuit, with the imperfections of a real recording."""

from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from twinlib.audio import read_info
from twinlib.cli_runtime import options, run
from twinlib.contracts import SIMULATED_TAKE
from twinlib.files import write_json
from twinlib.progress import show_progress
from twinlib.provenance import stage_record
from twinlib.simulation import Simulate, SimulatedClipper, SimulatedTransformer, ground_truth, simulate_take


def main() -> None:
    """Write a take and its ground truth."""
    args = options(__doc__, device=str, name=str, settings=str, reel=Path, take=Path, truth=Path)
    adapter: TypeAdapter[SimulatedClipper | SimulatedTransformer] = TypeAdapter(Simulate)
    settings = adapter.validate_json(args.settings)
    with stage_record(Path(__file__), [args.reel], [args.take, args.truth], {"settings": args.settings}):
        info, name = read_info(args.reel), f"{args.device}/{args.name}"
        expected = ground_truth(settings.recorder, name, info.sample_rate, info.frames)
        with show_progress(f"simulate {name}", expected.frames, "samples") as done:
            truth = simulate_take(args.reel, args.take, settings, name, done)
        write_json(args.truth, SIMULATED_TAKE, asdict(truth))


if __name__ == "__main__":
    run(main)
