"""Render a reel from its cue sheet. If the reel has been recorded, its bytes must not change."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import CUES, EXCITATION
from twinlib.excitation import list_source_files, render_reel, require_same_reel
from twinlib.files import read_json, read_table
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write a reel."""
    args = options(__doc__, name=str, root=Path, cues=Path, excitation=Path, devices=Path, reel=Path)
    with stage_record(Path(__file__), [args.cues, args.excitation], [args.reel], {}) as record:
        cues = read_table(args.cues, CUES)
        cues = cues[cues.reel == args.name]
        with show_progress(f"render {args.name}", len(cues), "slices") as done:
            render_reel(args.name, cues, read_json(args.excitation, EXCITATION), args.root, args.reel, done)
        require_same_reel(args.name, args.reel, args.devices)
        for source, digest in list_source_files(cues):
            record.add_input((args.root / source).as_posix(), digest)


if __name__ == "__main__":
    run(main)
