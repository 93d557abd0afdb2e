"""Render the music of the probe reel with the twin and the best linear filter, next to the device's take."""

import json
from pathlib import Path

import numpy as np

from twinlib.alignment import Alignment, WarpedReader
from twinlib.audio import Reader
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, LINEAR, PROBE
from twinlib.evaluation import ExcerptAudio, load_twin_at_rate, render_probe_music
from twinlib.excitation import excluded_music, parse_layout
from twinlib.files import read_json
from twinlib.kernels import engine_name
from twinlib.listening import write_probe_music
from twinlib.provenance import stage_record


def main() -> None:
    """Write the clips of the music, and `music.json`."""
    args = options(
        __doc__,
        device=str,
        model=str,
        channel=int,
        withdrawn=str,
        twin=Path,
        linear=Path,
        reel=Path,
        take=Path,
        alignment=Path,
        probe=Path,
        outputs=[Path],
    )
    inputs = [args.twin, args.linear, args.reel, args.take, args.alignment, args.probe]
    params = {"channel": str(args.channel), "withdrawn": args.withdrawn}
    with stage_record(Path(__file__), inputs, args.outputs, params) as record:
        record.environment["kernels"] = engine_name()
        content = read_json(args.probe, PROBE)
        layout, withdrawn = parse_layout(content), excluded_music(content, json.loads(args.withdrawn))
        section = layout.of("music")[0]
        span = section.start, section.stop
        alignment = Alignment.from_dict(read_json(args.alignment, ALIGNMENT))
        fir = np.array(read_json(args.linear, LINEAR)["fir"])
        if withdrawn:
            silence = np.zeros(section.stop - section.start, np.float32)
            music = ExcerptAudio(silence, silence, silence, silence)
        else:
            with Reader(args.reel) as dry, WarpedReader(args.take, alignment, args.channel - 1) as wet:
                twin = load_twin_at_rate(args.twin, layout.sample_rate)
                music = render_probe_music(twin, fir, *span, lambda a, b: dry.read(a, b)[:, 0], wet.read)
        write_probe_music(args.outputs[0].parent, music, layout.sample_rate, content["name"], section.start, withdrawn)
    if withdrawn:
        print(f"{args.device}/{args.model}: no music of {content['name']}: {', '.join(withdrawn)} was withdrawn")


if __name__ == "__main__":
    run(main)
