"""Measure a device by its take of the probe reel: harmonics, responses, intermodulation, compression, noise."""

from pathlib import Path

from twinlib.alignment.result import CONTRACT as ALIGNMENT
from twinlib.alignment.result import Alignment
from twinlib.alignment.warp import WarpedWet
from twinlib.audio import Reader
from twinlib.evaluation.measurements import CONTRACT, measure
from twinlib.excitation.probe import layout_of
from twinlib.excitation.settings import PROBE
from twinlib.files import read_json, write_json
from twinlib.program import options, run
from twinlib.provenance.record import recorded


def main() -> None:
    """Make `measurements.json` of a device."""
    args = options(__doc__, device=str, channel=int, dry=Path, wet=Path, alignment=Path, probe=Path, measurements=Path)
    inputs = [args.dry, args.wet, args.alignment, args.probe]
    with recorded(Path(__file__), inputs, [args.measurements], {"channel": str(args.channel)}):
        alignment = Alignment.from_dict(read_json(args.alignment, ALIGNMENT))
        guard = alignment.guard_samples
        with Reader(args.dry) as dry, WarpedWet(args.wet, alignment, args.channel - 1) as wet:
            found = measure(
                layout_of(read_json(args.probe, PROBE)),
                lambda start, stop: dry.read(start, stop)[:, 0],
                lambda start, stop: wet.read(start + guard, stop + guard),
            )
        write_json(args.measurements, CONTRACT, {"device": found})
    print(
        f"{args.device}: the best ESR a twin can reach is {found['esr_floor']:.2g}, its linear response lasts "
        f"{found['impulse_samples']} samples"
    )


if __name__ == "__main__":
    run(main)
