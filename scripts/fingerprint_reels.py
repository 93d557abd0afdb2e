"""Compute the audio fingerprints of all slices of an excitation; warn about duplicate recordings."""

from pathlib import Path

import pandas as pd

from twinlib.audio import Reader
from twinlib.cli_runtime import options, run
from twinlib.contracts import CUES, FINGERPRINTS
from twinlib.dataset import Fingerprints, find_planned_duplicates, fingerprint_reel
from twinlib.files import read_table, write_table
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write `fingerprints.parquet`."""
    args = options(__doc__, name=str, cues=Path, reels=[Path], fingerprints=Path)
    with stage_record(Path(__file__), [args.cues, *args.reels], [args.fingerprints], {}):
        cues, tables = read_table(args.cues, CUES), []
        with show_progress(f"fingerprint {args.name}", len(cues), "slices") as done:
            for path in args.reels:
                with Reader(path) as reader:
                    tables.append(fingerprint_reel(reader, cues[cues.reel == path.stem], done))
        codes = sum(map(len, tables))
        write_table(args.fingerprints, FINGERPRINTS, pd.concat(tables, ignore_index=True))
        tables.clear()
    for leak in find_planned_duplicates(cues, Fingerprints(args.fingerprints)):
        print(f"warning: the same recording is in {' and '.join(leak.splits)}: {leak.what}; exclude one of the two")
    print(f"{args.name}: {codes} codes of {len(cues)} slices")


if __name__ == "__main__":
    run(main)
