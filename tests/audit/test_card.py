"""The datasheet: what the files say, the same bytes everywhere, one page that needs nothing else."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.audit.factories import Made
from twinlib.audit.card import card
from twinlib.audit.card_figures import card_figures
from twinlib.audit.card_page import card_page
from twinlib.audit.card_sections import card_markdown, sections
from twinlib.audit.dataset_facts import gains
from twinlib.audit.formatting import duration
from twinlib.contracts import CUES, DATASET, METRICS
from twinlib.errors import AuditError
from twinlib.files import read_json, read_table, write_json
from twinlib.formatting import percent
from twinlib.provenance.record import read_record
from twinlib.provenance.results import Results


@pytest.fixture(scope="module")
def sheet(made: Made) -> str:
    return card_markdown(card(Results(made.results)))


@pytest.fixture(scope="module")
def figures(made: Made) -> dict[str, str]:
    return card_figures(card(Results(made.results)))


@pytest.fixture(scope="module")
def page(made: Made, figures: dict[str, str]) -> str:
    return card_page(card(Results(made.results)), figures)


def cells(sheet: str, *first: str) -> list[list[str]]:
    """The rows of all tables that begin with these cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in sheet.splitlines() if line[:1] == "|"]
    return [row for row in rows if tuple(row[: len(first)]) == first]


class Reader(HTMLParser):
    """Notes ids and references, and that every element is closed in order."""

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
        told = dict(attrs)
        self.ids += [told["id"]] if told.get("id") else []
        self.references += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]
        assert tag != "script"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_its_numbers_are_those_of_the_files(made: Made, sheet: str) -> None:
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


def test_it_has_the_parts_of_a_datasheet(sheet: str) -> None:
    titles = [line[3:] for line in sheet.splitlines() if line.startswith("## ")]
    assert titles == [
        "Motivation", "Composition", "Collection", "Preprocessing", "Splits", "Twins", "Known limits", "Licences",
        "Maintenance",
    ]  # fmt: skip
    assert "withdrawn by its author (2026-01-31)" in sheet
    assert "no leak between the splits" in sheet
    assert "no legal advice" in sheet


def test_limits_are_told_where_they_are_true(made: Made) -> None:
    devices = card(Results(made.results))["devices"]
    said = {name: " ".join(device["limits"]) for name, device in devices.items()}
    assert "simulated circuit" in said["fuzz"]
    assert "simulated circuit" not in said["box"] + said["pedal"]
    assert "The take of main-02 is suspect: it is clipped" in said["box"]
    assert "nobody's known tracks" in said["pedal"]
    assert "nobody's known tracks" not in said["box"] + said["fuzz"]
    assert "not proved" not in "".join(said.values())


def test_what_is_not_there_is_said(copied: Path) -> None:
    (copied / "devices" / "box" / "leaks.json").unlink()
    (copied / "twins" / "box" / "small" / "evaluation" / "metrics.json").unlink()
    dataset = read_json(copied / "devices" / "box" / "dataset.json", DATASET)
    write_json(copied / "devices" / "box" / "dataset.json", DATASET, {**dataset, "missing_captures": ["main-03"]})
    sheet = card_markdown(card(Results(copied)))
    assert "It is not proved that the splits share nothing" in sheet
    assert "box: not searched for leaks" in sheet
    assert "box/small has not been judged yet" in sheet
    assert "are missing: main-03" in sheet
    shutil.rmtree(copied / "twins")
    assert "No twin has been trained yet" in card_markdown(card(Results(copied)))
    shutil.rmtree(copied / "devices")
    with pytest.raises(AuditError, match="holds no dataset yet"):
        card(Results(copied))


def test_pairs_alone_have_a_sheet_too(copied: Path) -> None:
    for name in ("devices/box", "devices/fuzz", "twins/box", "twins/fuzz", "corpus", "excitations"):
        shutil.rmtree(copied / name)
    told = card(Results(copied))
    assert sorted(card_figures(told)) == ["licences", "residuals", "twins"]
    assert "none is named" in card_markdown(told)
    assert card_page(told, card_figures(told)).count("<figure") == 3


def test_the_page_is_whole_and_needs_nothing_else(page: str, sheet: str) -> None:
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


def test_equal_results_give_equal_bytes(made: Made, page: str, tmp_path: Path) -> None:
    other = Path(shutil.copytree(made.results, tmp_path / "elsewhere"))
    told = card(Results(other))
    assert card_page(told, card_figures(told)) == page
    assert json.dumps(told) == json.dumps(card(Results(made.results)))


def test_signs_of_the_format_are_harmless(copied: Path) -> None:
    index = read_json(copied / "corpus" / "index.json", "index/1")
    index["excluded"] = [{"track_id": "a|b_c*", "reason": "<img src=x> `rm`\n# no"}]
    write_json(copied / "corpus" / "index.json", "index/1", index)
    told = card(Results(copied))
    assert "- a\\|b\\_c\\*: \\<img src=x\\> \\`rm\\` \\# no" in card_markdown(told).splitlines()
    page = card_page(told, {})
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_gains_are_counted_once_each(made: Made) -> None:
    found = gains(Results(made.results), "main")
    cues = read_table(made.results / "excitations" / "main" / "cues.parquet", CUES)
    for split, counts in found["counts"].items():
        assert sum(counts) == (cues.split == split).sum()
    assert found["edges"][0] <= cues.gain_db.min()
    assert found["edges"][-1] >= cues.gain_db.max()
    assert len(found["edges"]) == len(counts) + 1


def test_every_figure_that_is_named_is_drawn(made: Made, figures: dict[str, str]) -> None:
    told = card(Results(made.results))
    named = {part.name for section in sections(told) for part in section.parts if hasattr(part, "shows")}
    assert named == set(figures)
