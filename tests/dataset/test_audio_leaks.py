import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.dataset.copied import COPIED, NAMES, Played, altered, fingerprints, played, recordings
from twinlib.dataset.leaks import Leak, find_duplicates, find_leaks, find_planned_duplicates, leak_report, refuse_leaks
from twinlib.dataset.leaks import find_audio_leaks as find_used_duplicates
from twinlib.errors import DatasetError, LeakError
from twinlib.files import read_table, write_table


def find_audio_leaks(
    segments: pd.DataFrame, cues: dict[str, pd.DataFrame], fingerprints: pd.DataFrame
) -> tuple[list[Leak], dict[str, int]]:
    """Return the leaks and the scope of the comparison, as the stage does."""
    duplicates, compared = find_duplicates(pd.concat(cues.values()), fingerprints)
    return find_used_duplicates(segments, duplicates), compared


HEAD = 0.731
"""Seconds cut from the start of the copy."""

COPY = "Somebody_NewName"
SLICES = 700


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Eight recordings of eight artists."""
    return played(tmp_path_factory.mktemp("honest"), recordings(), NAMES[:3], SLICES)


@pytest.fixture(scope="module")
def pirated(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The same recordings, one of them also under another name."""
    music = recordings()
    music[COPY] = altered(*music[COPIED], HEAD)
    return played(tmp_path_factory.mktemp("pirated"), music, [*NAMES[:3], COPY], SLICES)


def test_different_recordings_are_not_a_leak(honest: Played) -> None:
    leaks, compared = find_audio_leaks(honest.segments(), honest.cues, honest.fingerprints)
    assert leaks == []
    assert compared["tracks"] == len(NAMES)
    assert compared["codes"] > 5 * SLICES
    assert compared["times"] > 0


def test_a_copy_under_another_name_is_detected(pirated: Played) -> None:
    segments = pirated.segments()
    (leak,), _ = find_audio_leaks(segments, pirated.cues, pirated.fingerprints)
    assert (leak.kind, leak.splits) == ("audio", ("test", "train"))
    assert leak.what.startswith(f"{COPY} and {COPIED} (-0.73 s, ")
    assert leak.values["offset_seconds"] == pytest.approx(-HEAD, abs=0.005)
    assert (leak.values["track"], leak.values["other_track"]) == (COPY, COPIED)
    rows = segments.set_index("segment_id").loc[list(leak.segments)]
    assert rows["split"].tolist() == ["test", "train"]
    for track, held in zip((COPY, COPIED), rows["track_ids"], strict=True):
        assert track in held
    with pytest.raises(LeakError, match=f"audio {COPY} and {COPIED} .* exclude one of the two tracks"):
        refuse_leaks([leak])
    assert find_leaks(segments, "track", cues=pirated.cues) == [], "only the fingerprints detect it"


@pytest.mark.parametrize("excluded", [COPY, COPIED])
def test_excluding_either_track_removes_the_leak(pirated: Played, excluded: str) -> None:
    leaks, compared = find_audio_leaks(pirated.segments([excluded]), pirated.cues, pirated.fingerprints)
    assert leaks == []
    assert compared["tracks"] == len(NAMES) + 1, "the excluded track is still on the reels"


def test_planned_duplicates_are_reported_before_the_recording(pirated: Played, honest: Played) -> None:
    (leak,) = find_planned_duplicates(pirated.plan.cues, pirated.fingerprints)
    assert leak.what.startswith(f"{COPY} and {COPIED} (-0.73 s, ")
    cues = pirated.plan.cues
    slices = cues.set_index(cues["reel"] + "/" + cues["position"].astype(str)).loc[list(leak.segments)]
    assert slices["track_id"].tolist() == [COPY, COPIED]
    assert find_planned_duplicates(honest.plan.cues, honest.fingerprints) == []


def test_a_copy_within_one_split_is_not_a_leak(pirated: Played) -> None:
    segments = pirated.segments()
    segments.loc[segments["split"] == "test", "split"] = "train"
    assert find_audio_leaks(segments, pirated.cues, pirated.fingerprints)[0] == []


def test_tables_read_from_disk_give_the_same_leaks(pirated: Played, tmp_path: Path) -> None:
    segments = pirated.segments()
    for name, table in (("s", segments), ("c", pirated.plan.cues), ("f", pirated.fingerprints)):
        write_table(tmp_path / name, f"{name}/1", table)
    cues = {str(reel): rows for reel, rows in read_table(tmp_path / "c", "c/1").groupby("reel")}
    found = find_audio_leaks(read_table(tmp_path / "s", "s/1"), cues, read_table(tmp_path / "f", "f/1"))
    assert found == find_audio_leaks(segments, pirated.cues, pirated.fingerprints)


def test_only_reels_with_takes_are_compared(pirated: Played) -> None:
    segments, cues = pirated.segments(), pirated.cues
    name = min(cues)
    leaks, compared = find_audio_leaks(segments[segments["capture"] == name], {name: cues[name]}, pirated.fingerprints)
    assert 0 < compared["codes"] < len(pirated.fingerprints) / 1.5
    assert all(segment.split("/")[1] == name for leak in leaks for segment in leak.segments)


def test_fingerprints_of_another_excitation_are_rejected(pirated: Played) -> None:
    other = pirated.fingerprints.assign(cue=np.roll(pirated.fingerprints["cue"], 5000))
    with pytest.raises(DatasetError, match="belong to different excitations"):
        find_audio_leaks(pirated.segments(), pirated.cues, other)


@pytest.mark.parametrize("nothing", ["segments", "cues", "fingerprints"])
def test_empty_tables(pirated: Played, nothing: str) -> None:
    parts = {"segments": pirated.segments(), "cues": pirated.plan.cues, "fingerprints": pirated.fingerprints}
    parts[nothing] = parts[nothing].iloc[:0]
    duplicates, compared = find_duplicates(parts["cues"], parts["fingerprints"])
    assert find_used_duplicates(parts["segments"], duplicates) == []
    if nothing != "segments":
        assert (duplicates, compared) == ([], {"tracks": 0, "codes": 0, "times": 0})


def test_fingerprints_are_reproducible(honest: Played) -> None:
    assert fingerprints(honest.plan.cues, honest.reels).equals(honest.fingerprints)


def test_the_report_states_the_scope_of_the_comparison(honest: Played) -> None:
    segments = honest.segments()
    leaks, compared = find_audio_leaks(segments, honest.cues, honest.fingerprints)
    report = leak_report(leaks, segments, "artist", sorted(honest.cues), compared)
    assert json.loads(json.dumps(report))["checked"]["audio"] == compared
    assert leak_report([], segments, "artist", [])["checked"]["audio"] is None
