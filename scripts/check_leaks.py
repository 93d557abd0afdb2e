"""Fail if two splits of a device share a track, an artist, a sample or a recording."""

from pathlib import Path

import pandas as pd

from twinlib.cli_runtime import options, run
from twinlib.contracts import CUES, FINGERPRINTS, LEAKS, SEGMENTS
from twinlib.dataset import COLUMNS, find_audio_leaks, find_duplicates, find_leaks, leak_report, refuse_leaks
from twinlib.files import read_table, write_json
from twinlib.provenance import stage_record


def main() -> None:
    """Write `leaks.json`."""
    args = options(__doc__, by=str, segments=Path, cues=[Path], fingerprints=[Path], leaks=Path)
    inputs = [args.segments, *args.cues, *args.fingerprints]
    with stage_record(Path(__file__), inputs, [args.leaks], {"by": args.by}):
        segments = read_table(args.segments, SEGMENTS, COLUMNS)
        sheets = {str(reel): rows for path in args.cues for reel, rows in read_table(path, CUES).groupby("reel")}
        cues = {name: sheets[name] for name in sorted(set(segments.capture)) if name in sheets}
        leaks, audio = find_leaks(segments, args.by, cues=cues), None
        for path in args.fingerprints if cues else []:
            duplicates, audio = find_duplicates(pd.concat(cues.values()), read_table(path, FINGERPRINTS))
            leaks += find_audio_leaks(segments, duplicates)
        refuse_leaks(leaks)
        write_json(args.leaks, LEAKS, leak_report(leaks, segments, args.by, sorted(cues), audio))
    print(f"no leaks in {len(segments)} segments")


if __name__ == "__main__":
    run(main)
