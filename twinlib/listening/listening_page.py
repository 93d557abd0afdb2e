"""The listening page of a twin: players with a null test, A/B/X and MUSHRA, as one self-contained HTML file.

Other pages can contain the same parts: `render_head` once in the head, then `render_null_test`, `render_abx` and
`render_mushra` anywhere in the body. All their classes have the prefix `tw-`, their only id is `tw-data`. The browser
needs the Web Audio API and FLAC (Firefox, Chromium); pages work from the file system.
"""

import base64
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from twinlib.errors import DatasetError
from twinlib.html_templates import html_environment
from twinlib.listening.spectrograms import BOTTOM, HEIGHT, LEFT, WIDTH
from twinlib.listening.stimuli import LABELS, PreparedExcerpt, Stimulus

SEED = 1
"""The initial seed of A/B/X and MUSHRA; the listener can draw another."""

_MAX_BOOST_DB = 60.0


def render_listening_page(title: str, excerpts: Sequence[PreparedExcerpt], seed: int = SEED) -> str:
    """Return the HTML document with players, A/B/X and MUSHRA for a choice of excerpts.

    `title` names the twin ("silk, small"). Equal excerpts give equal text. Ten seconds at 44.1 kHz take about 5 MB.
    Raises `DatasetError` without excerpts, or if their sample rates differ.
    """
    return _render("listening_page.html.j2", excerpts, title=title, data=_page_data(excerpts), seed=seed)


def render_head(excerpts: Sequence[PreparedExcerpt]) -> Markup:
    """Return policy, style, script and signals of all parts of a page, for its `<head>`; other scripts never run."""
    return _render("head.html.j2", excerpts, data=_page_data(excerpts))


def render_null_test(excerpts: Sequence[PreparedExcerpt]) -> Markup:
    """Return the players of dry, device, twin and difference with their pictures and levels, for a `<body>`."""
    return _render("null_test.html.j2", excerpts)


def render_abx(excerpts: Sequence[PreparedExcerpt], seed: int = SEED) -> Markup:
    """Return the A/B/X test of the device against twin, linear filter or dry signal, for a `<body>`.

    In each trial, X is A if the next number of a mulberry32 generator with that seed is below one half.
    """
    return _render("abx.html.j2", excerpts, seed=seed)


def render_mushra(excerpts: Sequence[PreparedExcerpt], seed: int = SEED) -> Markup:
    """Return the test of ITU-R BS.1534-3 with the device as reference, for a `<body>`.

    Blind stimuli: device, twin, two low-pass anchors, dry and linear filter, in an order that a mulberry32 generator
    with that seed shuffles (Fisher and Yates).
    """
    return _render("mushra.html.j2", excerpts, seed=seed)


def _render(template: str, excerpts: Sequence[PreparedExcerpt], **values: Any) -> Markup:
    rates = sorted({one.excerpt.sample_rate for one in excerpts})
    if len(rates) != 1:
        found = f"they have {' and '.join(f'{rate} Hz' for rate in rates)}" if rates else "there is none"
        raise DatasetError(f"a listening page needs excerpts of one sample rate: {found}")
    panel = {"left": LEFT, "width": WIDTH, "bottom": BOTTOM, "height": HEIGHT}
    loaded = html_environment("twinlib.listening").get_template(template)
    return Markup(loaded.render(excerpts=excerpts, labels=LABELS, panel=panel, **values))


def _page_data(excerpts: Sequence[PreparedExcerpt]) -> dict[str, Any]:
    return {
        "excerpts": [
            {
                "title": one.excerpt.title,
                "rate": one.excerpt.sample_rate,
                "max_boost_db": _max_boost_db(one),
                "stimuli": {name: _stimulus_data(name, stimulus) for name, stimulus in one.stimuli.items()},
            }
            for one in excerpts
        ]
    }


def _stimulus_data(name: str, stimulus: Stimulus) -> dict[str, object]:
    return {
        "label": LABELS[name],
        "true": stimulus.true_gain,
        "matched": stimulus.matched_gain,
        "flac": base64.b64encode(stimulus.flac).decode("ascii"),
    }


def _max_boost_db(one: PreparedExcerpt) -> float:
    """Return the gain in dB, rounded down, at which the difference reaches full scale."""
    difference = one.stimuli["difference"]
    if difference.rms_db is None:
        return _MAX_BOOST_DB
    return int(10 * (difference.stored_db - one.headroom_db)) / 10
