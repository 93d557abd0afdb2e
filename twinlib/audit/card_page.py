"""The datasheet as one HTML page that needs nothing else, neither a network nor another file."""

from collections.abc import Mapping
from html import escape
from typing import Any

from twinlib.audit.card_sections import Figure, Table, sections, title
from twinlib.reports.twin_page import inline_figure

_STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
  margin: 2rem auto; max-width: 66rem; padding: 0 1rem; }
p, li { max-width: 52rem; }
.table { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.15rem 1.2rem 0.15rem 0; vertical-align: top; }
th { border-bottom: 1px solid #555; }
td { border-bottom: 1px solid #e3e3e3; white-space: nowrap; }
figure { margin: 1rem 0; max-width: 46rem; } figure svg { width: 100%; height: auto; }
section { break-inside: avoid-page; }
@media print { body { margin: 0; font-size: 11px; } .table { overflow: visible; } }
"""


def card_page(told: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """The whole HTML document of the facts of `card`, with the SVG of `card_figures`; equal input gives equal text."""
    body = "\n".join(
        f"<section>\n<h2>{escape(section.title)}</h2>\n"
        + "\n".join(_part(part, figures) for part in section.parts)
        + "\n</section>"
        for section in sections(told)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title(told))}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title(told))}</h1>
{body}
</body>
</html>
"""


def _part(part: str | list[str] | Table | Figure, figures: Mapping[str, str]) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, list):
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in part) + "</ul>"
    if isinstance(part, Figure):
        svg = figures.get(part.name)
        label = f'<figure role="img" aria-label="{escape(part.shows)}"'
        return inline_figure(part.name, svg).replace("<figure", label, 1) if svg else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in part.heading)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in part.rows)
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'
