"""Draw the cue sheet of an excitation: the source and the position of every slice."""

import json
from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import TRACKS
from twinlib.corpus import Corpus, excluded_tracks
from twinlib.excitation import Excitation, draw_cue_sheet, list_source_files, require_same_cues, write_cue_sheet
from twinlib.files import read_table
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write `cues.parquet` and `excitation.json`."""
    args = options(__doc__, name=str, settings=str, corpus=str, tracks=Path, exclude=[Path], cues=Path, excitation=Path)
    settings, corpus = Excitation.from_record(json.loads(args.settings)), Corpus.model_validate_json(args.corpus)
    params = {"settings": args.settings, "corpus": args.corpus}
    inputs = [args.tracks, *args.exclude]
    with stage_record(Path(__file__), inputs, [args.cues, args.excitation], params) as record:
        tracks = read_table(args.tracks, TRACKS)
        # An excitation recorded by an older version, of which a file was lost, keeps the splits of single credits.
        if "artists" not in corpus.model_fields_set:
            tracks = tracks.drop(columns="artist_family")
        with show_progress(f"plan {args.name}", settings.slices, "slices") as done:
            made = draw_cue_sheet(args.name, settings, tracks, set(excluded_tracks(tracks, corpus)), corpus.root, done)
        write_cue_sheet(args.cues.parent, made)
        require_same_cues(args.cues, args.cues.parents[2] / "devices")
        for source, digest in list_source_files(made.cues):
            record.add_input((corpus.root / source).as_posix(), digest)
    for problem in made.excitation["left_out"]:
        print(f"warning: {problem}")


if __name__ == "__main__":
    run(main)
