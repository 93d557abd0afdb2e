"""Fail if two splits of a device share a track, an artist, a sample or a recording."""

import json
from pathlib import Path

import pandas as pd

from twinlib.cli_runtime import options, run
from twinlib.contracts import CUES, LEAKS, SEGMENTS
from twinlib.corpus import describe_near_names
from twinlib.dataset import (
    Fingerprints,
    artist_report,
    find_audio_leaks,
    find_duplicates,
    find_leaks,
    leak_report,
    read_checked_columns,
    refuse_leaks,
)
from twinlib.excitation import find_cue_families, find_divided_families
from twinlib.files import read_arrow, read_table, write_json
from twinlib.provenance import stage_record

CUE_COLUMNS = ("reel", "start", "stop", "track_id", "artist", "split")


def main() -> None:
    """Write `leaks.json`."""
    args = options(__doc__, by=str, artists=str, segments=Path, cues=[Path], fingerprints=[Path], leaks=Path)
    inputs = [args.segments, *args.cues, *args.fingerprints]
    with stage_record(Path(__file__), inputs, [args.leaks], {"by": args.by, "artists": args.artists}):
        captures = sorted(read_arrow(args.segments, SEGMENTS, ["capture"])["capture"].unique().to_pylist())
        sheets = [read_table(path, CUES, CUE_COLUMNS) for path in args.cues]
        reels = {str(reel): rows for sheet in sheets for reel, rows in sheet.groupby("reel")}
        cues = {name: reels[name] for name in captures if name in reels}
        duplicates, audio = [], None
        # Before the segments, because both need much memory.
        for path in args.fingerprints if cues else []:
            duplicates, audio = find_duplicates(pd.concat(cues.values()), Fingerprints(path))
        families, artists = None, None
        if args.by == "artist" and sheets:
            aliases = json.loads(args.artists)
            families = find_cue_families(sheets[0], aliases)
            artists = artist_report(sheets[0], families, find_divided_families(sheets[0], aliases), aliases)
        segments = read_checked_columns(args.segments)
        leaks = find_leaks(segments, args.by, cues=cues, families=families) + find_audio_leaks(segments, duplicates)
        refuse_leaks(leaks)
        write_json(args.leaks, LEAKS, leak_report(leaks, segments, args.by, sorted(cues), audio, artists))
    for line in describe_near_names(artists["near_names"] if artists else []):
        print(f"note: in different splits: {line}")
    print(f"no leaks in {len(segments)} segments")


if __name__ == "__main__":
    run(main)
