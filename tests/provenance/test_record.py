"""Stage records."""

import os
from pathlib import Path

import pytest

from twinlib.errors import TwinError
from twinlib.files import sha256_file
from twinlib.provenance.record import chain_hash_of, checksum_of, read_record, record_path, stage_record

PROGRAM = Path(__file__).parents[2] / "scripts" / "join_clips.py"


def stage(inputs: list[Path], output: Path, text: str) -> None:
    with stage_record(PROGRAM, inputs, [output], {"x": "1"}):
        output.write_text(text)


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    files = [Path("results") / name for name in ("a", "b", "c")]
    files[0].parent.mkdir()
    files[0].write_text("source")
    stage([files[0]], files[1], "middle")
    stage([files[1]], files[2], "end")
    return files


def times(files: list[Path]) -> list[int]:
    return [file.stat().st_mtime_ns for file in files]


def test_a_record_holds_the_checksums_of_inputs_and_outputs(chain: list[Path]) -> None:
    record = read_record(record_path(chain[1]))
    assert record["params"] == {"x": "1"}
    assert record["inputs"] == {"results/a": sha256_file(chain[0])}
    assert record["outputs"] == {"results/b": sha256_file(chain[1])}


def test_facts_of_the_environment_do_not_enter_the_chain_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    links = set()
    for kernels in ("avx2", "torch"):
        with stage_record(PROGRAM, [], [tmp_path / "out"], {}) as record:
            record.environment["kernels"] = kernels
            (tmp_path / "out").write_text("same")
        content = read_record(record_path(tmp_path / "out"))
        assert content["environment"]["kernels"] == kernels
        assert "python" in content["environment"]
        links.add(content["link"])
    assert len(links) == 1


def test_records_form_a_chain_whose_head_covers_all_earlier_records(chain: list[Path]) -> None:
    middle, end = read_record(record_path(chain[1])), read_record(record_path(chain[2]))
    assert middle["upstream"] == {}, "a source comes from no stage"
    assert end["upstream"] == {"results/b": middle["link"]}
    assert (middle["link"], end["link"]) == (chain_hash_of(middle), chain_hash_of(end))
    for key, value in (
        ("program", "scripts/x.py"),
        ("params", {"x": "2"}),
        ("code", "0"),
        ("inputs", {"results/a": "0"}),
    ):
        assert (
            chain_hash_of({**end, "upstream": {"results/b": chain_hash_of({**middle, key: value})}}) != end["link"]
        ), key


def test_a_chain_hash_does_not_depend_on_time_and_folder(
    chain: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "elsewhere"
    (other / "results" / "made").mkdir(parents=True)
    (other / "results" / "a").write_text("source")
    first = read_record(record_path(chain[2]))
    monkeypatch.chdir(other)
    stage([Path("results/a")], Path("results/made/b"), "middle")
    stage([Path("results/made/b")], Path("results/c"), "end")
    second = read_record(record_path(Path("results/c")))
    assert second["started"] >= first["started"]
    assert second["link"] == first["link"]


def test_a_record_among_the_inputs_counts_by_its_chain_hash(chain: list[Path]) -> None:
    stage([record_path(chain[1])], Path("results/d"), "of a record")
    before = read_record(record_path(Path("results/d")))
    stage([chain[0]], chain[1], "middle")
    os.utime(record_path(chain[1]))
    record_path(chain[1]).write_text(record_path(chain[1]).read_text().replace('"seconds": 0.', '"seconds": 10.'))
    stage([record_path(chain[1])], Path("results/d"), "of a record")
    after = read_record(record_path(Path("results/d")))
    assert before["inputs"] != after["inputs"]
    assert before["link"] == after["link"]


def test_the_record_of_an_output_in_another_folder_is_found(chain: list[Path]) -> None:
    outputs = [Path("results/reels/reel"), Path("results/told"), Path("results/reels/more/figure")]
    with stage_record(PROGRAM, [chain[0]], outputs, {}):
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    stage(outputs, Path("results/d"), "of all")
    link = read_record(record_path(outputs[0]))["link"]
    assert read_record(record_path(Path("results/d")))["upstream"] == {path.as_posix(): link for path in outputs}


def test_an_edited_record_is_detected(chain: list[Path]) -> None:
    content = read_record(record_path(chain[2]))
    assert content["sum"] == checksum_of(content)
    assert checksum_of({**content, "started": "2020-01-01T00:00:00+00:00"}) != content["sum"]


def test_a_failed_stage_leaves_no_record(chain: list[Path]) -> None:
    def fail() -> None:
        with stage_record(PROGRAM, [chain[0]], [Path("results/d")], {}):
            raise TwinError("no")

    with pytest.raises(TwinError):
        fail()
    assert not record_path(Path("results/d")).exists()


def test_an_input_that_changes_during_a_stage_fails_it(chain: list[Path]) -> None:
    def change() -> None:
        with stage_record(PROGRAM, [chain[0]], [chain[1]], {}):
            chain[0].write_text("other")
            chain[1].write_text("middle")

    with pytest.raises(TwinError, match="changed while this stage read it"):
        change()


def test_a_damaged_input_fails_its_stage(chain: list[Path]) -> None:
    chain[1].write_text("MIDDLE")
    with pytest.raises(TwinError, match="is damaged or was edited"), stage_record(PROGRAM, [chain[1]], [chain[2]], {}):
        pass
    stage([chain[0]], chain[1], "middle")
    stage([chain[1]], chain[2], "end")
