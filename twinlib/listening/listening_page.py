"""The listening page of a twin: players with a null test, A/B/X and MUSHRA, as one HTML file that needs no network.

A page of another kind can hold the same parts: `head` once, then `null_test`, `abx` and `mushra` anywhere in its body.
All their classes begin with `tw-`, their one id is `tw-data`. The browser needs the Web Audio API and FLAC, which
Firefox and Chromium have; pages work from the file system.
"""

import base64
import json
from collections.abc import Sequence
from html import escape

from twinlib.errors import DatasetError
from twinlib.listening import page
from twinlib.listening.spectrograms import BOTTOM, HEIGHT, LEFT, WIDTH
from twinlib.listening.stimuli import LABELS, PreparedExcerpt, Stimulus

SEED = 1
"""What the A/B/X and MUSHRA parts begin with; the listener can draw another."""


def listening_page(title: str, prepared: Sequence[PreparedExcerpt], seed: int = SEED) -> str:
    """The whole HTML document: players, A/B/X and MUSHRA for the excerpts, which one can choose between.

    `title` names the twin ("silk, small"). Equal sounds give equal text. Ten seconds at 44.1 kHz make some 5 MB. Raises
    DatasetError without an excerpt, or if their sample rates differ.
    """
    parts = [null_test(prepared), abx(prepared, seed), mushra(prepared, seed)]
    return page.filled("page.html", title=escape(title), head=head(prepared), parts="\n".join(parts))


def head(prepared: Sequence[PreparedExcerpt]) -> str:
    """The style, the script and the sounds that all parts on a page share: for its `<head>`, once."""
    _check(prepared)
    content = json.dumps({"excerpts": [_excerpt(one) for one in prepared]}, ensure_ascii=False)
    # So that no title can end the script element.
    content = content.replace("<", "\\u003c")
    return "\n".join(
        [
            f"<style>\n{page.text('listening.css')}</style>",
            f'<script type="application/json" id="tw-data">{content}</script>',
            f"<script>\n{page.text('listening.js')}</script>",
        ]
    )


def null_test(prepared: Sequence[PreparedExcerpt]) -> str:
    """The players of dry, device, twin and difference with their pictures and levels, for a `<body>`."""
    _check(prepared)
    return page.filled(
        "null_test.html",
        choose=_choose(prepared),
        transport=page.text("transport.html"),
        excerpts="\n".join(_players(number, one) for number, one in enumerate(prepared)),
    )


def abx(prepared: Sequence[PreparedExcerpt], seed: int = SEED) -> str:
    """The A/B/X test of the device against twin, linear filter or dry signal, for a `<body>`.

    Trial by trial, X is A where the next number of a mulberry32 generator with that seed is below one half.
    """
    _check(prepared)
    return page.filled("abx.html", choose=_choose(prepared), seed=_seed(seed), transport=page.text("transport.html"))


def mushra(prepared: Sequence[PreparedExcerpt], seed: int = SEED) -> str:
    """The test of ITU-R BS.1534-3 with the device as reference, for a `<body>`.

    Blind: device, twin, the two low-pass anchors, dry, linear filter, in an order that a mulberry32 generator with that
    seed shuffles (Fisher and Yates).
    """
    _check(prepared)
    return page.filled("mushra.html", choose=_choose(prepared), seed=_seed(seed), transport=page.text("transport.html"))


def _check(prepared: Sequence[PreparedExcerpt]) -> None:
    rates = sorted({one.excerpt.sample_rate for one in prepared})
    if len(rates) != 1:
        found = f"they have {' and '.join(f'{rate} Hz' for rate in rates)}" if rates else "there is none"
        raise DatasetError(f"a listening page needs excerpts of one sample rate: {found}")


def _excerpt(one: PreparedExcerpt) -> dict[str, object]:
    return {
        "title": one.excerpt.title,
        "rate": one.excerpt.sample_rate,
        "most_boost_db": _most_boost(one),
        "sounds": {name: _sound(name, clip) for name, clip in one.stimuli.items()},
    }


def _sound(name: str, clip: Stimulus) -> dict[str, object]:
    return {
        "label": LABELS[name],
        "true": clip.true_gain,
        "matched": clip.matched_gain,
        "flac": base64.b64encode(clip.flac).decode("ascii"),
    }


def _most_boost(one: PreparedExcerpt) -> float:
    """By how many dB the difference can be raised before it clips: its file is at full scale, less the gain it gets."""
    if one.stimuli["difference"].rms_db is None:
        return 60.0
    # Rounded down.
    return int(10 * (one.stimuli["difference"].stored_db - one.headroom_db)) / 10


def _choose(prepared: Sequence[PreparedExcerpt]) -> str:
    if len(prepared) == 1:
        return f"<p>You hear {escape(prepared[0].excerpt.title)}.</p>"
    options = "".join(
        f'<option value="{number}">{escape(one.excerpt.title)}</option>' for number, one in enumerate(prepared)
    )
    return (
        '<div class="tw-row"><label>excerpt <select class="tw-select" data-tw="excerpt">'
        f"{options}</select></label></div>"
    )


def _seed(seed: int) -> str:
    return (
        '<label>seed <input type="number" class="tw-number tw-seed" data-tw="seed" min="0" max="4294967295" step="1" '
        f'value="{seed}"></label>\n<button type="button" class="tw-button" data-tw="draw">Draw a new seed</button>'
    )


def _players(number: int, one: PreparedExcerpt) -> str:
    rows = []
    for key, (name, picture) in enumerate(one.pictures.items(), start=1):
        image = base64.b64encode(picture).decode("ascii")
        rows.append(
            f'<div class="tw-sound tw-sound-{name}"><div>'
            f'<button type="button" class="tw-button" data-tw-sound="{name}" disabled>'
            f"{key} {LABELS[name]}</button>\n{_levels(name, one)}</div>\n"
            f'<div class="tw-picture"><img alt="Waveform and spectrogram: {LABELS[name]}" '
            f'src="data:image/png;base64,{image}">{_FIELD}</div></div>'
        )
    hidden = " hidden" if number else ""
    return f'<div data-tw-excerpt="{number}"{hidden}>\n<p>{_verdict(one)}</p>\n' + "\n".join(rows) + "\n</div>"


# Where time runs on the pictures: a click there seeks, and the play head moves in it.
_FIELD = (
    f'<div class="tw-field" data-tw-field style="left:{100 * LEFT:.2f}%;width:{100 * WIDTH:.2f}%;'
    f'bottom:{100 * BOTTOM:.2f}%;height:{100 * HEIGHT:.2f}%"><div class="tw-head"></div></div>'
)


def _verdict(one: PreparedExcerpt) -> str:
    device, difference = one.stimuli["device"], one.stimuli["difference"]
    if difference.rms_db is None:
        return "The difference is digital silence: the twin gives the very samples of the device."
    below = []
    if difference.lufs is not None and device.lufs is not None:
        below.append(f"{_signed(difference.lufs - device.lufs)} dB in loudness (LUFS)")
    if device.rms_db is not None:
        below.append(f"{_signed(difference.rms_db - device.rms_db)} dB in rms")
    against = f"Against the device, the difference has {' and '.join(below)}. " if below else ""
    return (
        f"{against}In this file it is stored {_signed(difference.stored_db)} dB louder, so that it uses the whole "
        "range of its 16 bits and raising it raises no rounding noise."
    )


def _levels(name: str, one: PreparedExcerpt) -> str:
    clip = one.stimuli[name]
    loudness = "silent" if clip.rms_db is None else f"{_number(clip.rms_db)} dBFS rms"
    if clip.lufs is not None:
        loudness = f"{_number(clip.lufs)} LUFS<br>{loudness}"
    matched = f"<br>matched by {_signed(clip.match_db)} dB" if name in {"dry", "twin"} else ""
    return f"<p>{loudness}{matched}</p>"


def _signed(decibels: float) -> str:
    return f"{_rounded(decibels):+.1f}".replace("-", "−")


def _number(decibels: float) -> str:
    return f"{_rounded(decibels):.1f}".replace("-", "−")


def _rounded(decibels: float) -> float:
    """To a tenth, without the sign of a zero."""
    return round(decibels, 1) + 0.0
