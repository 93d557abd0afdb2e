"""The listening page in a real browser, opened from the file system.

Expected results are computed independently: the random generator, the A/B/X series, the MUSHRA order, the p-values,
and the samples played.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page
from scipy.stats import binomtest

from tests.browsers import started_browser
from tests.listening.factories import RATE, sounds
from tests.reports.test_twin_page import METRICS, ORIGIN
from twinlib.listening.listening_page import (
    render_abx,
    render_head,
    render_listening_page,
    render_mushra,
    render_null_test,
)
from twinlib.listening.stimuli import prepare_excerpt
from twinlib.reports.twin_page import render_twin_page

SECONDS = 2.0
TITLE = 'the "loudest", seconds'
NULL, ABX, MUSHRA = 0, 1, 2
SETTLED = round(0.06 * RATE)
READY = "window.twListening?.parts().length === 3 && twListening.parts().every((part) => part.state().ready)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def prepared():
    return [prepare_excerpt(sounds(TITLE, SECONDS)), prepare_excerpt(sounds("another", 1.0, seed=1))]


@pytest.fixture(scope="module")
def file(prepared, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "listening.html"
    path.write_text(render_listening_page("silk, small", prepared))
    return path


def until(page: Page, condition: str) -> None:
    """Wait for a condition; the content policy of the page forbids Playwright's own `wait_for_function`."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"after ten seconds there is still not: {condition}")


class Watched:
    """An open page with its console messages and network requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def go(self, file: Path) -> Page:
        self.page.goto(file.as_uri())
        until(self.page, READY)
        return self.page


@pytest.fixture
def watched(browser: Browser, file: Path) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.set_default_timeout(5000)
    found = Watched(page)
    yield found
    page.close()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def page(watched: Watched, file: Path) -> Page:
    return watched.go(file)


# --------------------------------------------------------------------------------------------------- expected results


def mulberry32(seed):
    mask, state = 0xFFFFFFFF, seed
    while True:
        state = (state + 0x6D2B79F5) & mask
        t = state
        t = (t ^ (t >> 15)) * (t | 1) & mask
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & mask)) & mask
        yield (t ^ (t >> 14)) / 2**32


def series(seed, trials):
    numbers = mulberry32(seed)
    return ["a" if next(numbers) < 0.5 else "b" for _ in range(trials)]


def order(seed, excerpt=0):
    numbers = mulberry32(seed)
    for _ in range(excerpt + 1):
        found = ["hidden reference", "twin", "3.5 kHz anchor", "7 kHz anchor", "dry", "linear filter"]
        for i in range(len(found) - 1, 0, -1):
            j = int(next(numbers) * (i + 1))
            found[i], found[j] = found[j], found[i]
    return found


def chance(right, trials):
    return binomtest(right, trials, alternative="greater").pvalue


def stored(prepared, name):
    return soundfile.read(io.BytesIO(prepared.stimuli[name].flac))[0]


def played(prepared, name):
    return prepared.stimuli[name].matched_gain * stored(prepared, name)


# -------------------------------------------------------------------------------------------------------- shorthands


def part(page: Page, kind: str):
    return page.locator(f'[data-tw-part="{kind}"]')


def state(page: Page, number: int):
    return page.evaluate(f"twListening.parts()[{number}].state()")


def render(page: Page, number: int, seconds: float, switches=()):
    call = f"async (switches) => Array.from(await twListening.parts()[{number}].render({seconds}, switches))"
    return np.array(page.evaluate(call, list(switches)))


def fill(locator, value) -> None:
    locator.fill(str(value))
    locator.dispatch_event("change")


def slide(locator, value) -> None:
    locator.evaluate("(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value)


def saved(page: Page, root):
    with page.expect_download() as download:
        root.get_by_role("button", name="Save as CSV").click()
    with open(download.value.path(), newline="", encoding="utf-8") as stream:
        return download.value.suggested_filename, list(csv.DictReader(stream))


# ----------------------------------------------------------------------------------------------------------- players


def test_page_opens_from_a_file_without_network_requests(watched, file):
    page = watched.go(file)
    assert watched.asked[0] == file.as_uri()
    assert [url for url in watched.asked[1:] if not url.startswith("data:")] == []
    assert page.title() == "silk, small: listening"
    assert [status.inner_text() for status in page.locator(".tw-status").all()] == ["", "", ""]
    assert state(page, NULL)["rates"] == [RATE] * 4


def test_switching_keeps_the_position(page):
    page.keyboard.press(" ")
    page.wait_for_timeout(150)
    before = state(page, NULL)
    for key in "31424":
        page.keyboard.press(key)
    part(page, "null-test").get_by_role("button", name="3 twin").click()
    page.wait_for_timeout(150)
    after = state(page, NULL)
    assert before["playing"]
    assert after["playing"]
    assert after["selected"] == 2
    # The sources continue on the audio clock without a restart; both readings are some blocks apart.
    assert after["position"] - before["position"] == pytest.approx(after["clock"] - before["clock"], abs=0.03)
    assert after["gains"] == pytest.approx(after["targets"], abs=1e-3)
    assert [gain > 0 for gain in after["targets"]] == [False, False, True, False]


def test_switching_is_sample_accurate_and_without_click(page, prepared):
    start, switch, end = 0.5, 0.3, 0.8
    slide(part(page, "null-test").locator('[data-tw="seek"]'), start)
    found = render(page, NULL, end, [[switch, 2]])
    at, turn = round(start * RATE), round(switch * RATE)
    expected = {name: played(prepared[0], name)[at : at + len(found)] for name in ("device", "twin")}
    np.testing.assert_allclose(found[SETTLED:turn], expected["device"][SETTLED:turn], atol=2e-5)
    np.testing.assert_allclose(found[turn + SETTLED :], expected["twin"][turn + SETTLED :], atol=2e-5)
    # No click: during the switch, the output is a mixture of both.
    low, high = np.minimum(*expected.values()), np.maximum(*expected.values())
    between = slice(turn, turn + SETTLED)
    assert np.all(found[between] >= low[between] - 1e-4)
    assert np.all(found[between] <= high[between] + 1e-4)


def test_loop_is_sample_accurate(page, prepared):
    root = part(page, "null-test")
    fill(root.locator('[data-tw="from"]'), 0.4)
    fill(root.locator('[data-tw="to"]'), 0.7)
    found = render(page, NULL, 0.9)
    piece = played(prepared[0], "device")[round(0.4 * RATE) : round(0.7 * RATE)]
    np.testing.assert_allclose(found[SETTLED:], np.tile(piece, 3)[SETTLED : len(found)], atol=2e-5)
    # The space bar types into a focused field, so click the button.
    root.get_by_role("button", name="Play").click()
    until(page, "twListening.parts()[0].state().playing")
    page.wait_for_timeout(600)
    assert 0.4 <= state(page, NULL)["position"] < 0.7
    root.get_by_label("loop").uncheck()
    until(page, "!twListening.parts()[0].state().playing")
    assert state(page, NULL)["position"] == pytest.approx(0.4)


def test_gain_of_the_difference(page, prepared):
    root, difference = part(page, "null-test"), prepared[0].stimuli["difference"]
    slider, shown = root.locator('[data-tw="boost"]'), root.locator('[data-tw="boosted"]')
    page.keyboard.press("4")
    for decibels in (0, 12):
        slide(slider, decibels)
        expected = difference.true_gain * 10 ** (decibels / 20)
        assert state(page, NULL)["targets"] == pytest.approx([0, 0, 0, expected])
        assert shown.inner_text() == f"{decibels} dB"
    page.wait_for_timeout(100)
    assert state(page, NULL)["gains"][3] == pytest.approx(expected, rel=1e-3)
    slide(slider, 60)
    assert "more would clip" in shown.inner_text()
    assert 0.85 < np.max(np.abs(stored(prepared[0], "difference"))) * state(page, NULL)["targets"][3] < 0.9
    root.get_by_label("equal loudness").uncheck()
    page.keyboard.press("1")
    assert state(page, NULL)["targets"][0] == pytest.approx(prepared[0].stimuli["dry"].true_gain)


def test_keys_and_clicks_seek(page):
    page.keyboard.press("ArrowRight")
    assert state(page, NULL)["position"] == pytest.approx(1.0)
    page.keyboard.press("ArrowLeft")
    assert state(page, NULL)["position"] == 0.0
    field = part(page, "null-test").locator(".tw-field").nth(1)
    box = field.bounding_box()
    field.click(position={"x": 0.75 * box["width"], "y": 20})
    assert state(page, NULL)["position"] == pytest.approx(0.75 * SECONDS, abs=0.01)
    head_at = field.locator(".tw-head").bounding_box()["x"]
    assert head_at == pytest.approx(box["x"] + 0.75 * box["width"], abs=2)
    page.keyboard.press(" ")
    assert state(page, NULL)["playing"]
    # Only one part plays at a time.
    part(page, "abx").get_by_role("button", name="B", exact=True).click()
    assert [state(page, number)["playing"] for number in range(3)] == [False, True, False]
    page.keyboard.press(" ")
    assert not any(state(page, number)["playing"] for number in range(3))


def test_another_excerpt_can_be_selected(page, prepared):
    root = part(page, "null-test")
    root.locator("select").select_option("another")
    assert root.locator('[data-tw-excerpt="0"]').is_hidden()
    assert root.locator('[data-tw-excerpt="1"]').is_visible()
    np.testing.assert_allclose(
        render(page, NULL, 0.9)[SETTLED:], played(prepared[1], "device")[SETTLED : round(0.9 * RATE)], atol=2e-5
    )


# ------------------------------------------------------------------------------------------------------------- A/B/X


@pytest.mark.parametrize(
    ("other", "label", "trials", "wrong"),
    [("twin", "twin", 10, set()), ("linear", "linear filter", 7, {1, 4}), ("dry", "dry", 5, {0, 1, 2, 3, 4})],
)
def test_abx_series(page, other, label, trials, wrong):
    root, seed = part(page, "abx"), 1234
    root.locator('[data-tw="pair"]').select_option(other)
    fill(root.locator('[data-tw="trials"]'), trials)
    fill(root.locator('[data-tw="seed"]'), seed)
    root.get_by_role("heading").click()
    xs = series(seed, trials)
    answers = [("b" if x == "a" else "a") if i in wrong else x for i, x in enumerate(xs)]
    for i, answer in enumerate(answers):
        assert f"Trial {i + 1} of {trials}" in root.inner_text()
        assert root.get_by_role("button", name="Save as CSV").is_disabled()
        page.keyboard.press("x")
        if i % 2:
            page.keyboard.press(f"Shift+{answer.upper()}")
        else:
            root.get_by_role("button", name=f"X is {answer.upper()}").click()
    right = trials - len(wrong)
    p = chance(right, trials)
    shown = root.locator('[data-tw="progress"]').inner_text()
    assert shown.startswith(f"{right} of {trials} correct;")
    assert float(shown.split("p = ")[1].split(". ")[0]) == pytest.approx(p, rel=6e-3)
    assert ("you hear a difference." in shown) == (p < 0.05)
    assert root.locator("tbody tr").count() == trials
    name, rows = saved(page, root)
    assert name == f"abx-{other}-seed-{seed}.csv"
    for i, row in enumerate(rows):
        assert float(row.pop("p_value")) == pytest.approx(p, rel=1e-12)
        assert row == {
            "excerpt": TITLE, "seed": str(seed), "a": "device", "b": label, "trials": str(trials), "trial": str(i + 1),
            "x": xs[i], "answer": answers[i], "right": str(int(i not in wrong)), "right_of_all": str(right),
        }  # fmt: skip
    root.get_by_role("button", name="Start again").click()
    assert f"Trial 1 of {trials}" in root.inner_text()
    assert root.locator("tbody tr").count() == 0


@pytest.mark.parametrize("trials", [1, 16, 100])
def test_p_values_equal_scipy(page, trials):
    found = page.evaluate(f"Array.from({{length: {trials + 1}}}, (_, k) => twListening.pValue(k, {trials}))")
    assert found == pytest.approx([chance(k, trials) for k in range(trials + 1)], rel=1e-9)


def test_seed_determines_series_and_order(page):
    for seed in (0, 1, 2, 4294967295):
        assert page.evaluate(f"twListening.abxSeries({seed}, 50)") == series(seed, 50)
    assert series(1, 50) != series(2, 50)
    assert len({tuple(order(seed)) for seed in range(20)}) > 15
    heads = sum(x == "a" for x in series(3, 2000))
    assert 900 < heads < 1100


def test_x_plays_the_stimulus_of_the_seed(page, prepared):
    root = part(page, "abx")
    for seed in range(1, 5):
        fill(root.locator('[data-tw="seed"]'), seed)
        root.get_by_role("button", name="X", exact=True).click()
        page.evaluate("document.querySelectorAll('[data-tw=\"play\"]')[1].click()")
        slide(root.locator('[data-tw="seek"]'), 0)
        expected = played(prepared[0], "device" if series(seed, 1) == ["a"] else "twin")
        np.testing.assert_allclose(render(page, ABX, 0.4)[SETTLED:], expected[SETTLED : round(0.4 * RATE)], atol=2e-5)


def test_page_does_not_reveal_x(page):
    root = part(page, "abx")
    first = {series(seed, 1)[0]: seed for seed in range(1, 9)}
    seen = []
    for seed in (first["a"], first["b"]):
        fill(root.locator('[data-tw="seed"]'), seed)
        root.get_by_role("button", name="X", exact=True).click()
        page.evaluate("document.querySelectorAll('[data-tw=\"play\"]')[1].click()")
        slide(root.locator('[data-tw="seek"]'), 0)
        seen.append(root.evaluate("(root) => root.outerHTML"))
    assert seen[0] == seen[1]


# ------------------------------------------------------------------------------------------------------------ MUSHRA


@pytest.mark.parametrize(("reference", "excerpt"), [(100, 0), (90, 1), (72, 0)])
def test_mushra_ratings(page, reference, excerpt):
    root, seed = part(page, "mushra"), 77
    if excerpt:
        root.locator("select").select_option("another")
    fill(root.locator('[data-tw="seed"]'), seed)
    names = order(seed, excerpt)
    ratings = {name: 10 * i for i, name in enumerate(names)} | {"hidden reference": reference}
    sliders = root.get_by_role("slider", name="rating")
    for i, name in enumerate(names):
        assert root.get_by_role("button", name="Reveal the stimuli").is_disabled()
        slide(sliders.nth(i), ratings[name])
    for name in names:
        assert name not in root.inner_text()
    root.get_by_role("button", name="Reveal the stimuli").click()
    assert root.locator("tbody tr").count() == 6
    warned = root.locator(".tw-warning").all_inner_texts()
    assert bool(warned) == (reference < 90)
    assert all(f"reference {reference}, below 90" in words for words in warned)
    file_name, rows = saved(page, root)
    assert file_name == f"mushra-seed-{seed}.csv"
    assert rows == [
        {"excerpt": ["another" if excerpt else TITLE][0], "seed": str(seed), "place": str(i + 1), "sound": name,
         "rating": str(ratings[name])}
        for i, name in enumerate(names)
    ]  # fmt: skip
    assert sliders.first.is_disabled()
    root.get_by_role("button", name="Start again").click()
    assert "0 of 6 rated" in root.inner_text()


def test_mushra_rating_by_keys(page, prepared):
    root, names = part(page, "mushra"), order(1)
    clips = {"hidden reference": "device", "3.5 kHz anchor": "low_anchor", "7 kHz anchor": "mid_anchor"}
    clips |= {"linear filter": "linear"}
    root.get_by_role("heading").click()
    for i, name in enumerate(names):
        page.keyboard.press(str(i + 1))
        gains = [gain for gain in state(page, MUSHRA)["targets"] if gain]
        assert gains == pytest.approx([prepared[0].stimuli[clips.get(name, name)].matched_gain])
        for _ in range(i + 1):
            page.keyboard.press("ArrowRight")
    outputs = root.locator('[data-tw="sliders"] output').all_inner_texts()
    assert outputs == [str(51 + i) for i in range(6)]
    page.keyboard.press("r")
    assert state(page, MUSHRA)["selected"] == 0
    assert state(page, MUSHRA)["playing"]
    page.keyboard.press(" ")
    assert not state(page, MUSHRA)["playing"]


# ------------------------------------------------------------------------------------------------------ other pages


def test_undecodable_audio_shows_a_message(browser, file):
    page = browser.new_page()
    page.add_init_script("delete window.OfflineAudioContext")
    page.goto(file.as_uri())
    for status in page.locator(".tw-status").all():
        status.filter(has_text="cannot decode the audio").wait_for(timeout=5000)
    assert page.locator("button[data-tw=play]").first.is_disabled()
    page.close()


def test_parts_on_another_page_leave_its_keys_alone(watched, prepared, tmp_path):
    one = prepared[:1]
    parts = [
        render_mushra(one),
        "<p id='text'>A report.</p><textarea></textarea>",
        render_null_test(one),
        render_abx(one),
    ]
    path = tmp_path / "report.html"
    path.write_text(
        f"<!DOCTYPE html><html><head><meta charset='utf-8'>{render_head(one)}</head><body>{''.join(parts)}</body>"
    )
    page = watched.go(path)
    page.keyboard.press("2")
    assert not any(state(page, number)["playing"] for number in range(3))
    part(page, "null-test").get_by_role("heading").click()
    page.keyboard.press("2")
    assert [state(page, number)["playing"] for number in range(3)] == [False, True, False]
    page.locator("textarea").click()
    page.keyboard.type("a 3")
    assert page.locator("textarea").input_value() == "a 3"
    assert state(page, 1)["selected"] == 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 500)])
def test_controls_do_not_overlap_or_overflow(page, tmp_path, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [control.bounding_box() for control in page.locator("button, input, select, output").all()]
    boxes = [box for box in boxes if box and box["width"] and box["height"]]
    assert len(boxes) > 40
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = [
                one[at] + one[size] <= other[at] + 0.5 or other[at] + other[size] <= one[at] + 0.5
                for at, size in (("x", "width"), ("y", "height"))
            ]
            assert any(apart), (one, other)


def test_twin_page_plays_and_shows_figures(browser, prepared, tmp_path):
    figure = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path id="p" d="M0 0L9 9" stroke="#000"/></svg>'
    file = tmp_path / "index.html"
    file.write_text(render_twin_page(METRICS, ORIGIN, {"transfer": figure, "esr": figure}, prepared[:1]))
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    found = Watched(page)
    page.goto(file.as_uri())
    until(page, READY.replace("3", "2"))
    page.locator("#figure-esr svg").scroll_into_view_if_needed()
    assert page.locator("#figure-transfer svg").bounding_box()["width"] >= 300
    state_before = page.evaluate("twListening.parts()[0].state().playing")
    page.get_by_role("button", name="Play").first.click()
    until(page, "twListening.parts()[0].state().playing")
    assert not state_before
    assert page.screenshot(path=tmp_path / "report.png", full_page=True)
    page.close()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []
