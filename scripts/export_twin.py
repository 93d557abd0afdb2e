"""Export a twin to other programs; the suffixes of the outputs select the formats."""

from dataclasses import replace
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import DEVICE_CARD
from twinlib.evaluation import read_verdict
from twinlib.files import read_json, sha256_file
from twinlib.kernels import engine_name
from twinlib.model import export_twin, load_twin
from twinlib.provenance import stage_record, started


def main() -> None:
    """Write `twin.nam` and `twin.onnx`."""
    args = options(__doc__, twin=Path, record=Path, card=Path, verdict=Path, outputs=[Path])
    with stage_record(Path(__file__), [args.twin, args.record, args.card], args.outputs, {}) as record:
        record.environment["kernels"] = engine_name()
        verdict = read_verdict(args.verdict)
        # By its content only: the stage that made it also read CPU times, and equal twins must give equal exports.
        record.add_input(args.verdict.as_posix(), sha256_file(args.verdict))
        twin = replace(load_twin(args.twin), provenance=record.chain_hash)
        card = read_json(args.card, DEVICE_CARD)["card"]
        for path in args.outputs:
            export_twin(twin, path, started(args.twin), card, verdict)


if __name__ == "__main__":
    run(main)
