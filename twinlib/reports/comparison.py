"""The page that compares twins, as one self-contained HTML file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from markupsafe import Markup

from twinlib.evaluation import suspect_takes, verdict_lines
from twinlib.formatting import percent
from twinlib.html_templates import html_environment
from twinlib.reports.figures import draw_comparison

MISSING = "–"

OPEN_VERDICTS = 6
"""Up to this number of twins, the reasons for all verdicts are shown; otherwise a click shows those of a twin."""


@dataclass(frozen=True)
class _Column:
    """A column: heading, meaning, value, and number format; a column of text has no `number_format`."""

    heading: str
    meaning: str
    value: Callable[[dict[str, Any]], Any]
    number_format: Callable[[float], str] | None = None

    @property
    def is_text(self) -> bool:
        return self.number_format is None

    def format(self, value: Any) -> str:
        return str(value) if self.number_format is None else self.number_format(value)


def _metric(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda metrics: metrics.get(name)


def _worst_harmonic(metrics: dict[str, Any]) -> Any:
    return (metrics.get("harmonics") or {}).get("worst_db")


def _harmonics_within(metrics: dict[str, Any]) -> Any:
    harmonics = metrics.get("harmonics") or {}
    return harmonics["within"] / harmonics["compared"] if harmonics.get("compared") else None


def _phases_within(metrics: dict[str, Any]) -> Any:
    harmonics = metrics.get("harmonics") or {}
    # Absent from files of older versions.
    within = harmonics.get("within_degrees")
    return within / harmonics["compared"] if harmonics.get("compared") and within is not None else None


def _takes_without_finding(metrics: dict[str, Any]) -> Any:
    takes = metrics.get("takes")
    return 1 - len(suspect_takes(metrics)) / len(takes) if takes else None


def _signed(unit: str) -> Callable[[float], str]:
    # Adding zero removes the sign of a negative zero.
    return lambda value: f"{round(value, 1) + 0.0:+.1f} {unit}"


def _whole_percent(share: float) -> str:
    return f"{share:.0%}"


_COLUMNS = (
    _Column("device", "the recorded device", itemgetter("device")),
    _Column("model", "the network", itemgetter("model")),
    _Column("verdict", "good, usable or not usable, for the reasons above the table", _metric("verdict")),
    _Column("test ESR", "error energy over the device's energy on music unseen in training", _metric("esr"), percent),
    _Column("in dB", "the same in dB", _metric("esr_db"), lambda value: f"{value:.1f} dB"),
    _Column(
        "floor", "the lowest possible ESR of any twin, due to the noise of the device", _metric("esr_floor"), percent
    ),
    _Column("dry", "the ESR of the dry signal", _metric("esr_dry"), percent),
    _Column("linear filter", "the ESR of the best filter without distortion", _metric("esr_linear"), percent),
    _Column("vs. linear", "the ESR gain over the best linear filter", _metric("gain_over_linear_db"), _signed("dB")),
    _Column(
        "with emphasis", "the test ESR after a filter that emphasises the highs", _metric("esr_preemphasis"), percent
    ),
    _Column("MR-STFT", "the multi-resolution STFT distance", _metric("mr_stft"), lambda value: f"{value:.3f}"),
    _Column("loudness", "the twin's loudness minus the device's", _metric("lufs_difference_db"), _signed("LU")),
    _Column(
        "harmonics", "the largest deviation of the harmonics H2 to H5", _worst_harmonic, lambda value: f"{value:.1f} dB"
    ),
    _Column(
        "within 1 dB", "the share of these harmonics within 1 dB of the device's", _harmonics_within, _whole_percent
    ),
    _Column(
        "within 10 degrees",
        "the share whose phase is within 10 degrees of the device's",
        _phases_within,
        _whole_percent,
    ),
    _Column(
        "takes",
        "the share of takes without a finding at ingest, alignment or in the residual of the twin",
        _takes_without_finding,
        _whole_percent,
    ),
    _Column(
        "parameters", "the size of the network", _metric("parameters"), lambda value: f"{value:,.0f}".replace(",", " ")
    ),
    _Column(
        "speed", "seconds of audio per second of one CPU", _metric("realtime_factor"), lambda value: f"{value:.1f} x"
    ),
)


def render_comparison(metrics: Sequence[dict[str, Any]], links: Sequence[str]) -> str:
    """Return an HTML page with a sortable table of all twins, in the given order, and a figure of error over speed.

    `metrics` have the contract `metrics/1`; missing values appear as an en dash and sort last. `links[i]` is the
    relative link to the page of `metrics[i]`. Raises `ValueError` if the lengths differ.
    """
    template = html_environment("twinlib.reports").get_template("comparison.html.j2")
    twins = list(zip(metrics, links, strict=True))
    return template.render(
        columns=_COLUMNS,
        twins=twins,
        verdicts=[(lines, link) for row, link in twins if (lines := verdict_lines(row))],
        open_verdicts=OPEN_VERDICTS,
        missing=MISSING,
        figure=_draw_figure(metrics),
    )


def _draw_figure(metrics: Sequence[dict[str, Any]]) -> Markup | None:
    if not metrics:
        return None
    svg = draw_comparison(
        [(str(m["device"]), str(m["model"]), m["esr"], m["realtime_factor"]) for m in metrics],
        {str(m["device"]): m["esr_floor"] for m in metrics if m.get("esr_floor") is not None},
    )
    return Markup(svg[svg.index("<svg") :])
