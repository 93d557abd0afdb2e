"""The page that compares twins: one HTML file that needs nothing else, neither a network nor another file."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twinlib.formatting import percent
from twinlib.reports.figures import draw_comparison

MISSING = "–"


@dataclass(frozen=True)
class _Column:
    """A column: its heading, what it means, which value it shows and how; without `shown` it is a text."""

    heading: str
    meaning: str
    value: Callable[[dict[str, Any]], Any]
    shown: Callable[[float], str] | None = None


def _key(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda metrics: metrics.get(name)


def _worst_harmonic(metrics: dict[str, Any]) -> Any:
    return (metrics.get("harmonics") or {}).get("worst_db")


def _signed(unit: str) -> Callable[[float], str]:
    # Adding zero takes the sign of what is rounded to none.
    return lambda value: f"{round(value, 1) + 0.0:+.1f} {unit}"


_COLUMNS = (
    _Column("device", "the device that was recorded", _key("device")),
    _Column("model", "the network", _key("model")),
    _Column(
        "test ESR", "error energy over the device's energy on music that the twin never heard", _key("esr"), percent
    ),
    _Column("in dB", "the same in dB", _key("esr_db"), lambda value: f"{value:.1f} dB"),
    _Column("floor", "the ESR that the device's own noise leaves to any twin", _key("esr_floor"), percent),
    _Column("dry", "the ESR of the dry signal", _key("esr_dry"), percent),
    _Column("linear filter", "the ESR of the best filter without distortion", _key("esr_linear"), percent),
    _Column("gained", "how far the twin is below the best linear filter", _key("gain_over_linear_db"), _signed("dB")),
    _Column(
        "with emphasis", "the test ESR after a filter that weighs the highs more", _key("esr_preemphasis"), percent
    ),
    _Column("MR-STFT", "the multi-resolution distance of spectra", _key("mr_stft"), lambda value: f"{value:.3f}"),
    _Column("loudness", "the twin's loudness minus the device's", _key("lufs_difference_db"), _signed("LU")),
    _Column(
        "harmonics", "the worst deviation of the harmonics H2 to H5", _worst_harmonic, lambda value: f"{value:.1f} dB"
    ),
    _Column(
        "parameters", "the size of the network", _key("parameters"), lambda value: f"{value:,.0f}".replace(",", " ")
    ),
    _Column(
        "speed", "seconds of audio in a second of one CPU", _key("realtime_factor"), lambda value: f"{value:.1f} x"
    ),
)

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 84rem;
  padding: 0 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th.text, td.text { text-align: left; }
th { vertical-align: bottom; border-bottom: 2px solid #555; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0.2rem 0;
  cursor: pointer; white-space: normal; text-align: inherit; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
figure { margin: 2rem 0; max-width: 52rem; } figure svg { width: 100%; height: auto; }
dt { font-weight: 600; float: left; clear: left; width: 9rem; } dd { margin-left: 9rem; }
@media print { body { margin: 0; font-size: 10px; } .table { overflow: visible; } }
"""

_SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const down = head.getAttribute("aria-sort") === "ascending";
    const column = head.cellIndex;
    const number = !head.classList.contains("text");
    const body = head.closest("table").tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      const order = number ? x - y : x.localeCompare(y);
      return down ? -order : order;
    });
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
}
"""


def comparison_page(metrics: Sequence[dict[str, Any]], links: Sequence[str]) -> str:
    """An HTML page of all twins, devices x models, in the given order: a table to sort, and error against speed.

    `metrics` are those of contract `metrics/1`; `esr_floor`, `harmonics.worst_db` and what could not be measured may
    be missing: an en dash stands there, and sorts last. `links[i]` leads from the page to that of `metrics[i]`.
    """
    rows = "\n".join(_row(one, link) for one, link in zip(metrics, links, strict=True))
    heads = "".join(
        f'<th scope="col"{_kind(column)}><button type="button" title="{html.escape(column.meaning)}">'
        f"{html.escape(column.heading)}</button></th>"
        for column in _COLUMNS
    )
    meanings = "\n".join(
        f"<dt>{html.escape(column.heading)}</dt><dd>{html.escape(column.meaning)}</dd>" for column in _COLUMNS
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>All twins</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>All twins</h1>
<p>A heading sorts the table; once more turns it round. 0 % is a perfect twin.</p>
<div class="table">
<table>
<thead><tr>{heads}<th scope="col" class="text">page</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
{_figure(metrics)}
<dl>
{meanings}
</dl>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _kind(column: _Column) -> str:
    return ' class="text"' if column.shown is None else ""


def _row(metrics: dict[str, Any], link: str) -> str:
    cells = "".join(_cell(column, column.value(metrics)) for column in _COLUMNS)
    name = html.escape(f"{metrics['device']}, {metrics['model']}")
    return f'<tr>{cells}<td class="text"><a href="{html.escape(link)}" title="{name}">open</a></td></tr>'


def _cell(column: _Column, value: Any) -> str:
    if value is None:
        return f"<td{_kind(column)}>{MISSING}</td>"
    shown = str(value) if column.shown is None else column.shown(value)
    return f'<td{_kind(column)} data-value="{html.escape(str(value))}">{html.escape(shown)}</td>'


def _figure(metrics: Sequence[dict[str, Any]]) -> str:
    if not metrics:
        return ""
    drawn = draw_comparison(
        [(str(m["device"]), str(m["model"]), m["esr"], m["realtime_factor"]) for m in metrics],
        {str(m["device"]): m["esr_floor"] for m in metrics if m.get("esr_floor") is not None},
    )
    return (
        '<figure role="img" aria-label="Test ESR of every twin against its speed; the numbers stand in the table">\n'
        f"{drawn[drawn.index('<svg') :]}</figure>"
    )
