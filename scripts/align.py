"""Find lag, drift and polarity of a capture; pairs that share their files are measured on all of both, so alike."""

from pathlib import Path

from twinlib.alignment.align import CONTRACT, align
from twinlib.alignment.figure import draw_alignment
from twinlib.dataset.settings import Dataset
from twinlib.excitation.layout import reel_of
from twinlib.excitation.settings import EXCITATION
from twinlib.files import read_json, write_json
from twinlib.program import options, run
from twinlib.provenance.record import recorded


def main() -> None:
    """Make `alignment.json` and its picture."""
    args = options(
        __doc__,
        name=str,
        settings=str,
        channel=int,
        reference_channel=int,
        repair=[str],
        dry=Path,
        wet=Path,
        excitation=[Path],
        alignment=Path,
        picture=Path,
    )
    params = {
        "settings": args.settings,
        "channel": str(args.channel),
        "reference_channel": str(args.reference_channel),
        "repair": " ".join(args.repair),
    }
    inputs = [args.dry, args.wet, *args.excitation]
    with recorded(Path(__file__), inputs, [args.alignment, args.picture], params):
        clicks = [
            click for path in args.excitation for click in reel_of(read_json(path, EXCITATION), args.name)["clicks"]
        ]
        found = align(
            args.dry,
            args.wet,
            channel=args.channel - 1,
            # Counted from 1; 0 says that there is none.
            reference_channel=args.reference_channel - 1 if args.reference_channel else None,
            clicks=clicks or None,
            guard_samples=Dataset.model_validate_json(args.settings).guard_samples,
            repair=args.repair,
        )
        write_json(args.alignment, CONTRACT, found.to_dict())
        draw_alignment(found, args.picture)
    print(
        f"{args.wet}: {found.verdict}, lag {found.lag_samples:.3f} samples, drift {found.drift_ppm:.4f} ppm, "
        f"polarity {found.polarity:+d}" + "".join(f"\n  {reason}" for reason in found.reasons)
    )


if __name__ == "__main__":
    run(main)
