"""The page of one twin: verdict, passport, listening, measurements and errors, as one self-contained HTML file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from twinlib.errors import TwinError
from twinlib.evaluation import verdict_lines
from twinlib.formatting import percent
from twinlib.html_templates import html_environment
from twinlib.listening import PreparedExcerpt, render_abx, render_head, render_null_test
from twinlib.reports.passport import Origin, passport_links, passport_rows

MAX_MISSES = 12
"""The number of deviating harmonics in the table."""

MAX_TRACKS = 10
"""The number of tracks in the table of errors by track."""

_DIFFERENCES = (
    ("mr_stft", "multi-resolution STFT distance", ""),
    ("log_mel_db", "log-mel distance", " dB"),
    ("lufs_difference_db", "loudness, twin minus device", " LU"),
    ("true_peak_difference_db", "true peak, twin minus device", " dB"),
    ("lufs_short_term_difference_db", "largest short-term loudness difference", " LU"),
    ("crest_difference_db", "crest factor, twin minus device", " dB"),
    ("visqol", "ViSQOL, 1 to 5", ""),
)

_Row = tuple[str, ...]


def render_twin_page(
    metrics: Mapping[str, Any], origin: Origin, figures: Mapping[str, str], excerpts: Sequence[PreparedExcerpt]
) -> str:
    """Return the HTML document of a twin.

    `metrics` is the content of metrics.json, with `harmonics` and `esr_floor` if a probe reel was recorded; `origin`
    gives the passport; `figures` holds SVG documents by name, including those of the probe reel; the page includes a
    menu of `excerpts`. Its links are relative to the twin's folder `evaluation`. Equal input gives equal text.
    """
    template = html_environment("twinlib.reports").get_template("twin_page.html.j2")
    return template.render(
        title=f"{metrics['device']}, {metrics['model']}",
        metrics=metrics,
        verdict=verdict_lines(metrics)[1:],
        passport=passport_rows(metrics, origin),
        links=passport_links(metrics["device"]),
        figures={name: Markup(inline_figure(name, svg)) for name, svg in figures.items()},
        misses=_miss_rows(metrics.get("harmonics", {}).get("misses", [])),
        phase_misses=_phase_miss_rows(metrics.get("harmonics", {}).get("phase_misses", [])),
        aliases=list(_alias_rows(metrics.get("aliasing", {}))),
        errors=list(_error_rows(metrics)),
        breakdowns=list(_breakdowns(metrics)),
        listening_head=render_head(excerpts),
        null_test=render_null_test(excerpts),
        abx=render_abx(excerpts),
    ).lstrip()


def read_figure(path: Path) -> str:
    """Return the text of an SVG file; raises `TwinError` if it is missing or invalid."""
    try:
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run the workflow again to draw it") from None
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise TwinError(f"{path} is not a readable SVG file ({error}): delete it and run again") from None
    return text


def inline_figure(name: str, svg: str) -> str:
    """Return an SVG for a page with other figures: the prefix `name` makes its ids unique."""
    inner = svg[svg.index("<svg") :]
    inner = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', inner)
    inner = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', inner)
    inner = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", inner)
    return f'<figure id="figure-{name}">{inner}</figure>'


def _error_rows(metrics: Mapping[str, Any]) -> Iterator[_Row]:
    yield "dry signal", percent(metrics["esr_dry"])
    yield "best gain", percent(metrics["esr_gain"])
    yield "best linear filter", percent(metrics["esr_linear"])
    yield "twin", percent(metrics["esr"])
    if "esr_floor" in metrics:
        yield "noise floor of the device", percent(metrics["esr_floor"])
    yield "twin, highs emphasised", percent(metrics["esr_preemphasis"])
    for key, name, unit in _DIFFERENCES:
        if metrics.get(key) is not None:
            yield name, f"{metrics[key]:.3g}{unit}"


def _breakdowns(metrics: Mapping[str, Any]) -> Iterator[tuple[str, list[_Row]]]:
    """Yield heading and rows of the errors by level and by track, with the noise floor as last row."""
    levels = [
        (f"{_level_range(row['from_dbfs'], row['to_dbfs'])} dBFS", *_error_cells(row))
        for row in metrics.get("by_level", [])
    ]
    tracks = metrics.get("by_track", [])
    named = [(row["name"], *_error_cells(row)) for row in tracks[:MAX_TRACKS]]
    heading = "by track" if len(tracks) <= MAX_TRACKS else f"by track, the {MAX_TRACKS} worst of {len(tracks)}"
    floor: list[_Row] = []
    if "esr_floor" in metrics:
        name = "noise floor of the device, for music at the level of the probe reel"
        floor = [(name, "", percent(metrics["esr_floor"]), "")]
    for title, rows in (("by level of the device", levels), (heading, named)):
        if rows:
            yield title, [*rows, *floor]


def _level_range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"below {high:.0f}"
    return f"{low:.0f} and above" if high is None else f"{low:.0f} to {high:.0f}"


def _error_cells(row: Mapping[str, Any]) -> _Row:
    twin, linear = ("silence" if row[key] is None else percent(row[key]) for key in ("esr", "esr_linear"))
    return f"{row['seconds']:.1f}", twin, linear


def _alias_rows(aliasing: Mapping[str, Any]) -> Iterator[_Row]:
    """Yield the sines at full scale and below, then those of the probe reel, which the device has played too."""
    for sine in aliasing.get("sines", ()):
        yield f"{sine['hz']:.0f} Hz at {sine['level_dbfs']:.0f} dBFS", f"{sine['alias_db']:.1f} dB", ""
    for sine in aliasing.get("probe", ()):
        place = f"{sine['hz']:.0f} Hz at {sine['level_dbfs']:.0f} dBFS, probe reel"
        yield place, f"{sine['twin_db']:.1f} dB", f"{sine['device_db']:.1f} dB"


def _phase_miss_rows(misses: Sequence[Mapping[str, Any]]) -> list[_Row]:
    return [
        (
            f"H{miss['harmonic']} of {miss['hz']:.0f} Hz at {miss['level_dbfs']:.0f} dBFS",
            f"{miss['device_dbc']:.1f} dBc",
            f"{miss['off_degrees']:+.0f} degrees",
        )
        for miss in misses[:MAX_MISSES]
    ]


def _miss_rows(misses: Sequence[Mapping[str, Any]]) -> list[_Row]:
    return [
        (
            f"H{miss['harmonic']} of {miss['hz']:.0f} Hz at {miss['level_dbfs']:.0f} dBFS",
            f"{miss['device_dbc']:.1f} dBc",
            f"{miss['twin_dbc']:.1f} dBc",
            f"{miss['off_db']:+.1f} dB",
        )
        for miss in misses[:MAX_MISSES]
    ]
