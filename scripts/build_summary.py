"""Build the table of all twins."""

from pathlib import Path

from twinlib.cli_runtime import options, run
from twinlib.contracts import METRICS
from twinlib.files import read_json, write_text
from twinlib.provenance import stage_record
from twinlib.reports import format_summary


def main() -> None:
    """Write `summary.txt`."""
    args = options(__doc__, metrics=[Path], summary=Path)
    with stage_record(Path(__file__), args.metrics, [args.summary], {}):
        write_text(args.summary, format_summary([read_json(path, METRICS) for path in args.metrics]))


if __name__ == "__main__":
    run(main)
