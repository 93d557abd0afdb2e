"""Put all that is known of a twin onto one page, and its sounds onto a page for listening tests."""

from pathlib import Path

from twinlib.audio import Reader
from twinlib.evaluation.listening import listening_page
from twinlib.evaluation.report import report_page
from twinlib.evaluation.settings import METRICS
from twinlib.evaluation.sounds import Sounds
from twinlib.files import read_json, write_text
from twinlib.program import options, run
from twinlib.provenance.record import recorded

CLIPS = {"dry": "dry", "wet": "device", "twin": "twin", "linear": "linear"}


def main() -> None:
    """Make `index.html` and `listening.html`."""
    args = options(__doc__, metrics=Path, figures=[Path], clips=[Path], outputs=[Path])
    with recorded(Path(__file__), [args.metrics, *args.figures, *args.clips], args.outputs, {}):
        metrics = read_json(args.metrics, METRICS)
        heard, rate = {}, 0
        for path in args.clips:
            if path.stem in CLIPS:
                with Reader(path) as reader:
                    heard[CLIPS[path.stem]], rate = reader.read()[:, 0], reader.info.sample_rate
        sounds = Sounds("the loudest part of the test split", rate, **heard)
        figures = {path.stem: path.read_text(encoding="utf-8") for path in args.figures}
        index, listening = args.outputs
        write_text(index, report_page(metrics, figures, sounds))
        write_text(listening, listening_page(f"{metrics['device']}, {metrics['model']}", [sounds]))


if __name__ == "__main__":
    run(main)
