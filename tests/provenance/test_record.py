"""Stage records, and times that follow contents."""

import os
from pathlib import Path

import pytest

from twinlib.errors import TwinError
from twinlib.files import sha256_file
from twinlib.provenance.record import read_record, record_path, recorded
from twinlib.provenance.settle import Sums, settle

PROGRAM = Path(__file__).parents[2] / "scripts" / "join_clips.py"


def stage(inputs: list[Path], output: Path, text: str) -> None:
    with recorded(PROGRAM, inputs, [output], {"x": "1"}):
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


def test_a_record_holds_the_sums_of_both_ends(chain: list[Path]) -> None:
    record = read_record(record_path(chain[1]))
    assert record["params"] == {"x": "1"}
    assert record["inputs"] == {"results/a": sha256_file(chain[0])}
    assert record["outputs"] == {"results/b": sha256_file(chain[1])}


def test_a_failed_stage_leaves_no_record(chain: list[Path]) -> None:
    def fail() -> None:
        with recorded(PROGRAM, [chain[0]], [Path("results/d")], {}):
            raise TwinError("no")

    with pytest.raises(TwinError):
        fail()
    assert not record_path(Path("results/d")).exists()


def test_an_input_that_changes_meanwhile_fails_the_stage(chain: list[Path]) -> None:
    def change() -> None:
        with recorded(PROGRAM, [chain[0]], [chain[1]], {}):
            chain[0].write_text("other")
            chain[1].write_text("middle")

    with pytest.raises(TwinError, match="changed while this stage read it"):
        change()


def test_a_touched_source_is_settled_down_the_chain(chain: list[Path]) -> None:
    later = max(times(chain)) + 10**9
    os.utime(chain[0], ns=(later, later))
    settle(Path("results"))
    assert times(chain) == [later] * 3
    assert settle(Path("results")) == []


def test_any_order_of_times_is_settled(chain: list[Path]) -> None:
    for number, file in enumerate([*chain, *(record_path(file) for file in chain[1:])]):
        os.utime(file, ns=(10**18 - number * 10**9, 10**18 - number * 10**9))
    settle(Path("results"))
    assert times(chain) == sorted(times(chain))
    assert all(record_path(file).stat().st_mtime_ns >= chain[0].stat().st_mtime_ns for file in chain[1:])


def test_changed_content_is_left_to_the_engine(chain: list[Path]) -> None:
    chain[0].write_text("new source")
    later = max(times(chain)) + 10**9
    os.utime(chain[0], ns=(later, later))
    before = times(chain)
    assert settle(Path("results")) == []
    assert times(chain) == before


def test_other_content_with_an_older_time_makes_outputs_older_still(chain: list[Path]) -> None:
    chain[0].write_text("another take")
    early = min(times(chain)) - 10**12
    os.utime(chain[0], ns=(early, early))
    settle(Path("results"))
    assert times(chain)[1] < early
    assert times(chain)[2] > early, "what was made of it is decided when it has been made again"


def test_a_tampered_output_is_not_settled(chain: list[Path]) -> None:
    old = times(chain)[1]
    chain[1].write_text("tampered")
    os.utime(chain[1], ns=(old, old))
    later = max(times(chain)) + 10**9
    os.utime(chain[0], ns=(later, later))
    settle(Path("results"))
    assert times(chain)[1] == old


def test_sums_are_remembered_until_a_file_changes(chain: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sums = Sums(Path("results/.sums.json"))
    assert sums.of(chain[0]) == sha256_file(chain[0])
    sums.save()
    monkeypatch.setattr("twinlib.provenance.settle.sha256_file", lambda path: "read again")
    again = Sums(Path("results/.sums.json"))
    assert again.of(chain[0]) != "read again"
    chain[0].write_text("longer than before")
    assert again.of(chain[0]) == "read again"
    assert again.of(Path("results/none")) is None
