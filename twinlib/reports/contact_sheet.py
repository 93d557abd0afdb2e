"""The contact sheet of a device: all its takes at a glance, as one self-contained HTML file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinlib.alignment import Alignment
from twinlib.findings import Finding, Verdict, worst
from twinlib.html_templates import html_environment

WIDTH, HEIGHT = 640.0, 48.0
"""Size of the lag track in pixels."""

MIN_LAG_SPAN = 1.0
"""Smallest range of the lag track in samples: the scatter of a steady clock looks flat."""

MAX_POINTS = 400
"""Largest number of points of a lag track."""

WORDS: dict[Verdict, str] = {
    "ok": "good",
    "suspect": "usable, with reservations",
    "refused": "not usable: record it again",
}
"""Verdict on a take in words."""


@dataclass(frozen=True)
class SheetTake:
    """A take on the sheet: its name, the content of `take.json`, and its alignment."""

    name: str
    take: Mapping[str, Any]
    alignment: Alignment


def render_contact_sheet(device: str, takes: Sequence[SheetTake], missing: Sequence[str] = ()) -> str:
    """Return the HTML document of the takes of a device; `missing` are the reels without a take.

    Equal input gives equal text.
    """
    template = html_environment("twinlib.reports").get_template("contact_sheet.html.j2")
    cards = [_card(take) for take in takes]
    counts = {verdict: sum(card["verdict"] == verdict for card in cards) for verdict in WORDS}
    return template.render(
        device=device, cards=cards, missing=list(missing), counts=counts, words=WORDS, width=WIDTH, height=HEIGHT
    ).lstrip()


def _card(shown: SheetTake) -> dict[str, Any]:
    take, alignment = shown.take, shown.alignment
    verdict = worst((take["verdict"], alignment.verdict))
    return {
        "name": shown.name,
        "path": take["path"],
        "verdict": verdict,
        "words": WORDS[verdict],
        "reasons": [*take["reasons"], *alignment.reasons],
        "rows": list(_rows(take, alignment)),
        "track": _track(alignment),
        "marks": list(_marks(take, alignment)),
        "seconds": alignment.dry_frames / alignment.sample_rate,
    }


def _rows(take: Mapping[str, Any], alignment: Alignment) -> Iterator[tuple[str, str]]:
    yield "level", f"peak {take['peak_dbfs']:.1f} dBFS, rms {take['rms_dbfs']:.1f} dBFS"
    yield "clipped", _clipped(take)
    yield "noise", _noise(take, alignment)
    if take.get("hum_hz"):
        yield "hum", f"{take['hum_hz']:.0f} Hz, {take['hum_dbfs']:.0f} dBFS"
    yield "witness", _witness(alignment)
    if alignment.verdict != "refused":
        polarity = "inverted" if alignment.polarity < 0 else "not inverted"
        seconds = alignment.lag_samples / alignment.sample_rate
        yield "clock", f"lag {seconds:.3f} s, drift {alignment.drift_ppm + 0.0:.2f} ppm, {polarity}"
    lost = sum(each.stop - each.start for each in alignment.excluded) / alignment.sample_rate
    yield "left out", f"{lost:.2f} s in {_places(len(alignment.excluded))}" if alignment.excluded else "nothing"


def _clipped(take: Mapping[str, Any]) -> str:
    if not take["clips"]:
        return "nowhere"
    found = list(dict.fromkeys(f"{each['seconds']:.1f}" for each in take["clipped"]))
    more = " and later" if len(found) > 5 or take["clips"] > len(take["clipped"]) else ""
    return f"{_places(take['clips'])}, {take['clipped_samples']} samples: at {', '.join(found[:5])} s{more}"


def _places(count: int) -> str:
    return f"{count} place{'' if count == 1 else 's'}"


def _noise(take: Mapping[str, Any], alignment: Alignment) -> str:
    if alignment.noise_floor_dbfs is not None:
        return f"{alignment.noise_floor_dbfs:.1f} dBFS between repeats, {take['noise_floor_dbfs']:.1f} dBFS in pauses"
    return f"{take['noise_floor_dbfs']:.1f} dBFS in pauses"


def _witness(alignment: Alignment) -> str:
    changes = [finding for finding in alignment.findings if finding.code.startswith("witness-")]
    if changes:
        places = ", ".join(_place(finding) for finding in changes)
        return f"the device changed {places}"
    return "the device stayed the same" if alignment.witness is not None else "not measured"


def _place(finding: Finding) -> str:
    span = finding.span
    return f"between {span.start:.0f} and {span.stop:.0f} s" if span is not None else "during the take"


def _track(alignment: Alignment) -> dict[str, Any] | None:
    """Return the lag without its drift as a line for each piece between dropouts, and its range in samples.

    None without windows.
    """
    windows = [window for window in alignment.track if window.weight > 0]
    if len(windows) < 2:
        return None
    windows = windows[:: -(-len(windows) // MAX_POINTS)]
    position = np.array([window.position for window in windows])
    lag = np.array([window.lag for window in windows]) - alignment.drift_ppm * 1e-6 * position
    low, high = float(lag.min()), float(lag.max())
    span = max(MIN_LAG_SPAN, high - low)
    x = position / alignment.dry_frames * WIDTH
    y = HEIGHT * (0.5 - 0.8 * (lag - 0.5 * (low + high)) / span)
    ends = np.array([piece.stop for piece in alignment.pieces])
    piece = np.searchsorted(ends, position, side="right")
    lines = [
        " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[piece == number], y[piece == number], strict=True))
        for number in np.unique(piece).tolist()
    ]
    return {"lines": lines, "span": f"{high - low:.2f}"}


def _marks(take: Mapping[str, Any], alignment: Alignment) -> Iterator[dict[str, Any]]:
    """Yield the marked ranges of the reel: what is left out, clipped places, changes of the device."""
    for each in alignment.excluded:
        yield _mark("out", each.start, each.stop, alignment, f"left out: {each.reason}")
    for clip in take["clipped"]:
        start = _on_reel(clip["seconds"], alignment)
        yield _mark("clip", start, start, alignment, f"clipped at {clip['seconds']:.2f} s of the take")
    for finding in alignment.findings:
        if finding.code.startswith("witness-") and finding.span is not None:
            ends = [_on_reel(seconds, alignment) for seconds in (finding.span.start, finding.span.stop)]
            yield _mark("change", ends[0], ends[1], alignment, "the device changed")


def _on_reel(seconds: float, alignment: Alignment) -> float:
    """Return the sample of the reel at a time of the take."""
    return (seconds * alignment.sample_rate - alignment.lag_samples) / (1.0 + alignment.drift_ppm * 1e-6)


def _mark(kind: str, start: float, stop: float, alignment: Alignment, title: str) -> dict[str, Any]:
    scale = WIDTH / alignment.dry_frames
    left = min(max(0.0, start * scale), WIDTH - 2.0)
    return {"kind": kind, "x": f"{left:.1f}", "width": f"{max(2.0, (stop - start) * scale):.1f}", "title": title}
