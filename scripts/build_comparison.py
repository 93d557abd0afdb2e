"""Build the page that compares all twins."""

import os
from pathlib import Path
from urllib.parse import quote

from twinlib.cli_runtime import options, run
from twinlib.contracts import METRICS
from twinlib.files import read_json, write_text
from twinlib.provenance import stage_record
from twinlib.reports import render_comparison


def main() -> None:
    """Write `comparison.html`."""
    args = options(__doc__, metrics=[Path], comparison=Path)
    with stage_record(Path(__file__), args.metrics, [args.comparison], {}):
        pages = [path.with_name("index.html") for path in args.metrics]
        links = [quote(Path(os.path.relpath(page, args.comparison.parent)).as_posix()) for page in pages]
        write_text(args.comparison, render_comparison([read_json(path, METRICS) for path in args.metrics], links))


if __name__ == "__main__":
    run(main)
