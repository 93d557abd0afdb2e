"""Render the probe reel of an excitation. If the reel has been recorded, its bytes must not change."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import CUES, EXCITATION, PROBE
from twinlib.excitation import planned_settings, probe_layout, probe_name, render_probe_reel, require_same_reel
from twinlib.files import read_json, read_table, write_json
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write the probe reel and its cue sheet."""
    args = options(__doc__, name=str, root=Path, cues=Path, excitation=Path, devices=Path, reel=Path, probe=Path)
    with stage_record(Path(__file__), [args.cues, args.excitation], [args.reel, args.probe], {}) as record:
        settings = planned_settings(read_json(args.excitation, EXCITATION))
        name = probe_name(args.name)
        with show_progress(f"render {name}", len(probe_layout(settings.sample_rate).sections), "sections") as done:
            content = render_probe_reel(args.name, read_table(args.cues, CUES), settings, args.root, args.reel, done)
        require_same_reel(name, args.reel, args.devices)
        write_json(args.probe, PROBE, content)
        for piece in content["excerpt"]:
            record.add_input((args.root / piece["source"]).as_posix(), piece["source_sha256"])


if __name__ == "__main__":
    run(main)
