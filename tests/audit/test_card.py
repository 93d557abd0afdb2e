"""The datasheet: facts of the files, equal bytes for equal results, one self-contained page."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import Made
from twinlib.audit.card import card
from twinlib.audit.dataset_facts import gain_histogram
from twinlib.audit.formatting import duration
from twinlib.audit.pages import card_html, card_markdown
from twinlib.audit.pages.card_figures import card_figures
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import CUES, DATASET, METRICS
from twinlib.errors import AuditError
from twinlib.files import read_json, read_table, write_json
from twinlib.formatting import percent
from twinlib.provenance.record import read_record


@pytest.fixture(scope="module")
def facts(made: Made) -> dict[str, Any]:
    return card(ResultsFolder(made.results))


@pytest.fixture(scope="module")
def sheet(facts: dict[str, Any]) -> str:
    return card_markdown(facts)


@pytest.fixture(scope="module")
def figures(facts: dict[str, Any]) -> dict[str, str]:
    return card_figures(facts)


@pytest.fixture(scope="module")
def page(facts: dict[str, Any], figures: dict[str, str]) -> str:
    return card_html(facts, figures)


def test_device_card_is_in_the_sheet(sheet: str) -> None:
    assert "box: device card make Acme, serial box-7." in sheet


def cells(sheet: str, *first: str) -> list[list[str]]:
    """Return the rows of all tables that start with these cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in sheet.splitlines() if line[:1] == "|"]
    return [row for row in rows if tuple(row[: len(first)]) == first]


class Reader(HTMLParser):
    """Collects ids and references, and checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.references += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]
        assert tag != "script"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_numbers_match_the_files(made: Made, sheet: str) -> None:
    for device in made.devices:
        folder = made.results / "devices" / device
        dataset = read_json(folder / "dataset.json", DATASET)
        amounts = [duration(dataset["splits"][split]["seconds"] / 3600) for split in ("train", "valid", "test")]
        assert cells(sheet, device)[0][5:8] == amounts
        for reason, amount in dataset["excluded"]["reasons"].items():
            assert [str(amount["segments"]), duration(amount["seconds"] / 3600)] in [
                row[2:] for row in cells(sheet, device, reason)
            ]
        for capture in dataset["captures"]:
            take = read_json(folder / capture / "take.json", "take/1")
            assert cells(sheet, device, capture)[0][3] == take["verdict"]
            assert all(reason.split(":")[0] in sheet for reason in take["reasons"])
        metrics = read_json(made.results / "twins" / device / "small" / "evaluation" / "metrics.json", METRICS)
        row = cells(sheet, f"{device}/small")[0]
        ratios = [percent(metrics[key]) for key in ("esr", "esr_dry", "esr_gain", "esr_linear", "esr_floor")]
        assert row[1:6] == ratios
        link = read_record(made.results / "twins" / device / "small" / "twin.safetensors.prov.json")["link"]
        assert cells(sheet, f"twin {device}/small")[-1][1:] == [metrics["twin_sha256"], link]
        assert cells(sheet, f"dataset {device}")[-1][1] == dataset["digest"]


def test_it_has_the_sections_of_a_datasheet(sheet: str) -> None:
    titles = [line[3:] for line in sheet.splitlines() if line.startswith("## ")]
    assert titles == [
        "Motivation", "Composition", "Collection", "Preprocessing", "Splits", "Twins", "Limitations", "Licences",
        "Maintenance",
    ]  # fmt: skip
    assert "withdrawn by its author (2026-01-31)" in sheet
    assert "no leak between the splits" in sheet
    assert "not legal advice" in sheet


def test_limitations_match_the_device(facts: dict[str, Any]) -> None:
    said = {name: " ".join(device["limits"]) for name, device in facts["devices"].items()}
    assert "simulated circuit" in said["fuzz"]
    assert "simulated circuit" not in said["box"] + said["pedal"]
    assert "The take of main-02 is suspect: the take is clipped" in said["box"]
    assert "belong to no known track" in said["pedal"]
    assert "belong to no known track" not in said["box"] + said["fuzz"]
    assert "leak check has not run" not in "".join(said.values())


def test_missing_parts_are_reported(copied: Path) -> None:
    (copied / "devices" / "box" / "leaks.json").unlink()
    (copied / "twins" / "box" / "small" / "evaluation" / "metrics.json").unlink()
    dataset = read_json(copied / "devices" / "box" / "dataset.json", DATASET)
    write_json(copied / "devices" / "box" / "dataset.json", DATASET, {**dataset, "missing_captures": ["main-03"]})
    sheet = card_markdown(card(ResultsFolder(copied)))
    assert "The leak check has not run on this dataset" in sheet
    assert "box: the leak check has not run" in sheet
    assert "box/small has not been evaluated yet" in sheet
    assert "are missing: main-03" in sheet
    shutil.rmtree(copied / "twins")
    assert "No twin has been trained yet" in card_markdown(card(ResultsFolder(copied)))
    shutil.rmtree(copied / "devices")
    with pytest.raises(AuditError, match="has no dataset"):
        card(ResultsFolder(copied))


def test_pairs_alone_have_a_datasheet(copied: Path) -> None:
    for name in ("devices/box", "devices/fuzz", "twins/box", "twins/fuzz", "corpus", "excitations"):
        shutil.rmtree(copied / name)
    facts = card(ResultsFolder(copied))
    figures = card_figures(facts)
    assert sorted(figures) == ["licences", "residuals", "twins"]
    assert "not specified" in card_markdown(facts)
    assert card_html(facts, figures).count("<figure") == 3


def test_the_page_is_well_formed_and_self_contained(page: str, sheet: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert all(one == "data:," or one[1:] in reader.ids for one in reader.references)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(reader.ids)
    assert page.count("<figure") == 5
    plain = re.sub(r"\\(.)", r"\1", sheet)
    words = {word for word in re.findall(r"[\w.%/-]{4,}", plain) if word.strip("-")}
    assert words <= set(re.findall(r"[\w.%/-]{4,}", " ".join(reader.text)))


def test_equal_results_give_equal_bytes(
    facts: dict[str, Any], sheet: str, figures: dict[str, str], page: str, copied: Path
) -> None:
    again = card(ResultsFolder(copied))
    assert json.dumps(again) == json.dumps(facts)
    assert card_figures(again) == figures
    assert card_html(again, figures) == page
    assert card_markdown(again) == sheet


def test_markup_in_values_is_escaped(copied: Path) -> None:
    index = read_json(copied / "corpus" / "index.json", "index/1")
    index["excluded"] = [{"track_id": "a|b_c*", "reason": "<img src=x> `rm`\n# no"}]
    write_json(copied / "corpus" / "index.json", "index/1", index)
    facts = card(ResultsFolder(copied))
    assert "- a\\|b\\_c\\*: \\<img src=x\\> \\`rm\\` \\# no" in card_markdown(facts).splitlines()
    page = card_html(facts, {})
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_the_gain_histogram_counts_every_slice_once(made: Made) -> None:
    found = gain_histogram(ResultsFolder(made.results), "main")
    cues = read_table(made.results / "excitations" / "main" / "cues.parquet", CUES)
    for split, counts in found["counts"].items():
        assert sum(counts) == (cues.split == split).sum()
    assert found["edges"][0] <= cues.gain_db.min()
    assert found["edges"][-1] >= cues.gain_db.max()
    assert len(found["edges"]) == len(counts) + 1


def test_every_figure_is_in_the_page(page: str, figures: dict[str, str]) -> None:
    assert set(re.findall(r'id="figure-(\w+)"', page)) == set(figures)
    assert len(figures) == 5
