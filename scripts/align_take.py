"""Measure lag, drift and polarity of a capture, and whether its device stayed the same.

Pairs that share files are measured on the complete files.
"""

import json
from functools import partial
from pathlib import Path

from twinlib.alignment import Alignment, align, align_probe_take
from twinlib.capture import Known, used_range
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, PROBE_FILE
from twinlib.diagnosis import apply_known, diagnose
from twinlib.excitation import read_reel
from twinlib.files import read_json, write_json
from twinlib.provenance import stage_record
from twinlib.reports import plot_alignment


def main() -> None:
    """Write `alignment.json` and its plot."""
    args = options(
        __doc__,
        name=str,
        guard=int,
        dry_range=str,
        known=str,
        channel=int,
        reference_channel=int,
        repair=[str],
        programme=[Path],
        dry=Path,
        wet=Path,
        excitation=[Path],
        alignment=Path,
        picture=Path,
    )
    params = {
        "guard": str(args.guard),
        "dry_range": args.dry_range,
        "known": args.known,
        "channel": str(args.channel),
        "reference_channel": str(args.reference_channel),
        "repair": " ".join(args.repair),
    }
    inputs = [args.dry, args.wet, *args.excitation, *args.programme]
    with stage_record(Path(__file__), inputs, [args.alignment, args.picture], params):
        reels = [read_reel(path, args.name) for path in args.excitation]
        clicks = [click for reel in reels for click in reel["clicks"]]
        is_probe = any(path.name == PROBE_FILE for path in args.excitation)
        known = json.loads(args.known)
        programme = [Alignment.from_dict(read_json(path, ALIGNMENT)) for path in args.programme]
        aligner = (
            partial(align_probe_take, markers=clicks, programme=programme)
            if is_probe
            else partial(
                align,
                clicks=clicks or None,
                dry_range=used_range(args.dry, json.loads(args.dry_range)),
                lag=(known or {}).get("lag"),
            )
        )
        found = aligner(
            args.dry,
            args.wet,
            channel=args.channel - 1,
            # Counted from 1; 0 means none.
            reference_channel=args.reference_channel - 1 if args.reference_channel else None,
            guard_samples=args.guard,
            repair=args.repair,
        )
        if not is_probe:
            witness = [(start, stop) for reel in reels for start, stop in reel.get("witness", [])]
            found = diagnose(found, args.dry, args.wet, channel=args.channel - 1, witness=witness)
        if known:
            found = apply_known(found, Known(**known), args.repair)
        write_json(args.alignment, ALIGNMENT, found.to_dict())
        plot_alignment(found, args.picture)
    print(
        f"{args.wet}: {found.verdict}, lag {found.lag_samples:.3f} samples, drift {found.drift_ppm:.4f} ppm, "
        f"polarity {found.polarity:+d}" + "".join(f"\n  {reason}" for reason in found.reasons)
    )


if __name__ == "__main__":
    run(main)
