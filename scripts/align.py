"""Find lag, drift and polarity of a capture."""

import json
from pathlib import Path

from twinlib.alignment.align import CONTRACT, align
from twinlib.alignment.figure import draw_alignment
from twinlib.capture.pairs import used_range
from twinlib.dataset.settings import Dataset
from twinlib.excitation.plan import EXCITATION
from twinlib.files import read_json, write_json
from twinlib.program import options, run
from twinlib.provenance.record import recorded


def main() -> None:
    """Make `alignment.json` and its picture."""
    args = options(
        __doc__,
        name=str,
        settings=str,
        pair=str,
        channel=int,
        dry=Path,
        wet=Path,
        excitation=[Path],
        alignment=Path,
        picture=Path,
    )
    pair = json.loads(args.pair)
    bounds = used_range(args.dry, pair)
    params = {"settings": args.settings, "pair": args.pair, "channel": str(args.channel)}
    inputs = [args.dry, args.wet, *args.excitation]
    with recorded(Path(__file__), inputs, [args.alignment, args.picture], params):
        clicks = [
            click for path in args.excitation for click in read_json(path, EXCITATION)["reels"][args.name]["clicks"]
        ]
        found = align(
            args.dry,
            args.wet,
            channel=args.channel - 1,
            clicks=clicks or None,
            dry_range=bounds,
            wet_range=bounds,
            guard_samples=Dataset.model_validate_json(args.settings).guard_samples,
        )
        write_json(args.alignment, CONTRACT, found.to_dict())
        draw_alignment(found, args.picture)
    print(
        f"{args.wet}: {found.verdict}, lag {found.lag_samples:.3f} samples, drift {found.drift_ppm:.4f} ppm, "
        f"polarity {found.polarity:+d}" + "".join(f"\n  {reason}" for reason in found.reasons)
    )


if __name__ == "__main__":
    run(main)
