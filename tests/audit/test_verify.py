"""What differs from its record is found, and named with what was made of it."""

import dataclasses
import json
import random
import shutil
from pathlib import Path

import pytest

from tests.audit.factories import Made
from twinlib.audit.verify import bytes_to_verify, refuse_differences, verify, verify_text
from twinlib.errors import AuditError
from twinlib.files import sha256_file
from twinlib.provenance.record import link_of, sum_of
from twinlib.provenance.results import Results


def test_what_nobody_touched_is_as_recorded(made: Made, copied: Path) -> None:
    done: list[float] = []
    results = Results(made.results)
    found = verify(results, lambda n, note="": done.append(n))
    assert found["differences"] == found["unrecorded"] == found["not_here"] == []
    assert sum(done) == found["bytes"] == bytes_to_verify(results)
    refuse_differences(found)
    alone = verify(Results(copied))
    assert alone["differences"] == [], "an auditor who has only the results folder can verify it"
    assert set(alone["not_here"]) >= {"recordings/box/main-01.wav", f"corpus/{made.tracks[0]}.wav"}
    assert "everything is as recorded" in verify_text(alone)


def test_a_flipped_bit_in_any_file_is_found_and_named_with_its_dependants(copied: Path) -> None:
    files = sorted(path for path in copied.rglob("*") if path.is_file())
    assert len(files) > 60
    chance = random.Random(5)
    for path in files:
        before = path.read_bytes()
        content = bytearray(before)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        results = Results(copied)
        name = path.relative_to(copied).as_posix()
        found = {one["file"]: one for one in verify(results)["differences"]}
        assert name in found, name
        assert found[name]["dependants"] == results.dependants([name])
        path.write_bytes(before)
    assert verify(Results(copied))["differences"] == []


def test_dependants_go_down_to_the_twins(copied: Path) -> None:
    reel = copied / "excitations" / "main" / "reels" / "main-01.wav"
    content = bytearray(reel.read_bytes())
    content[-3] ^= 1
    reel.write_bytes(content)
    [one] = [one for one in verify(Results(copied))["differences"] if one["file"].endswith("main-01.wav")]
    assert one["what"] == "was changed after render made it"
    assert {"devices/box/shards/main-01.arrow", "twins/box/small/twin.safetensors"} <= set(one["dependants"])
    assert not any(name.startswith("devices/pedal") for name in one["dependants"])


def test_a_missing_and_a_foreign_file(copied: Path) -> None:
    (copied / "devices" / "box" / "dataset.json").unlink()
    (copied / "devices" / "box" / "notes.txt").write_text("mine")
    (copied / "logs").mkdir()
    (copied / "logs" / "a.log").write_text("measures the machine")
    state = copied / "twins/box/small/checkpoints/twin.safetensors"
    state.parent.mkdir()
    shutil.copy(copied / "twins/box/small/twin.safetensors", state)
    found = verify(Results(copied))
    assert [(one["file"], one["what"]) for one in found["differences"]] == [("devices/box/dataset.json", "is missing")]
    assert found["unrecorded"] == ["devices/box/notes.txt"]
    assert found["unchecked"] == {"logs": 1}
    assert "changes by itself or is no part of these results (files): logs (1)" in verify_text(found)
    with pytest.raises(AuditError, match="1 files are not"):
        refuse_differences(found)
    state.write_bytes(state.read_bytes()[:-1] + b"\xff")
    damaged = [one["file"] for one in verify(Results(copied))["differences"]]
    assert damaged == ["devices/box/dataset.json", "twins/box/small/checkpoints/twin.safetensors"]


def rewrite(record: Path, **keys: object) -> None:
    """A forger's work: what a record says is changed, and its sum with it."""
    content = {**json.loads(record.read_text()), **keys}
    told = {key: value for key, value in content.items() if key not in ("contract", "sum")}
    record.write_text(json.dumps({"contract": "record/1", **told, "sum": sum_of(told)}))


def test_a_forged_record_breaks_the_chain(copied: Path) -> None:
    record = copied / "devices" / "box" / "main-01" / "take.json.prov.json"
    params = {**json.loads(record.read_text())["params"], "knobs": '{"drive": 0.9}'}
    rewrite(record, params=params)
    assert "has another link" in verify_text(verify(Results(copied)))
    rewrite(record, link=link_of(json.loads(record.read_text())))
    broken = [one["file"] for one in verify(Results(copied))["differences"]]
    readers = ["devices/box/segments.parquet.prov.json", "devices/box/shards/main-01.arrow.prov.json"]
    assert broken == readers, "both have read take.json and know the link of the stage that made it"


def test_a_file_made_of_another_version_of_its_input_is_named(made: Made, copied: Path) -> None:
    """As after a run that was stopped half-way, or a folder put together from two runs."""
    take = copied / "devices" / "fuzz" / "main-01" / "take.json"
    record = take.with_name("take.json.prov.json")
    take.write_text(take.read_text().replace('"verdict": "ok"', '"verdict": "suspect"'))
    outputs = {name: sha256_file(take) for name in json.loads(record.read_text())["outputs"]}
    rewrite(record, outputs=outputs)
    found = {one["file"]: one["what"] for one in verify(Results(copied))["differences"]}
    assert "was made of another devices/fuzz/main-01/take.json" in found["devices/fuzz/shards/main-01.arrow"]


def test_a_recorded_excitation_may_be_older_than_the_corpus(made: Made, copied: Path) -> None:
    """Its reels are kept, whatever became of the corpus: that is no difference, but it is said."""
    tracks = copied / "corpus" / "tracks.parquet"
    record = tracks.with_name("tracks.parquet.prov.json")
    content = json.loads(record.read_text())
    rewrite(
        record,
        outputs={name: "0" * 64 if name.endswith(".parquet") else sha for name, sha in content["outputs"].items()},
    )
    found = verify(Results(copied))
    kept = [one for one in found["kept"] if one.startswith("excitations/main/cues.parquet")]
    assert len(kept) == 1
    assert not any(one["file"].startswith("excitations/") for one in found["differences"])


def test_a_record_without_its_sum_is_no_record_of_an_older_version(copied: Path) -> None:
    record = copied / "devices" / "box" / "leaks.json.prov.json"
    record.write_text(record.read_text().replace('"sum"', '"sul"').replace('"started": "2', '"started": "1'))
    assert [one["file"] for one in verify(Results(copied))["differences"]] == ["devices/box/leaks.json.prov.json"]


def test_a_record_without_a_key_is_named(copied: Path) -> None:
    record = copied / "devices" / "box" / "leaks.json.prov.json"
    record.write_text(record.read_text().replace('"program"', '"prograM"'))
    found = Results(copied)
    assert list(found.unreadable) == ["devices/box/leaks.json.prov.json"]
    assert "is no readable record" in verify_text(verify(found))


def test_other_results_in_a_folder_below_are_not_looked_at(made: Made, copied: Path) -> None:
    shutil.copytree(made.results, copied / "demo")
    (copied / "README.md").write_text("what is what")
    found = verify(Results(copied))
    assert (found["differences"], found["unrecorded"]) == ([], [])
    assert list(found["unchecked"]) == ["README.md", "demo"]
    assert found["records"] == len(Results(made.results).stages)


def test_results_outside_of_the_project(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(made.results)
    one = dataclasses.replace(results.stages[0], prefix="/mnt/disk/results/")
    monkeypatch.setattr(results, "stages", [one, *results.stages[1:]])
    monkeypatch.chdir(tmp_path)
    assert results.project == tmp_path
