"""Measure a device from its take of the probe reel: harmonics, responses, intermodulation, compression, noise."""

import json
from pathlib import Path

from twinlib.alignment import Alignment, WarpedReader
from twinlib.audio import Reader
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, MEASUREMENTS, PROBE
from twinlib.excitation import excluded_music, parse_layout
from twinlib.files import read_json, write_json
from twinlib.formatting import percent
from twinlib.measurement import count_sections, measure_probe_reel
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write `measurements.json` of a device."""
    args = options(
        __doc__,
        device=str,
        channel=int,
        withdrawn=str,
        dry=Path,
        wet=Path,
        alignment=Path,
        probe=Path,
        measurements=Path,
    )
    inputs = [args.dry, args.wet, args.alignment, args.probe]
    params = {"channel": str(args.channel), "withdrawn": args.withdrawn}
    with stage_record(Path(__file__), inputs, [args.measurements], params):
        alignment = Alignment.from_dict(read_json(args.alignment, ALIGNMENT))
        guard, content = alignment.guard_samples, read_json(args.probe, PROBE)
        layout, withdrawn = parse_layout(content), excluded_music(content, json.loads(args.withdrawn))
        with (
            Reader(args.dry) as dry,
            WarpedReader(args.wet, alignment, args.channel - 1) as wet,
            show_progress(f"measure {args.device}", count_sections(layout), "sections") as done,
        ):
            measured = measure_probe_reel(
                layout,
                lambda start, stop: dry.read(start, stop)[:, 0],
                lambda start, stop: wet.read(start + guard, stop + guard),
                withdrawn,
                done,
            )
        write_json(args.measurements, MEASUREMENTS, {"device": measured})
    if withdrawn:
        floor = f"noise floor not measured, because {', '.join(withdrawn)} was withdrawn"
    else:
        floor = f"noise floor {percent(measured['esr_floor'])} (the best ESR a twin can reach)"
    print(f"{args.device}: {floor}; linear response of {measured['impulse_samples']} samples")


if __name__ == "__main__":
    run(main)
