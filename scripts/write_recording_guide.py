"""Write the recording guide of an excitation."""

import json
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import EXCITATION, PROBE
from twinlib.excitation.recording_guide import recording_guide
from twinlib.files import read_json, write_text
from twinlib.provenance import stage_record


def main() -> None:
    """Write `recording.md`."""
    args = options(__doc__, name=str, excitation=Path, probe=[Path], takes=str, guide=Path)
    with stage_record(Path(__file__), [args.excitation, *args.probe], [args.guide], {"takes": args.takes}):
        excitation = read_json(args.excitation, EXCITATION)
        probes = [read_json(path, PROBE) for path in args.probe]
        write_text(args.guide, recording_guide(args.name, excitation, json.loads(args.takes), *probes))


if __name__ == "__main__":
    run(main)
