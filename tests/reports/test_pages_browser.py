"""Hostile text on every page, in a real browser: it is shown as text, and no script runs but that of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.audit.factories import make_results
from tests.browsers import started_browser
from tests.listening.factories import sounds
from tests.reports.test_twin_page import METRICS
from twinlib.audit.card import card
from twinlib.audit.pages import card_html
from twinlib.audit.results_folder import ResultsFolder
from twinlib.listening.listening_page import render_listening_page
from twinlib.listening.stimuli import prepare_excerpt
from twinlib.reports.comparison import render_comparison
from twinlib.reports.twin_page import render_twin_page

HOSTILE = "</script></title>\"'><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{ 7 * 7 }}"
JUDGED = {
    "verdict": "not usable",
    "reasons": [HOSTILE],
    "takes": {HOSTILE: {"verdict": "suspect", "reasons": [HOSTILE]}},
}


def datasheet(folder: Path) -> str:
    facts = card(ResultsFolder(make_results(folder, tracks=6, slices=20, devices=1, reels=1).results))
    parts = ("devices", "twins", "excitations")
    return card_html({**facts, **{part: dict.fromkeys([HOSTILE], *facts[part].values()) for part in parts}}, {})


def listening(folder: Path) -> str:
    return render_listening_page(
        HOSTILE, [prepare_excerpt(sounds(HOSTILE, 0.5)), prepare_excerpt(sounds(HOSTILE, 0.5, seed=1))]
    )


INJECTION = """() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", `<img src=x onerror="window.ran = 1">
        <img src="http://192.0.2.1/x.png"><iframe src="file:///etc/passwd"></iframe>`);
}"""

PAGES: dict[str, Callable[[Path], str]] = {
    "twin": lambda folder: render_twin_page(
        {**METRICS, **JUDGED, "device": HOSTILE, "model": HOSTILE}, {}, [prepare_excerpt(sounds(HOSTILE, 0.5))]
    ),
    "comparison": lambda folder: render_comparison(
        [{**METRICS, **JUDGED, "device": HOSTILE, "model": HOSTILE}], ["x.html"]
    ),
    "listening": listening,
    "datasheet": datasheet,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_is_shown_and_never_run(name: str, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[name](tmp_path / "made"), encoding="utf-8")
    page = browser.new_page()
    loaded: list[str] = []
    page.on("response", lambda response: loaded.append(response.url))
    page.goto(file.as_uri())
    assert HOSTILE in page.inner_text("body") or HOSTILE in page.title()
    # The policy stops what escaping should have stopped.
    page.evaluate(INJECTION)
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran === undefined")
    assert [url for url in loaded if not url.startswith("data:")] == [file.as_uri()]
    page.close()
