"""Files that contain a track, and the exclusion list."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from tests.audit.factories import REPOSITORY, Made
from twinlib.audit import withdraw
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import SEGMENTS
from twinlib.corpus.exclusions import read_exclusions
from twinlib.errors import AuditError
from twinlib.files import read_table, write_json
from twinlib.provenance.record import stage_record

DAY = date(2026, 1, 31)


def test_all_files_that_contain_a_track_are_listed(made: Made, copied: Path) -> None:
    track = made.tracks[4]
    found = withdraw.find_affected(ResultsFolder(copied), track)
    tables = {
        name: read_table(made.results / "devices" / name / "segments.parquet", SEGMENTS) for name in ("box", "fuzz")
    }
    for one in found["devices"]:
        table = tables[one["device"]]
        held = table[[track in tracks for tracks in table.track_ids]]
        assert one["segments"] == len(held)
        assert one["usable"] == (held.split != "").sum()
        assert one["shards"] == sorted({f"devices/{one['device']}/shards/{name}" for name in held.shard})
    assert [one["device"] for one in found["devices"]] == ["box", "fuzz"], "pairs have no tracks"
    assert found["twins"] == ["box/small", "fuzz/small"]
    reels = set(found["stays"]["reels"])
    assert reels
    assert all((made.results / name).is_file() for name in reels)
    assert {f"recordings/box/{Path(name).name}" for name in reels} <= set(found["stays"]["takes"])
    text = render_text("withdraw", found)
    assert "box/small" in text
    assert "they are kept" in text


def test_a_probe_reel_and_its_take_can_contain_a_track(made: Made, copied: Path) -> None:
    probe, folder = copied / "excitations" / "main" / "probe.json", copied / "devices" / "box" / "main-probe"
    content = {"name": "main-probe", "sample_rate": 8000, "reels": {}, "sections": []}
    write_json(probe, "probe/1", {**content, "excerpt": [{"track_id": made.tracks[4]}]})
    with stage_record(REPOSITORY / "scripts" / "measure_device.py", [probe], [folder / "measurements.json"], {}):
        write_json(folder / "measurements.json", "measurements/1", {})
    take = {"path": "recordings/box/main-probe.wav", "sha256": "0" * 64, "verdict": "ok", "reasons": []}
    write_json(folder / "take.json", "take/1", take)
    for track, there in ((made.tracks[4], True), (made.tracks[5], False)):
        stays = withdraw.find_affected(ResultsFolder(copied), track)["stays"]
        assert ("excitations/main/reels/main-probe.wav" in stays["reels"]) == there
        assert ("recordings/box/main-probe.wav" in stays["takes"]) == there


def test_reels_without_a_recording_are_made_again(made: Made, copied: Path) -> None:
    for path in copied.glob("devices/box/*/take.json"):
        path.write_text(path.read_text().replace('"kind": "take"', '"kind": "simulated"'))
    found = withdraw.find_affected(ResultsFolder(copied), made.tracks[4])
    assert found["stays"] == {"reels": [], "takes": []}
    assert found["made_again"] == withdraw.find_affected(ResultsFolder(made.results), made.tracks[4])["stays"]["reels"]
    assert "to be made again without the track" in render_text("withdraw", found)


def test_an_excluded_track_affects_nothing(made: Made) -> None:
    found = withdraw.find_affected(ResultsFolder(made.results), made.excluded[0])
    assert (found["segments"], found["twins"], found["devices"]) == (0, [], [])
    assert "no segment contains" in render_text("withdraw", found)


def test_a_misspelt_track_is_refused_with_a_suggestion(made: Made) -> None:
    with pytest.raises(AuditError, match=r"did you mean .*Artist 003/Song 005"):
        withdraw.find_affected(ResultsFolder(made.results), "Artist 003/Song 05")


def test_an_exclusion_can_be_read_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "config" / "excluded.tsv"
    withdraw.add_exclusion(path, "A/one", "the artist asks for it", DAY)
    withdraw.add_exclusion(path, "B/two", "wrong licence", DAY)
    assert read_exclusions(path) == {
        "A/one": "the artist asks for it (2026-01-31)",
        "B/two": "wrong licence (2026-01-31)",
    }
    with pytest.raises(AuditError, match="already lists A/one"):
        withdraw.add_exclusion(path, "A/one", "again", DAY)
    withdraw.remove_exclusion(path, "A/one")
    assert list(read_exclusions(path)) == ["B/two"]
    with pytest.raises(AuditError, match="does not list A/one"):
        withdraw.remove_exclusion(path, "A/one")


@pytest.mark.parametrize("reason", ["", "  ", "a\tb", "a\nb", "a\u2028b"])
def test_a_reason_is_one_line(tmp_path: Path, reason: str) -> None:
    with pytest.raises(AuditError, match="one non-empty line"):
        withdraw.add_exclusion(tmp_path / "excluded.tsv", "A/one", reason, DAY)
    assert not (tmp_path / "excluded.tsv").exists()


def test_without_an_exclusion_list_the_message_explains_how_to_add_one(made: Made) -> None:
    with pytest.raises(AuditError, match=r"corpus.exclude: config/excluded.tsv"):
        withdraw.find_exclusions_file(ResultsFolder(made.results))


def test_the_rebuild_command_names_the_configuration(made: Made, tmp_path: Path) -> None:
    project = tmp_path / "project"
    results = Path(shutil.copytree(made.results, project / "results"))
    assert "THE_CONFIGURATION" in withdraw.rebuild_command(ResultsFolder(results))
    (project / "config").mkdir()
    (project / "config" / "demo.yaml").write_text("results: results/demo\ndevices: {}\n")
    (project / "config" / "mine.yaml").write_text("devices: {}\n")
    assert withdraw.rebuild_command(ResultsFolder(results)) == "snakemake --configfile config/mine.yaml --cores all"
    (project / "config" / "config.yaml").write_text("devices: {}\n")
    assert withdraw.rebuild_command(ResultsFolder(results)) == "snakemake --cores all"


def test_a_device_with_missing_takes_counts_as_recorded(made: Made, copied: Path) -> None:
    for path in [*copied.glob("devices/box/shards/*"), *copied.glob("devices/box/segments.parquet*")]:
        path.unlink()
    found = withdraw.find_affected(ResultsFolder(copied), made.tracks[4])
    assert [one["device"] for one in found["devices"]] == ["fuzz"]
    assert found["made_again"] == []
    assert any(take.startswith("recordings/box/") for take in found["stays"]["takes"])
