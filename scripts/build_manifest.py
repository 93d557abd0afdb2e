"""Combine the captures of a device into one dataset: all segments, exclusions with reasons, checksums."""

import json
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import CAPTURES, TAKE
from twinlib.dataset import CaptureFiles, build_manifest, refuse_useless, write_manifest
from twinlib.files import read_json
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write `segments.parquet` and `dataset.json`."""
    args = options(
        __doc__,
        device=str,
        missing=str,
        tolerant=str,
        divided=str,
        shards=[Path],
        takes=[Path],
        alignments=[Path],
        captures=Path,
        segments=Path,
        dataset=Path,
    )
    captures = [
        CaptureFiles(shard.with_suffix(".parquet"), shard, take, alignment)
        for shard, take, alignment in zip(args.shards, args.takes, args.alignments, strict=True)
    ]
    inputs = [path for one in captures for path in (one.segments, one.shard, one.take, one.alignment)]
    inputs.append(args.captures)
    params = {"missing": args.missing, "tolerant": args.tolerant, "divided": args.divided}
    with stage_record(Path(__file__), inputs, [args.segments, args.dataset], params):
        with show_progress(f"manifest {args.device}", len(captures), "captures") as done:
            segments, dataset = build_manifest(
                args.device,
                captures,
                json.loads(args.missing),
                done,
                divided=json.loads(args.divided),
                compared=read_json(args.captures, CAPTURES)["captures"],
            )
        if not json.loads(args.tolerant):
            refuse_useless(dataset, {one.take.parent.name: read_json(one.take, TAKE)["path"] for one in captures})
        written = write_manifest(args.segments.parent, segments, dataset)
    hours = ", ".join(f"{split} {amount['seconds']:.0f} s" for split, amount in written["splits"].items())
    print(f"{args.device}: {hours}; excluded {written['excluded']['all']['seconds']:.0f} s")


if __name__ == "__main__":
    run(main)
