"""Every page in a real browser, with hostile text: it is shown as text, no foreign script runs, and it fits."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.alignment.conftest import alignment
from tests.audit.factories import make_results
from tests.browsers import started_browser
from tests.listening.factories import sounds
from tests.reports.test_twin_page import METRICS, ORIGIN
from twinlib.audit.card import card
from twinlib.audit.pages import card_html
from twinlib.audit.results_folder import ResultsFolder
from twinlib.listening.listening_page import render_listening_page
from twinlib.listening.stimuli import prepare_excerpt
from twinlib.recording import render_recording_page
from twinlib.reports.comparison import render_comparison
from twinlib.reports.contact_sheet import SheetTake, render_contact_sheet
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


def takes(folder: Path) -> str:
    levels = {"peak_dbfs": -3.0, "rms_dbfs": -20.0, "noise_floor_dbfs": -90.0, "clips": 0, "clipped": []}
    take = {"path": f"recordings/{'a' * 80}.wav", "verdict": "suspect", "reasons": [HOSTILE], **levels}
    return render_contact_sheet(HOSTILE, [SheetTake(HOSTILE, take, alignment(50000, 100.0))], [HOSTILE])


EXCITATION = {
    "settings": {"bit_depth": 24},
    "sample_rate": 44100,
    "reels": {f"main-{number:02d}": {"frames": 26460000} for number in range(3)},
}

INJECTION = """() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", `<img src=x onerror="window.ran = 1">
        <img src="http://192.0.2.1/x.png"><iframe src="file:///etc/passwd"></iframe>`);
}"""

PAGES: dict[str, Callable[[Path], str]] = {
    "twin": lambda folder: render_twin_page(
        {**METRICS, **JUDGED, "device": HOSTILE, "model": HOSTILE}, ORIGIN, {}, [prepare_excerpt(sounds(HOSTILE, 0.5))]
    ),
    "comparison": lambda folder: render_comparison(
        [{**METRICS, **JUDGED, "device": HOSTILE, "model": HOSTILE}], ["x.html"]
    ),
    "listening": listening,
    "datasheet": datasheet,
    "takes": takes,
    "guide": lambda folder: render_recording_page(HOSTILE, EXCITATION, {HOSTILE: "takes/{reel}.wav"}),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: make(tmp_path_factory.mktemp("made")) for name, make in PAGES.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_is_shown_and_never_run(
    name: str, browser: Browser, texts: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(texts[name], encoding="utf-8")
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


FIGURE = '<svg width="396pt" height="200pt" viewBox="0 0 396 200" xmlns="http://www.w3.org/2000/svg"></svg>'

WIDTHS = """() => {
    const beyond = (part) => part.scrollWidth - part.clientWidth;
    return [innerWidth, beyond(document.documentElement), ...[...document.querySelectorAll(".table")].map(beyond)];
}"""


@pytest.mark.slow
def test_pages_fit_a_phone_and_a_small_screen(browser: Browser, texts: dict[str, str], tmp_path: Path) -> None:
    """Wide tables scroll in themselves; the table of all twins fits a screen."""
    usual = {"device": "transformer", "model": "nam-standard", "verdict": "not usable", "reasons": [], "takes": {}}
    full = {
        **{**METRICS, **usual, "esr_floor": 1.38e-6, "gain_over_linear_db": 15.2, "lufs_difference_db": -0.1},
        "harmonics": {"worst_db": 29.5, "compared": 93, "within": 44, "within_degrees": 40, "misses": []},
    }
    figures = {"esr": FIGURE, "waveform": FIGURE, "harmonics": FIGURE}
    usual_pages = {
        "comparison of two": render_comparison([full, full], ["x.html", "y.html"]),
        "a twin": render_twin_page(full, ORIGIN, figures, [prepare_excerpt(sounds("excerpt", 0.5))]),
    }
    for width in (390, 1280):
        context = browser.new_context(viewport={"width": width, "height": 900}, is_mobile=width < 500)
        page = context.new_page()
        for name, text in {**texts, **usual_pages}.items():
            file = tmp_path / "page.html"
            file.write_text(text, encoding="utf-8")
            page.goto(file.as_uri())
            shown, beyond, *tables = page.evaluate(WIDTHS)
            assert (shown, beyond) == (width, 0), name
            if name == "comparison of two" and width == 1280:
                assert tables == [0]
        context.close()
