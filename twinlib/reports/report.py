"""The page of one twin: everything a designer of analog gear asks of it, in one file that needs no network."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twinlib.errors import TwinError
from twinlib.formatting import percent
from twinlib.listening import page
from twinlib.listening.listening_page import abx, head, null_test
from twinlib.listening.stimuli import PreparedExcerpt

_MOST_MISSES = 12
_MOST_TRACKS = 10


def report_page(metrics: Mapping[str, Any], figures: Mapping[str, str], prepared: Sequence[PreparedExcerpt]) -> str:
    """The whole HTML document of a twin.

    `metrics` is the content of metrics.json, with `harmonics` and `esr_floor` if a probe reel was recorded; `figures`
    holds SVG documents by name, those of the probe reel too; one can choose between the excerpts. Equal input gives
    equal text.
    """
    drawn = {name: inline_figure(name, svg) for name, svg in figures.items()}

    def shown(*names: str) -> str:
        return "\n".join(drawn[name] for name in names if name in drawn)

    unmeasured = "<p>No probe reel was recorded: ask for one with <code>probe_reel: true</code>.</p>"
    measured = "harmonics" in metrics
    parts = [
        (
            "Harmonics",
            (_harmonics(metrics["harmonics"]) if measured else unmeasured) + shown("harmonics", "phases", "distortion"),
        ),
        ("Transfer curve", shown("transfer", "loops")),
        (
            "Error beside the baselines",
            _errors(metrics) + shown("esr", "esr_over_time", "waveform", "spectrum") + _breakdown(metrics),
        ),
        ("Responses", shown("response", "compression", "intermodulation") or unmeasured),
        ("Null test", null_test(prepared)),
        ("Can you hear it? A/B/X", abx(prepared)),
        ("Aliasing", shown("aliasing") or unmeasured),
        ("Speed and learning", _speed(metrics) + shown("learning")),
    ]
    body = "\n".join(f'<section class="rp-part"><h2>{title}</h2>{content}</section>' for title, content in parts)
    title = f"{metrics['device']}, {metrics['model']}"
    return page.filled("report.html", title=escape(title), head=head(prepared), lead=_lead(metrics), parts=body)


def read_figure(path: Path) -> str:
    """The text of an SVG file; raises `TwinError` if it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
    except FileNotFoundError:
        raise TwinError(f"{path} does not exist: run again to draw it") from None
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise TwinError(f"{path} is not a readable SVG file ({error}): delete it and run again") from None
    return text


def inline_figure(name: str, svg: str) -> str:
    """An SVG to stand in a page with others: their ids must not meet."""
    inner = svg[svg.index("<svg") :]
    inner = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', inner)
    inner = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', inner)
    inner = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", inner)
    return f'<figure id="figure-{name}">{inner}</figure>'


def _lead(metrics: Mapping[str, Any]) -> str:
    words = f"On music that it never heard, the twin errs by {percent(metrics['esr'])} of the device's energy"
    words += f" ({metrics['esr_db']:.1f} dB); the best linear filter errs by {percent(metrics['esr_linear'])}."
    if "esr_floor" in metrics:
        words += f" No twin can do better than {percent(metrics['esr_floor'])}, the noise of the device itself."
    if metrics.get("music_withdrawn"):
        tracks = ", ".join(metrics["music_withdrawn"])
        words += f" The music of the probe reel is left out, and so is the noise floor: withdrawn since are {tracks}."
    return f"<p>{escape(words)}</p>"


def _errors(metrics: Mapping[str, Any]) -> str:
    rows = [
        ("dry signal", percent(metrics["esr_dry"])),
        ("best gain", percent(metrics["esr_gain"])),
        ("best linear filter", percent(metrics["esr_linear"])),
        ("twin", percent(metrics["esr"])),
    ]
    if "esr_floor" in metrics:
        rows.append(("noise floor of the device", percent(metrics["esr_floor"])))
    rows.append(("twin, highs emphasised", percent(metrics["esr_preemphasis"])))
    for key, name, unit in (
        ("mr_stft", "multi-resolution STFT distance", ""),
        ("log_mel_db", "log-mel distance", " dB"),
        ("lufs_difference_db", "loudness, twin minus device", " LU"),
        ("true_peak_difference_db", "true peak, twin minus device", " dB"),
        ("lufs_short_term_difference_db", "largest short-term loudness difference", " LU"),
        ("crest_difference_db", "crest factor, twin minus device", " dB"),
        ("visqol", "ViSQOL, 1 to 5", ""),
    ):
        if metrics.get(key) is not None:
            rows.append((name, f"{metrics[key]:.3g}{unit}"))
    return _table(("on the test split", "error or difference"), rows)


def _breakdown(metrics: Mapping[str, Any]) -> str:
    """The error by level and by track, each with the floor as its last line."""
    levels = [
        (f"{_level(one['from_dbfs'], one['to_dbfs'])} dBFS", *_ratios(one)) for one in metrics.get("by_level", [])
    ]
    tracks = metrics.get("by_track", [])
    named = [(one["name"], *_ratios(one)) for one in tracks[:_MOST_TRACKS]]
    floor = []
    if "esr_floor" in metrics:
        floor = [
            ("noise floor of the device, on music as loud as the probe reel's", "", percent(metrics["esr_floor"]), "")
        ]
    words = "by track" if len(tracks) <= _MOST_TRACKS else f"by track, the {_MOST_TRACKS} worst of {len(tracks)}"
    return "".join(
        _table((heading, "seconds", "twin", "best linear filter"), [*rows, *floor])
        for heading, rows in (("by the level of the device", levels), (words, named))
        if rows
    )


def _level(low: float | None, high: float | None) -> str:
    if low is None:
        return f"below {high:.0f}"
    return f"{low:.0f} and more" if high is None else f"{low:.0f} to {high:.0f}"


def _ratios(one: Mapping[str, Any]) -> tuple[str, str, str]:
    twin, linear = ("silence" if one[key] is None else percent(one[key]) for key in ("esr", "esr_linear"))
    return f"{one['seconds']:.1f}", twin, linear


def _harmonics(comparison: Mapping[str, Any]) -> str:
    if not comparison["compared"]:
        return "<p>The device adds no harmonic above -70 dBc at the levels that are compared.</p>"
    words = (
        f"{comparison['within']} of {comparison['compared']} harmonics (H2 to H5 above -70 dBc, at -30 to -3 dBFS) are "
        f"within 1 dB of the device's; the worst is off by {comparison['worst_db']:.1f} dB."
    )
    if comparison.get("worst_degrees") is not None:
        words += (
            f" The phases of {comparison['within_degrees']} are within 10 degrees of the device's; the worst is off by "
            f"{comparison['worst_degrees']:.0f}."
        )
    rows = [
        (
            f"H{miss['harmonic']} of {miss['hz']:.0f} Hz at {miss['level_dbfs']:.0f} dBFS",
            f"{miss['device_dbc']:.1f} dBc",
            f"{miss['twin_dbc']:.1f} dBc",
            f"{miss['off_db']:+.1f} dB",
        )
        for miss in comparison["misses"][:_MOST_MISSES]
    ]
    more = len(comparison["misses"]) - len(rows)
    table = _table(("beyond 1 dB", "device", "twin", "difference"), rows) if rows else ""
    return f"<p>{words}</p>{table}" + (f"<p>And {more} more, in measurements.json.</p>" if more else "")


def _speed(metrics: Mapping[str, Any]) -> str:
    return (
        f"<p>{metrics['realtime_factor']:.1f} seconds of audio in a second of one CPU; {metrics['parameters']} "
        f"parameters, a receptive field of {metrics['receptive_field']} samples.</p>"
    )


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    head_cells = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    return f"<table><tr>{head_cells}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
