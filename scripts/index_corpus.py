"""List the sources of the corpus with licences and checksums, and unusable files with reasons."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import INDEX
from twinlib.corpus import Corpus, describe_index, index_corpus, source_files, write_index
from twinlib.files import read_json
from twinlib.progress import show_progress
from twinlib.provenance import stage_record


def main() -> None:
    """Write `tracks.parquet` and `index.json`."""
    args = options(__doc__, settings=str, tracks=Path, index=Path)
    settings = Corpus.model_validate_json(args.settings)
    files = source_files(settings)
    with stage_record(Path(__file__), files, [args.tracks, args.index], {"settings": args.settings}):
        with show_progress("index", len(files), "files") as done:
            found = index_corpus(settings, done)
        write_index(args.tracks.parent, found)
    for problem in found.problems:
        print(f"warning: {problem.file}: {problem.reason}")
    for line in describe_index(read_json(args.index, INDEX)):
        print(f"note: {line}")
    print(f"{len(found.tracks)} sources of {found.tracks.track_id.nunique()} tracks; {len(found.excluded)} excluded")


if __name__ == "__main__":
    run(main)
