"""Build the contact sheet of a device: all its takes on one page."""

import json
from pathlib import Path

from twinlib.alignment import Alignment
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, TAKE
from twinlib.files import read_json, write_text
from twinlib.provenance import stage_record
from twinlib.reports import SheetTake, render_contact_sheet


def main() -> None:
    """Write `takes.html`."""
    args = options(__doc__, device=str, missing=str, takes=[Path], alignments=[Path], sheet=Path)
    with stage_record(Path(__file__), [*args.takes, *args.alignments], [args.sheet], {"missing": args.missing}):
        takes = [
            SheetTake(take.parent.name, read_json(take, TAKE), Alignment.from_dict(read_json(alignment, ALIGNMENT)))
            for take, alignment in zip(args.takes, args.alignments, strict=True)
        ]
        write_text(args.sheet, render_contact_sheet(args.device, takes, json.loads(args.missing)))


if __name__ == "__main__":
    run(main)
