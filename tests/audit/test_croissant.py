"""A dataset as Croissant: valid, read back offline with mlcroissant, and bound to its files."""

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import Made
from twinlib.audit.exports.croissant import check_croissant, check_files, croissant, read_croissant, write_croissant
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import DATASET, SEGMENTS
from twinlib.dataset.segments import COLUMNS
from twinlib.errors import AuditError
from twinlib.files import read_json, read_table, sha256_file


def offline(*_: Any, **__: Any) -> None:
    raise AssertionError("this must work without a network")


@pytest.fixture
def written(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(socket, "create_connection", offline)
    monkeypatch.setattr(socket.socket, "connect", offline)
    path = copied / "devices" / "box" / "croissant.json"
    write_croissant(ResultsFolder(copied), "box", path)
    return path


def test_its_records_are_the_segments(written: Path) -> None:
    table = read_table(written.parent / "segments.parquet", SEGMENTS)
    rows = [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
    records = list(read_croissant(written))
    assert set(records[0]) == set(COLUMNS)
    assert records == rows
    assert check_croissant(written, 7) == 7
    assert check_croissant(written) == min(len(rows), 1000)


def test_its_files_have_the_checksums_of_the_dataset(written: Path) -> None:
    content = json.loads(written.read_text())
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    for one in content["distribution"]:
        assert sha256_file(written.parent / one["contentUrl"]) == one["sha256"]
        assert one["contentSize"] == f"{(written.parent / one['contentUrl']).stat().st_size} B"
    names = {one["name"] for one in content["distribution"]}
    assert names == {"segments.parquet", "main-01.arrow", "main-02.arrow"}
    assert check_files(written) == {}
    digest = read_json(written.parent / "dataset.json", DATASET)["digest"]
    assert content["version"] == f"1.0.0+{digest[:16]}"
    assert "segments.parquet" in render_text("croissant", content)


@pytest.mark.parametrize("name", ["segments.parquet", "shards/main-02.arrow"])
def test_a_flipped_bit_is_found(written: Path, name: str) -> None:
    file = written.parent / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert check_files(written) == {Path(name).name: "has another content"}
    if name == "segments.parquet":
        with pytest.raises(AuditError, match="cannot be read"):
            next(read_croissant(written))
    file.unlink()
    assert check_files(written) == {Path(name).name: "is missing"}


def test_it_lists_exclusions_and_limitations(made: Made) -> None:
    results = ResultsFolder(made.results)
    box, fuzz, pedal = (croissant(results, device) for device in ("box", "fuzz", "pedal"))
    assert box["rai:dataCollectionType"] == "Direct measurement"
    assert fuzz["rai:dataCollectionType"] == "Software Collection"
    assert pedal["rai:dataCollectionType"] == "Others"
    assert any("simulated" in text for text in fuzz["rai:dataLimitations"])
    assert not any("simulated" in text for text in box["rai:dataLimitations"])
    assert any("suspect" in text and "clipped" in text for text in box["rai:dataLimitations"])
    for reason in read_json(made.results / "devices" / "box" / "dataset.json", DATASET)["excluded"]["reasons"]:
        assert reason in box["rai:dataCollectionMissingData"]
    assert "https://creativecommons.org/licenses/by-nc-sa/4.0/" in box["license"]
    assert pedal["license"] == "unknown"


def test_equal_results_give_equal_bytes_in_any_folder(made: Made, tmp_path: Path) -> None:
    other = Path(shutil.copytree(made.results, tmp_path / "a folder with spaces"))
    write_croissant(ResultsFolder(made.results), "box", tmp_path / "one.json")
    assert list(read_croissant(tmp_path / "one.json"))
    assert croissant(ResultsFolder(made.results), "box") == croissant(ResultsFolder(other), "box")
    write_croissant(ResultsFolder(other), "box", tmp_path / "two.json")
    assert list(read_croissant(tmp_path / "two.json"))
    write_croissant(ResultsFolder(other), "box", tmp_path / "three.json")
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "three.json").read_bytes()


def test_missing_files_and_packages_are_reported(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuditError, match="no device drum; it has box, fuzz, pedal"):
        croissant(ResultsFolder(copied), "drum")
    (copied / "devices" / "box" / "shards" / "main-01.arrow").unlink()
    with pytest.raises(AuditError, match=r"main-01\.arrow does not exist"):
        croissant(ResultsFolder(copied), "box")
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    with pytest.raises(AuditError, match=r"pip install -e '\.\[audit\]'"):
        croissant(ResultsFolder(copied), "fuzz")


def test_an_invalid_file_is_refused(written: Path) -> None:
    content = json.loads(written.read_text())
    del content["recordSet"][0]["field"][0]["dataType"]
    written.write_text(json.dumps(content))
    with pytest.raises(AuditError, match="cannot be read"):
        list(read_croissant(written))
