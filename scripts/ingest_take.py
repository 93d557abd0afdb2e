"""Check a recording. A reel with a real take is made read-only."""

import json
from datetime import UTC, datetime
from pathlib import Path

from twinlib.audio import read_info
from twinlib.capture import ingest_take
from twinlib.cli_runtime import options, run
from twinlib.contracts import TAKE
from twinlib.files import sha256_file, write_json
from twinlib.progress import show_progress
from twinlib.provenance import FILE, note_take, stage_record


def main() -> None:
    """Write `take.json`."""
    args = options(
        __doc__, kind=str, knobs=str, accept=str, channel=int, reference_channel=int, dry=Path, wet=Path, take=Path
    )
    params = {"kind": args.kind, "knobs": args.knobs, "accept": args.accept, "channel": str(args.channel)}
    params["reference_channel"] = str(args.reference_channel)
    with stage_record(Path(__file__), [args.wet, args.dry], [args.take], params):
        with show_progress(f"ingest {args.wet}", read_info(args.wet).frames, "samples") as done:
            take = ingest_take(
                args.wet,
                reel=args.dry,
                channel=args.channel,
                reference_channel=args.reference_channel or None,
                simulated=args.kind == "simulated",
                is_pair=args.kind == "pair",
                accept=json.loads(args.accept),
                settings=json.loads(args.knobs),
                progress=done,
            )
        write_json(args.take, TAKE, {**take.to_dict(), "kind": args.kind, "dry_sha256": sha256_file(args.dry)})
    if args.kind != "simulated" and note_take(args.take.with_name(FILE), take.to_dict(), datetime.now(UTC).date()):
        print(f"{args.wet}: added to {args.take.with_name(FILE)}")
    if args.kind == "take":
        args.dry.chmod(0o444)
    if lines := [*take.reasons, *(f"note: {note}" for note in take.notes)]:
        print("\n  ".join((f"{args.wet}: {take.verdict}", *lines)))


if __name__ == "__main__":
    run(main)
