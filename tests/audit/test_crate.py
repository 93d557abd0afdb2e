"""A run as an RO-Crate, read back with rocrate."""

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import Made
from twinlib.audit.exports.crate import NAME, PROFILE, crate, crate_summary, read_crate, write_crate
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.errors import AuditError
from twinlib.files import sha256_file
from twinlib.provenance.record import SUFFIX, read_record


def offline(*_: Any, **__: Any) -> None:
    raise AssertionError("this must work without a network")


@pytest.fixture
def entities(made: Made) -> dict[str, dict[str, Any]]:
    return {one["@id"]: one for one in crate(ResultsFolder(made.results))["@graph"]}


def test_every_record_is_an_action(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", offline)
    monkeypatch.setattr(socket.socket, "connect", offline)
    path = write_crate(ResultsFolder(copied))
    assert path == copied / NAME
    found = read_crate(path, copied, check_files=True)
    assert found.differing == {}
    records = {file.relative_to(copied).as_posix(): read_record(file) for file in copied.rglob(f"*{SUFFIX}")}
    assert set(found.actions) == {f"#{name.replace(' ', '%20')}" for name in records}
    for name, record in records.items():
        action = found.actions[f"#{name}"]
        assert {file.removeprefix("results/") for file in record["outputs"]} == set(action["result"])
        read = {file.removeprefix("results/") for file in record["inputs"]}
        given = {file.removeprefix("#outside/") for file in action["object"] if "/" + SUFFIX not in file}
        assert read <= given
        assert {file.rsplit("/", 1)[1] for file in given - read} == set(record["params"])
        assert action["startTime"] == record["started"]
        assert action["endTime"] >= action["startTime"]
        assert action["instrument"][0].startswith(f"#{record['program']}/")
    left = {file.relative_to(copied).as_posix() for file in copied.rglob("*") if file.is_file()}
    assert set(found.files) == left - {NAME}


def test_it_claims_only_the_process_run_profile(entities: dict[str, dict[str, Any]]) -> None:
    root = entities["./"]
    assert root["conformsTo"] == {"@id": PROFILE}
    assert entities[PROFILE]["@type"] == "CreativeWork"
    assert entities["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.3"}
    workflow = entities["#workflow/Snakefile"]
    assert "File" not in workflow["@type"]
    assert {"@id": "#workflow/Snakefile"} in root["mentions"]
    programs = {entities[one["@id"]]["name"] for one in workflow["hasPart"]}
    assert {"scripts/train_twin.py", "scripts/align_take.py"} <= programs
    assert all(root[key] for key in ("name", "description", "license", "datePublished"))


def test_every_reference_resolves(entities: dict[str, dict[str, Any]]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [value["@id"]]
        return [one for part in value for one in references(part)] if isinstance(value, list) else []

    for entity in entities.values():
        for key, value in entity.items():
            if key != "conformsTo" or entity["@id"] == "./":
                assert set(references(value)) <= set(entities), (entity["@id"], key)
    files = {one["@id"] for one in entities.values() if one["@type"] == "File"}
    assert {one["@id"] for one in entities["./"]["hasPart"]} == files


def test_external_and_replaced_files_are_not_in_the_crate(copied: Path, made: Made) -> None:
    record = copied / "twins" / "fuzz" / "small" / "twin.safetensors.prov.json"
    content = json.loads(record.read_text())
    content["inputs"]["results/devices/fuzz/dataset.json"] = "0" * 64
    record.write_text(json.dumps(content))
    (copied / "devices" / "fuzz" / "leaks.json").unlink()
    entities = {one["@id"]: one for one in crate(ResultsFolder(copied))["@graph"]}
    replaced = f"#replaced/{'0' * 64}/devices/fuzz/dataset.json"
    inputs = [one["@id"] for one in entities["#twins/fuzz/small/twin.safetensors.prov.json"]["object"]]
    assert replaced in inputs
    assert "#missing/devices/fuzz/leaks.json" in inputs
    assert entities["devices/fuzz/dataset.json"]["sha256"] == sha256_file(
        made.results / "devices" / "fuzz" / "dataset.json"
    )
    take = entities["#outside/recordings/box/main-01.wav"]
    assert take["@type"] == "CreativeWork"
    assert take["sha256"] == sha256_file(made.folder / "recordings" / "box" / "main-01.wav")


def test_nothing_is_copied_and_equal_results_give_equal_bytes(copied: Path, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in copied.rglob("*")}
    write_crate(ResultsFolder(copied), tmp_path / "out" / "one.json")
    assert {file: file.stat().st_mtime_ns for file in copied.rglob("*")} == before
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["one.json"]
    moved = Path(shutil.move(copied, tmp_path / "somewhere else"))
    write_crate(ResultsFolder(moved), tmp_path / "out" / "two.json")
    assert (tmp_path / "out" / "one.json").read_bytes() == (tmp_path / "out" / "two.json").read_bytes()
    assert read_crate(tmp_path / "out" / "two.json", moved, check_files=True).differing == {}
    text = render_text("crate", crate_summary(json.loads((tmp_path / "out" / "two.json").read_text())))
    assert "train_twin: twins/box/small/twin.safetensors" in text


def test_a_changed_file_is_found(copied: Path) -> None:
    path = write_crate(ResultsFolder(copied))
    shard = copied / "devices" / "box" / "shards" / "main-01.arrow"
    content = bytearray(shard.read_bytes())
    content[-1000] ^= 1
    shard.write_bytes(content)
    (copied / "devices" / "box" / "leaks.json").unlink()
    assert read_crate(path, copied, check_files=True).differing == {
        "devices/box/shards/main-01.arrow": "has another content",
        "devices/box/leaks.json": "is missing",
    }


def test_a_damaged_crate_is_refused(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_crate(ResultsFolder(copied), tmp_path / "one.json")
    content = json.loads(path.read_text())
    content["@graph"] = [one for one in content["@graph"] if not str(one["@id"]).startswith("#scripts/train_twin.py")]
    path.write_text(json.dumps(content))
    with pytest.raises(AuditError, match="refers to the undefined entity"):
        read_crate(path, copied)
    path.write_text("{}")
    with pytest.raises(AuditError, match="not a readable RO-Crate"):
        read_crate(path, copied)
    monkeypatch.setitem(sys.modules, "rocrate", None)
    monkeypatch.delitem(sys.modules, "rocrate.rocrate", raising=False)
    monkeypatch.delitem(sys.modules, "rocrate.model", raising=False)
    with pytest.raises(AuditError, match=r"pip install -e '\.\[audit\]'"):
        crate(ResultsFolder(copied))
