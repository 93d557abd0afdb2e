"""Build the page of a twin, and its page of listening tests."""

import json
from collections.abc import Sequence
from pathlib import Path

from twinlib.audio import Reader
from twinlib.cli_runtime import options, run
from twinlib.contracts import DATASET, DEVICE_CARD, METRICS
from twinlib.files import read_json, write_text
from twinlib.listening import ListeningExcerpt, prepare_excerpt, render_listening_page
from twinlib.progress import show_progress
from twinlib.provenance import read_record, stage_record
from twinlib.reports import Origin, read_figure, render_twin_page

CLIPS = {"dry": "dry", "wet": "device", "twin": "twin", "linear": "linear"}


def main() -> None:
    """Write `index.html` and `listening.html`."""
    args = options(
        __doc__, knobs=str, metrics=Path, card=Path, dataset=Path, trained=Path, figures=[Path], clips=[Path],
        music=[Path], outputs=[Path],
    )  # fmt: skip
    about = [args.metrics, args.card, args.dataset, args.trained]
    files = [*about, *args.figures, *args.clips, *args.music]
    with stage_record(Path(__file__), files, args.outputs, {"knobs": args.knobs}):
        metrics = read_json(args.metrics, METRICS)
        origin = Origin(
            read_json(args.card, DEVICE_CARD)["card"],
            json.loads(args.knobs),
            read_json(args.dataset, DATASET),
            read_record(args.trained),
        )
        title = f"{metrics['device']}, {metrics['model']}"
        excerpts = [("the loudest part of the test split", args.clips)]
        if args.music and not metrics.get("music_withdrawn"):
            excerpts.insert(0, ("continuous music of the test split, from the probe reel", args.music))
        index, listening = args.outputs
        with show_progress(f"page {metrics['device']}/{metrics['model']}", len(excerpts) + 2, "parts") as done:
            prepared = []
            for words, paths in excerpts:
                prepared.append(prepare_excerpt(read_excerpt(words, paths)))
                done(1, words)
            figures = {path.stem: read_figure(path) for path in args.figures}
            write_text(index, render_twin_page(metrics, origin, figures, prepared))
            done(1, index.name)
            write_text(listening, render_listening_page(title, prepared))
            done(1, listening.name)


def read_excerpt(title: str, paths: Sequence[Path]) -> ListeningExcerpt:
    """Read the clips of one excerpt, which are identified by their file names."""
    signals, rate = {}, 0
    for path in paths:
        name = path.stem.removeprefix("music-")
        if name in CLIPS:
            with Reader(path) as reader:
                signals[CLIPS[name]], rate = reader.read()[:, 0], reader.info.sample_rate
    return ListeningExcerpt(title, rate, **signals)


if __name__ == "__main__":
    run(main)
