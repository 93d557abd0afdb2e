import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from twinlib.reports import comparison
from twinlib.reports.comparison import MISSING, render_comparison

SCRIPT = Path(comparison.__file__).parent / "templates" / "comparison.js"
METRICS = {
    "device": "silk",
    "model": "small",
    "esr": 0.0012345,
    "esr_db": -29.085,
    "esr_dry": 0.08,
    "esr_linear": 0.025,
    "esr_preemphasis": 0.002,
    "gain_over_linear_db": 13.06,
    "mr_stft": None,
    "lufs_difference_db": -0.14,
    "parameters": 12345,
    "realtime_factor": 17.64,
}
FULL = {**METRICS, "device": "klon", "mr_stft": 0.25, "esr_floor": 0.0001, "harmonics": {"worst_db": 1.26}}


class Page(HTMLParser):
    """The rows of cells of a page, and all URLs that a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.buttons, self.loaded = [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append({**given, "text": ""})
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.buttons += tag == "button"
        if tag in ("script", "link", "img", "iframe", "use", "image"):
            self.loaded += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1]["text"] += data.strip("\n")


@pytest.fixture(scope="module")
def page():
    return render_comparison([METRICS, FULL], ["twins/silk/small/index.html", "twins/klon/small/index.html"])


def test_table_shows_formatted_metrics(page):
    head, first, second = Page(page).rows
    names = [cell["text"] for cell in head]
    silk, klon = (dict(zip(names, row, strict=True)) for row in (first, second))
    shown = {"device": "silk", "test ESR": "0.123 %", "in dB": "-29.1 dB", "dry": "8.00 %", "linear filter": "2.50 %"}
    shown |= {"vs. linear": "+13.1 dB", "loudness": "-0.1 LU", "parameters": "12 345", "speed": "17.6 x"}
    assert {name: silk[name]["text"] for name in shown} == shown
    assert float(silk["test ESR"]["data-value"]) == METRICS["esr"]
    for name, text in (("floor", "0.0100 %"), ("harmonics", "1.3 dB"), ("MR-STFT", "0.250")):
        assert klon[name]["text"] == text
        assert silk[name]["text"] == MISSING
        assert "data-value" not in silk[name]
    links = ["twins/silk/small/index.html", "twins/klon/small/index.html"]
    assert Page(page).links == links, "in the first column"
    assert Page(page).buttons == len(head)


def test_verdicts_are_above_the_table_and_in_it():
    takes = {"one": {"verdict": "ok", "reasons": []}, "two": {"verdict": "suspect", "reasons": ["<clipped>"]}}
    judged = {**FULL, "verdict": "usable", "reasons": ["the error is high"], "takes": takes}
    judged["harmonics"] = {"worst_db": 4.0, "compared": 10, "within": 7}
    page = render_comparison([judged, METRICS], ["a", "b"])
    head, first, second = Page(page).rows
    names = [cell["text"] for cell in head]
    for name, text in (("verdict", "usable"), ("within 1 dB", "70%"), ("takes", "50%")):
        assert first[names.index(name)]["text"] == text
        assert second[names.index(name)]["text"] == MISSING
    above = page[: page.index("<table>")]
    assert Page(page).links == ["a", "a", "b"], "above the table and in it"
    for words in ("klon, small: usable", "the error is high", "take two (suspect): &lt;clipped&gt;"):
        assert words in above
    assert "silk, small" not in above


def test_comparison_is_self_contained_and_reproducible(page):
    assert all(place.startswith("#") for place in Page(page).loaded)
    assert not re.search(r"url\((?!#)|@import|fetch\(", page)
    assert page == render_comparison([METRICS, FULL], ["twins/silk/small/index.html", "twins/klon/small/index.html"])
    assert "<svg" in page
    assert "<?xml" not in page


def test_names_are_escaped():
    hostile = {**METRICS, "device": '<script>alert("1")</script>', "model": 'a" onclick="b'}
    rows = Page(render_comparison([hostile], ['x" onclick="y'])).rows
    assert rows[1][0]["text"] == hostile["device"]
    assert set(rows[1][1]) == {"class", "data-value", "text"}


def test_comparison_without_twins():
    assert len(Page(render_comparison([], [])).rows) == 1


def test_missing_link_raises():
    with pytest.raises(ValueError, match="shorter"):
        render_comparison([METRICS], [])


BROWSER = """
const cell = (value) => ({dataset: value === null ? {} : {value}});
const rows = [["b", "10"], ["a", null], ["c", "9"]].map((row) => ({cells: row.map(cell), name: row[0]}));
const body = {rows, append: (...sorted) => { body.rows = sorted; }};
const heads = [0, 1].map((index) => ({
  cellIndex: index, attributes: {}, classList: {contains: () => index === 0}, closest: () => ({tBodies: [body]}),
  getAttribute(name) { return this.attributes[name] ?? null; },
  setAttribute(name, value) { this.attributes[name] = value; },
  removeAttribute(name) { delete this.attributes[name]; },
}));
for (const head of heads) head.parentElement = {cells: heads};
const buttons = heads.map((head) => ({parentElement: head, addEventListener(_, action) { this.click = action; }}));
const document = {querySelectorAll: () => buttons};
"""
CLICKS = """
const said = [];
for (const index of [1, 1, 0, 0]) {
  buttons[index].click();
  const sorts = heads.map((head) => head.attributes["aria-sort"] ?? "-");
  said.push([body.rows.map((row) => row.name).join(""), ...sorts].join(" "));
}
console.log(said.join("\\n"));
"""


def test_heading_sorts_and_missing_values_stay_last():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's script with")
    found = subprocess.run(
        [node, "-e", BROWSER + SCRIPT.read_text() + CLICKS], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["cba - ascending", "bca - descending", "abc ascending -", "cba descending -"]
