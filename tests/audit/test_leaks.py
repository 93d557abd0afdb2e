import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.audit.factories import Made
from tests.dataset.copied import COPIED, NAMES, Played, altered, played, recordings
from twinlib.audit.leaks import audit_leaks
from twinlib.audit.pages import render_text
from twinlib.errors import AuditError, DatasetError, TwinError
from twinlib.files import read_json, read_table, write_json, write_table

COPY = "Somebody_NewName"


@pytest.fixture(scope="module")
def pirated(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """An excitation with one track in both splits under two names."""
    music = recordings()
    music[COPY] = altered(*music[COPIED], 0.731)
    return played(tmp_path_factory.mktemp("pirated"), music, [*NAMES[:3], COPY], 500)


@pytest.fixture
def results(pirated: Played, tmp_path: Path) -> Path:
    """The minimal results folder of a device recorded with this excitation."""
    write_table(tmp_path / "devices/amp/segments.parquet", "segments/1", pirated.segments())
    write_json(tmp_path / "devices/amp/leaks.json", "leaks/1", {"leaks": [], "checked": {"by": "track"}})
    write_table(tmp_path / "excitations/p/cues.parquet", "cues/1", pirated.plan.cues)
    write_table(tmp_path / "excitations/p/fingerprints.parquet", "fingerprints/1", pirated.fingerprints)
    return tmp_path


def test_a_finished_run_has_no_leaks(made: Made) -> None:
    found = audit_leaks(made.results)
    assert found["leaks"] == 0
    assert [device["device"] for device in found["devices"]] == sorted(made.devices)
    for device in found["devices"]:
        stored = read_json(made.results / "devices" / device["device"] / "leaks.json", "leaks/1")
        assert device["leaks"] == stored["leaks"]
        assert {**device["checked"], "audio": None} == {**stored["checked"], "audio": None}
    assert json.loads(json.dumps(found)) == found
    text = render_text("leaks", found)
    assert "No leaks between splits" in text
    assert "pedal: no cue sheet names its captures" in text


def test_a_copy_is_found_in_the_results_alone(results: Path) -> None:
    found = audit_leaks(results)
    assert found["leaks"] == 1
    (device,) = found["devices"]
    assert (device["excitation"], device["notes"], device["checked"]["by"]) == ("p", [], "track")
    (leak,) = device["leaks"]
    assert (leak["kind"], leak["code"], leak["severity"]) == ("audio", "audio", "refused")
    assert {COPY, COPIED} == {leak["values"]["track"], leak["values"]["other_track"]}
    text = render_text("leaks", found)
    for part in (
        COPY,
        COPIED,
        "-0.73 s",
        *leak["segments"],
        "test and train",
        "exclude one of the two tracks",
        "Found 1 leak between splits",
    ):
        assert part in text


def test_an_artist_under_two_names_is_found_in_results_of_older_versions(results: Path) -> None:
    cues = read_table(results / "excitations/p/cues.parquet", "cues/1")
    first, second = (sorted(set(cues[cues.split == split].track_id))[0] for split in ("train", "test"))
    credits = {first: "Hops 'n Vinyl", second: "Hops ’n Vinyl"}
    write_table(
        results / "excitations/p/cues.parquet",
        "cues/1",
        cues.assign(artist=[credits.get(track_id, track_id) for track_id in cues.track_id]),
    )
    path = results / "devices/amp/segments.parquet"
    segments = read_table(path, "segments/1")
    artists = [sorted({credits.get(track_id, track_id) for track_id in ids}) for ids in segments.track_ids]
    write_table(path, "segments/1", segments.assign(artists=artists))
    write_json(results / "devices/amp/leaks.json", "leaks/1", {"leaks": [], "checked": {"by": "artist"}})
    leaks = audit_leaks(results)["devices"][0]["leaks"]
    assert [leak["what"] for leak in leaks if leak["kind"] == "artist"] == [
        "Hops 'n Vinyl (Hops 'n Vinyl, Hops ’n Vinyl)"
    ]


def test_a_shared_artist_is_found_unless_splits_are_by_track(results: Path) -> None:
    path = results / "devices/amp/segments.parquet"
    segments = read_table(path, "segments/1")
    write_table(path, "segments/1", segments.assign(artists=[["one"] for _ in range(len(segments))]))
    assert [leak["kind"] for leak in audit_leaks(results)["devices"][0]["leaks"]] == ["audio"]
    (results / "devices/amp/leaks.json").unlink()
    assert [leak["kind"] for leak in audit_leaks(results)["devices"][0]["leaks"]] == ["artist", "audio"]


def test_missing_fingerprints_are_reported(results: Path) -> None:
    (results / "excitations/p/fingerprints.parquet").unlink()
    found = audit_leaks(results)
    assert found["leaks"] == 0
    assert found["devices"][0]["checked"]["audio"] is None
    assert "p has no fingerprints" in render_text("leaks", found)


def test_the_excitation_is_identified_by_its_reels(results: Path) -> None:
    cues = read_table(results / "excitations/p/cues.parquet", "cues/1")
    write_table(results / "excitations/a/cues.parquet", "cues/1", cues.assign(reel="a-01"))
    assert audit_leaks(results)["devices"][0]["excitation"] == "p"


def other_prints(results: Path) -> None:
    path = results / "excitations/p/fingerprints.parquet"
    table = read_table(path, "fingerprints/1")
    write_table(path, "fingerprints/1", table.assign(cue=np.roll(table["cue"], 999)))


def other_contract(results: Path) -> None:
    write_table(results / "excitations/p/fingerprints.parquet", "tracks/1", pd.DataFrame({"cue": [1]}))


def no_dataset(results: Path) -> None:
    shutil.rmtree(results / "devices")


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [(other_prints, DatasetError, "different excitations"), (other_contract, TwinError, "tracks/1, not fingerprints/1"),
     (no_dataset, AuditError, "has no dataset")],
)  # fmt: skip
def test_unreadable_files_are_named(
    results: Path, harm: Callable[[Path], None], error: type[TwinError], message: str
) -> None:
    harm(results)
    with pytest.raises(error, match=message):
        audit_leaks(results)
