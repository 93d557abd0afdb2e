"""Differences between files and records are found, and listed with their dependent files."""

import dataclasses
import json
import random
import re
import shutil
from pathlib import Path

import pytest

from tests.audit.factories import REPOSITORY, Made
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.verify import MESSAGES, bytes_to_verify, require_no_differences, verify
from twinlib.errors import AuditError
from twinlib.files import sha256_file
from twinlib.provenance.record import chain_hash_of, checksum_of


def test_untouched_results_match_their_records(made: Made, copied: Path) -> None:
    done: list[float] = []
    results = ResultsFolder(made.results)
    found = verify(results, lambda n, note="": done.append(n))
    assert found["differences"] == found["unrecorded"] == found["not_here"] == []
    assert sum(done) == found["bytes"] == bytes_to_verify(results)
    require_no_differences(found)
    alone = verify(ResultsFolder(copied))
    assert alone["differences"] == [], "the results folder alone can be verified"
    assert set(alone["not_here"]) >= {"recordings/box/main-01.wav", f"corpus/{made.tracks[0]}.wav"}
    assert "all files match their records" in render_text("verify", alone)


def test_a_flipped_bit_in_any_file_is_found(copied: Path) -> None:
    files = sorted(path for path in copied.rglob("*") if path.is_file())
    assert len(files) > 60
    chance = random.Random(5)
    for path in files:
        before = path.read_bytes()
        content = bytearray(before)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        results = ResultsFolder(copied)
        name = path.relative_to(copied).as_posix()
        found = {one["file"]: one for one in verify(results)["differences"]}
        assert name in found, name
        assert found[name]["dependants"] == results.dependants([name])
        path.write_bytes(before)
    assert verify(ResultsFolder(copied))["differences"] == []


def test_dependants_include_the_twins(copied: Path) -> None:
    reel = copied / "excitations" / "main" / "reels" / "main-01.wav"
    content = bytearray(reel.read_bytes())
    content[-3] ^= 1
    reel.write_bytes(content)
    [one] = [one for one in verify(ResultsFolder(copied))["differences"] if one["file"].endswith("main-01.wav")]
    assert one["what"] == "changed after render_reel wrote it"
    assert (one["code"], one["severity"]) == ("output-changed", "refused")
    assert one["values"] == {"file": one["file"], "program": "render_reel"}
    assert {"devices/box/shards/main-01.arrow", "twins/box/small/twin.safetensors"} <= set(one["dependants"])
    assert not any(name.startswith("devices/pedal") for name in one["dependants"])


def test_missing_and_unrecorded_files(copied: Path) -> None:
    (copied / "devices" / "box" / "dataset.json").unlink()
    (copied / "devices" / "box" / "notes.txt").write_text("mine")
    (copied / "logs").mkdir()
    (copied / "logs" / "a.log").write_text("measures the machine")
    state = copied / "twins/box/small/checkpoints/twin.safetensors"
    state.parent.mkdir()
    shutil.copy(copied / "twins/box/small/twin.safetensors", state)
    found = verify(ResultsFolder(copied))
    assert [(one["file"], one["what"]) for one in found["differences"]] == [("devices/box/dataset.json", "is missing")]
    assert found["unrecorded"] == ["devices/box/notes.txt"]
    assert found["unchecked"] == {"logs": 1}
    assert "not checked, number of files by place: logs (1)" in render_text("verify", found)
    with pytest.raises(AuditError, match="1 file does not match"):
        require_no_differences(found)
    state.write_bytes(state.read_bytes()[:-1] + b"\xff")
    damaged = [one["file"] for one in verify(ResultsFolder(copied))["differences"]]
    assert damaged == ["devices/box/dataset.json", "twins/box/small/checkpoints/twin.safetensors"]


def rewrite(record: Path, **keys: object) -> None:
    """Forge a record: change its content and update its checksum."""
    content = {**json.loads(record.read_text()), **keys}
    forged = {key: value for key, value in content.items() if key not in ("contract", "sum")}
    record.write_text(json.dumps({"contract": "record/1", **forged, "sum": checksum_of(forged)}))


def test_a_forged_record_breaks_the_chain(copied: Path) -> None:
    record = copied / "devices" / "box" / "main-01" / "take.json.prov.json"
    params = {**json.loads(record.read_text())["params"], "knobs": '{"drive": 0.9}'}
    rewrite(record, params=params)
    assert "chain hash mismatch" in render_text("verify", verify(ResultsFolder(copied)))
    rewrite(record, link=chain_hash_of(json.loads(record.read_text())))
    broken = [one["file"] for one in verify(ResultsFolder(copied))["differences"]]
    readers = ["devices/box/segments.parquet.prov.json", "devices/box/shards/main-01.arrow.prov.json"]
    assert broken == readers, "both recorded the chain hash of take.json"


def test_a_file_made_from_another_version_of_its_input_is_found(made: Made, copied: Path) -> None:
    """Such a file occurs after an interrupted run, or in a folder merged from two runs."""
    take = copied / "devices" / "fuzz" / "main-01" / "take.json"
    record = take.with_name("take.json.prov.json")
    take.write_text(take.read_text().replace('"verdict": "ok"', '"verdict": "suspect"'))
    outputs = {name: sha256_file(take) for name in json.loads(record.read_text())["outputs"]}
    rewrite(record, outputs=outputs)
    found = {one["file"]: one["what"] for one in verify(ResultsFolder(copied))["differences"]}
    assert "made from another version of devices/fuzz/main-01/take.json" in found["devices/fuzz/shards/main-01.arrow"]


def test_a_recorded_excitation_can_be_older_than_the_corpus(made: Made, copied: Path) -> None:
    """Its reels are immutable, so a changed corpus is reported but is not a difference."""
    tracks = copied / "corpus" / "tracks.parquet"
    record = tracks.with_name("tracks.parquet.prov.json")
    content = json.loads(record.read_text())
    rewrite(
        record,
        outputs={name: "0" * 64 if name.endswith(".parquet") else sha for name, sha in content["outputs"].items()},
    )
    found = verify(ResultsFolder(copied))
    kept = [one for one in found["kept"] if one.startswith("excitations/main/cues.parquet")]
    assert len(kept) == 1
    assert not any(one["file"].startswith("excitations/") for one in found["differences"])


def test_a_record_without_its_checksum_is_found(copied: Path) -> None:
    record = copied / "devices" / "box" / "leaks.json.prov.json"
    record.write_text(record.read_text().replace('"sum"', '"sul"').replace('"started": "2', '"started": "1'))
    assert [one["file"] for one in verify(ResultsFolder(copied))["differences"]] == ["devices/box/leaks.json.prov.json"]


def test_a_record_without_a_key_is_found(copied: Path) -> None:
    record = copied / "devices" / "box" / "leaks.json.prov.json"
    record.write_text(record.read_text().replace('"program"', '"prograM"'))
    found = ResultsFolder(copied)
    assert list(found.unreadable) == ["devices/box/leaks.json.prov.json"]
    assert "not a readable record" in render_text("verify", verify(found))


def test_nested_results_are_ignored(made: Made, copied: Path) -> None:
    shutil.copytree(made.results, copied / "demo")
    (copied / "README.md").write_text("contents")
    found = verify(ResultsFolder(copied))
    assert (found["differences"], found["unrecorded"]) == ([], [])
    assert list(found["unchecked"]) == ["README.md", "demo"]
    assert found["records"] == len(ResultsFolder(made.results).stages)


def test_results_outside_the_project(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultsFolder(made.results)
    one = dataclasses.replace(results.stages[0], prefix="/mnt/disk/results/")
    monkeypatch.setattr(results, "stages", [one, *results.stages[1:]])
    monkeypatch.chdir(tmp_path)
    assert results.project == tmp_path


def test_every_code_has_a_message() -> None:
    names = ("verify", "untracked", "signature")
    source = "".join((REPOSITORY / f"twinlib/audit/{name}.py").read_text() for name in names)
    assert set(re.findall(r'refused\(\s*"([a-z-]+)"', source)) == MESSAGES.codes
