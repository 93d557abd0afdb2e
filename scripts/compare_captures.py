"""Compare the captures of a device: lag, drift, polarity and gain. Pairs on one clock get the same lag."""

from pathlib import Path

from twinlib.alignment import Alignment
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, CAPTURES
from twinlib.diagnosis import compare_captures
from twinlib.files import read_json, write_json
from twinlib.provenance import stage_record


def main() -> None:
    """Write `captures.json`."""
    args = options(__doc__, device=str, names=[str], alignments=[Path], captures=Path)
    with stage_record(Path(__file__), args.alignments, [args.captures], {"names": " ".join(args.names)}):
        alignments = {
            name: Alignment.from_dict(read_json(path, ALIGNMENT))
            for name, path in zip(args.names, args.alignments, strict=True)
        }
        compared = compare_captures(alignments)
        write_json(args.captures, CAPTURES, {"device": args.device, **compared})
    if reasons := [f"{name}: {reason}" for name, one in compared["captures"].items() for reason in one["reasons"]]:
        print("\n  ".join((f"{args.device}: {len(alignments)} captures compared", *reasons)))


if __name__ == "__main__":
    run(main)
