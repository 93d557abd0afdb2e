"""The datasheet as Markdown and as one self-contained HTML page, from the facts of `twinlib.audit.card`."""

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from twinlib.audit.dataset_facts import format_knobs
from twinlib.audit.pages.render import environment
from twinlib.reports import inline_figure


def card_markdown(facts: Mapping[str, Any]) -> str:
    """Render the datasheet as Markdown, without figures. Equal facts give equal text."""
    text = environment("markdown").get_template("card.md.j2").render(facts, **_FUNCTIONS)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def card_html(facts: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Render the datasheet as an HTML document with the SVG figures of `card_figures`. Equal input, equal text."""
    text = environment("html").get_template("card.html.j2").render(facts, figures=figures, **_FUNCTIONS)
    return re.sub(r"\n{2,}", "\n", text).strip() + "\n"


def figure_html(svg: str, name: str, description: str) -> Markup:
    """Return an SVG as an accessible `figure` element."""
    label = f'<figure role="img" aria-label="{escape(description)}"'
    return Markup(inline_figure(name, svg).replace("<figure", label, 1))


def capture_kind(capture: Mapping[str, Any]) -> str:
    """Return the kind of a capture, and its date if known."""
    if capture["kind"] == "simulated":
        return "simulated" + (f" on {capture['simulated_on']}" if capture["simulated_on"] else "")
    kind = {"take": "recorded", "pair": "pair of files"}[capture["kind"]]
    return kind + (f", since {capture['takes'][-1]['since']}" if capture["takes"] else "")


def corrections(alignment: Mapping[str, Any]) -> list[str]:
    """Return the corrections to the samples of a take, other than time shifts."""
    applied = []
    if alignment["applied_polarity"] < 0:
        applied.append("polarity inverted")
    if alignment["applied_gain"] != 1:
        applied.append(f"gain of {alignment['applied_gain']:.4g} applied")
    if alignment["applied_dc"]:
        applied.append(f"DC offset of {alignment['applied_dc']:.3g} of full scale removed")
    return applied


def guards(devices: Mapping[str, Any]) -> list[int]:
    """Return the distinct guards of the datasets in samples, sorted."""
    return sorted({device["dataset"]["guard_samples"] for device in devices.values()})


_FUNCTIONS = {
    "capture_kind": capture_kind,
    "corrections": corrections,
    "figure_html": figure_html,
    "format_knobs": format_knobs,
    "guards": guards,
}
"""Functions for the templates."""
