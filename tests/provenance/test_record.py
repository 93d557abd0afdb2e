"""Stage records, and times that follow contents."""

import os
from pathlib import Path

import pytest

from twinlib.errors import TwinError
from twinlib.files import sha256_file
from twinlib.provenance.record import link_of, read_record, record_path, recorded, sum_of
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


def test_records_are_linked_and_the_last_link_stands_for_all_before_it(chain: list[Path]) -> None:
    middle, end = read_record(record_path(chain[1])), read_record(record_path(chain[2]))
    assert middle["upstream"] == {}, "a source comes from no stage"
    assert end["upstream"] == {"results/b": middle["link"]}
    assert (middle["link"], end["link"]) == (link_of(middle), link_of(end))
    for key, value in (
        ("program", "scripts/x.py"),
        ("params", {"x": "2"}),
        ("code", "0"),
        ("inputs", {"results/a": "0"}),
    ):
        assert link_of({**end, "upstream": {"results/b": link_of({**middle, key: value})}}) != end["link"], key


def test_a_link_does_not_depend_on_when_and_where(
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


def test_a_record_among_the_inputs_counts_by_its_link(chain: list[Path]) -> None:
    stage([record_path(chain[1])], Path("results/d"), "of a record")
    before = read_record(record_path(Path("results/d")))
    stage([chain[0]], chain[1], "middle")
    os.utime(record_path(chain[1]))
    record_path(chain[1]).write_text(record_path(chain[1]).read_text().replace('"seconds": 0.', '"seconds": 10.'))
    stage([record_path(chain[1])], Path("results/d"), "of a record")
    after = read_record(record_path(Path("results/d")))
    assert before["inputs"] != after["inputs"]
    assert before["link"] == after["link"]


def test_an_output_in_a_folder_below_or_above_has_its_maker(chain: list[Path]) -> None:
    outputs = [Path("results/reels/reel"), Path("results/told"), Path("results/reels/more/figure")]
    with recorded(PROGRAM, [chain[0]], outputs, {}):
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    stage(outputs, Path("results/d"), "of all")
    link = read_record(record_path(outputs[0]))["link"]
    assert read_record(record_path(Path("results/d")))["upstream"] == {path.as_posix(): link for path in outputs}


def test_a_changed_output_has_no_maker(chain: list[Path]) -> None:
    chain[1].write_text("edited by hand")
    stage([chain[1]], chain[2], "end")
    assert read_record(record_path(chain[2]))["upstream"] == {}


def test_a_record_says_whether_it_was_edited(chain: list[Path]) -> None:
    content = read_record(record_path(chain[2]))
    assert content["sum"] == sum_of(content)
    assert sum_of({**content, "started": "2020-01-01T00:00:00+00:00"}) != content["sum"]


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


def test_what_came_from_a_stage_that_was_run_anew_otherwise_is_made_again(chain: list[Path]) -> None:
    """Its bytes are right, but its chain would name a stage that is gone."""
    stage([chain[0]], chain[1], "middle")
    os.utime(chain[1])
    assert settle(Path("results")) != [], "the same stage, run again"
    with recorded(PROGRAM, [chain[0]], [chain[1]], {"x": "2"}):
        chain[1].write_text("middle")
    later = chain[2].stat().st_mtime_ns + 10**9
    os.utime(chain[1], ns=(later, later))
    assert chain[2].as_posix() not in settle(Path("results"))
    assert chain[2].stat().st_mtime_ns < chain[1].stat().st_mtime_ns
