"""Jinja2 environments for plain text, Markdown and HTML. Undefined names raise errors."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from string import Formatter
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from twinlib.audit.formatting import duration, join_words, table
from twinlib.audit.licence_terms import parse_licence
from twinlib.formatting import percent

Format = Literal["text", "markdown", "html"]

_CONDITIONS = {"BY": "attribution", "NC": "no commercial use", "SA": "share alike", "ND": "no derivatives"}
_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>|#])")


def render_text(template: str, answer: Mapping[str, Any]) -> str:
    """Render an answer with `TEMPLATE.txt.j2`; the keys of the answer are the variables. Ends without a newline."""
    return environment("text").get_template(f"{template}.txt.j2").render(answer).strip("\n")


@cache
def environment(output: Format) -> Environment:
    """Return the environment of an output format. Markdown and HTML escape all values, plain text none."""
    made = Environment(
        loader=PackageLoader("twinlib.audit.pages"),
        autoescape=output != "text",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    if output == "markdown":
        # Values become Markup here, so that Jinja2 does not escape them as HTML.
        made.finalize = lambda value: value if hasattr(value, "__html__") else Markup(_escape_markdown(str(value)))
    made.filters |= {
        "columns": _columns,
        "condition": _CONDITIONS.__getitem__,
        "duration": duration,
        "first_of_each_kind": _first_of_each_kind,
        "indented": _indented,
        "join_words": join_words,
        "licence_terms": parse_licence,
        "number": format_number,
        "one_line": lambda value: Markup(" ".join(escape(value).split())),
        "percent": lambda ratio: "unknown" if ratio is None else percent(ratio),
        "with_defaults": _with_defaults,
        "with_key": _with_key,
        "without_blank_lines": _without_blank_lines,
    }
    return made


def format_number(value: float | int | None) -> str:
    """Format a measured value with two decimals or three significant digits; None as `none`."""
    if value is None:
        return "none"
    if isinstance(value, int):
        return str(value)
    # Adding zero turns -0.0 into 0.0.
    return f"{value:.2f}" if abs(value) >= 10 else f"{value + 0.0:.3g}"


def _escape_markdown(text: str) -> str:
    return " ".join(_MARKDOWN_SIGNS.sub(r"\\\1", text).split())


class _CellFormatter(Formatter):
    """`str.format` with three more conversions: `!j` as JSON, `!l` as a comma-separated list, `!n` as the length."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        match conversion:
            case "j":
                return json.dumps(value, ensure_ascii=False)
            case "l":
                return ", ".join(value)
            case "n":
                return len(value)
        return super().convert_field(value, conversion)


def _columns(rows: Iterable[Mapping[str, Any]], cells: Mapping[str, str]) -> str:
    """Return aligned columns: `cells` maps each heading to a format string over the keys of a row."""
    formatter = _CellFormatter()
    return "\n".join(table([[formatter.vformat(cell, (), row) for cell in cells.values()] for row in rows], [*cells]))


def _with_key(rows: Mapping[str, Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the rows of a table by name with their name as one more value."""
    return [{key: name, **row} for name, row in rows.items()]


def _with_defaults(rows: Iterable[Mapping[str, Any]], **defaults: Any) -> list[dict[str, Any]]:
    return [{**defaults, **row} for row in rows]


def _indented(lines: Iterable[object] | str, width: int = 2) -> str:
    """Indent each line of a text, or of several."""
    texts = lines.splitlines() if isinstance(lines, str) else map(str, lines)
    return "\n".join(" " * width + line for line in texts)


def _without_blank_lines(text: str) -> Markup:
    return Markup("\n".join(line.strip() for line in text.splitlines() if line.strip()))


def _first_of_each_kind(stages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the first stage for each program and set of parameters: captures of a device share theirs."""
    first: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        first.setdefault(stage["stage"] + json.dumps(stage["params"], sort_keys=True), stage)
    return list(first.values())
