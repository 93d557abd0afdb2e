"""Write the recording guide of an excitation, as text and as a page."""

import json
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import EXCITATION, PROBE
from twinlib.excitation.recording_guide import recording_guide
from twinlib.files import read_json, write_text
from twinlib.provenance import stage_record
from twinlib.recording import render_recording_page


def main() -> None:
    """Write `recording.md` and `recording.html`."""
    args = options(__doc__, name=str, excitation=Path, probe=[Path], takes=str, guide=Path, page=Path)
    with stage_record(Path(__file__), [args.excitation, *args.probe], [args.guide, args.page], {"takes": args.takes}):
        excitation = read_json(args.excitation, EXCITATION)
        probes = [read_json(path, PROBE) for path in args.probe]
        takes = json.loads(args.takes)
        write_text(args.guide, recording_guide(args.name, excitation, takes, *probes))
        write_text(args.page, render_recording_page(args.name, excitation, takes, *probes))


if __name__ == "__main__":
    run(main)
