import hashlib
import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import SETTINGS, SIZE, reel, signals, source, write
from twinlib.dataset.leaks import REMEDIES, SUBJECTS, Kind, find_leaks, leak_report, refuse_leaks
from twinlib.dataset.segments import tile_pair, tile_reel
from twinlib.errors import LeakError


def reel_table(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    made = reel(seed)
    table = tile_reel(source(made.frames), made.cues, made.entry, SETTINGS)
    return table.assign(dry_sha256=[f"{seed}-{k}" for k in range(len(table))]), made.cues


def first(table: pd.DataFrame, split: str) -> int:
    return int(table.index[table["split"] == split][0])


@given(seed=st.integers(0, 10_000), receptive_field=st.sampled_from([None, 1, 500, 5000]))
@settings(max_examples=10, deadline=None)
def test_a_clean_dataset_has_no_leak(seed: int, receptive_field: int | None) -> None:
    table, cues = reel_table(seed)
    assert find_leaks(table, "artist", receptive_field, {"r-01": cues}) == []
    refuse_leaks([])


def test_a_track_in_two_splits_is_a_leak() -> None:
    table, _ = reel_table()
    table.at[first(table, "test"), "track_ids"] = ["test-9", "train-0"]
    (leak,) = find_leaks(table, "track")
    assert (leak.kind, leak.what, leak.splits) == ("track", "train-0", ("test", "train"))
    assert leak.segments[0] == table["segment_id"][first(table, "test")]


def test_an_artist_in_two_splits_is_a_leak_only_by_artist() -> None:
    table, _ = reel_table()
    table.at[first(table, "valid"), "artists"] = ["artist of train-1"]
    assert [leak.kind for leak in find_leaks(table, "artist")] == ["artist"]
    assert find_leaks(table, "track") == []


def test_unusable_segments_are_ignored() -> None:
    table, _ = reel_table()
    table.at[first(table, "test"), "track_ids"] = ["train-0"]
    table.loc[first(table, "test"), "split"] = ""
    assert find_leaks(table, "track") == []


@given(reach=st.integers(1, 20_000), receptive_field=st.sampled_from([None, 300, 3000]))
@settings(max_examples=12, deadline=None)
def test_context_that_overlaps_another_split_is_a_leak(reach: int, receptive_field: int | None) -> None:
    table, cues = reel_table()
    at = first(table, "valid")
    start, stop = int(table["start"][at]), int(table["stop"][at])
    table.loc[at, "context"] = min(reach, start)
    begin = start - min(reach, start, (receptive_field or 1 << 40) - 1)
    touched = cues[(cues["split"] != "valid") & (cues["start"] < stop) & (cues["stop"] > begin)]
    leaks = find_leaks(table, "artist", receptive_field, {"r-01": cues})
    assert [(leak.kind, leak.what) for leak in leaks] == [("cue", track) for track in touched["track_id"][:1]]


def test_context_is_limited_to_the_receptive_field() -> None:
    table, cues = reel_table()
    at = first(table, "valid")
    table.loc[at, "context"] = int(table["start"][at])
    gap = int(table["start"][at]) - int(cues["stop"][cues["split"] == "train"].max())
    assert find_leaks(table, "artist", gap + 1, {"r-01": cues}) == []
    assert len(find_leaks(table, "artist", gap + 2, {"r-01": cues})) == 1


def test_a_mislabelled_segment_is_a_leak() -> None:
    table, cues = reel_table()
    table.loc[first(table, "test"), "split"] = "train"
    assert {"cue", "track"} <= {leak.kind for leak in find_leaks(table, "track", 1, {"r-01": cues})}


def test_equal_content_in_two_splits_is_a_leak_except_silence() -> None:
    table, _ = reel_table()
    train, test = first(table, "train"), first(table, "test")
    table.loc[[train, test], "dry_sha256"] = "same"
    (leak,) = find_leaks(table)
    assert (leak.kind, leak.what, leak.splits) == ("content", "same", ("test", "train"))
    zeros = hashlib.sha256(bytes(4 * SIZE)).hexdigest()
    table.loc[[train, test], "dry_sha256"] = zeros
    assert find_leaks(table) == []


def pair_table(
    capture: str, split: str | None, dry_range: tuple[int, int], name: str = "dry.wav", clip: int | None = None
) -> pd.DataFrame:
    origin = source(40_000, capture, dry_range=dry_range, lag=0.0)
    table = tile_pair(origin, name, SETTINGS, split=split, clip_samples=clip)
    return table.assign(dry_sha256=[f"{capture}-{k}" for k in range(len(table))])


def test_overlapping_ranges_of_a_dry_file_are_a_leak() -> None:
    train = pair_table("a", "train", (0, 20_000))
    assert find_leaks(pd.concat([train, pair_table("b", "test", (20_000, 40_000))])) == []
    assert find_leaks(pd.concat([train, pair_table("b", "train", (0, 40_000))])) == []
    assert find_leaks(pd.concat([train, pair_table("b", "test", (0, 40_000), "other.wav")])) == []
    assert find_leaks(pair_table("c", None, (0, 40_000), clip=1000)) == []
    edge = int(train["stop"].max())
    leaks = find_leaks(pd.concat([train, pair_table("b", "test", (edge - 1, 40_000))]))
    assert {leak.kind for leak in leaks} == {"range"}
    assert {leak.splits for leak in leaks} == {("train", "test"), ("test", "train")}


def test_equal_content_of_written_shards_is_a_leak(tmp_path: Path) -> None:
    dry, wet = signals(20_000)
    tables = []
    for capture, split, name in (("a", "train", "song.wav"), ("b", "test", "song copy.wav")):
        origin = source(20_000, capture, lag=0.0)
        tables.append(write(tmp_path, tile_pair(origin, name, SETTINGS, split=split), origin, dry, wet))
    leaks = find_leaks(pd.concat(tables))
    assert len(leaks) == len(tables[0])
    assert {leak.kind for leak in leaks} == {"content"}


def test_the_error_lists_the_first_leaks_and_the_remedy() -> None:
    table, cues = reel_table()
    for row in table.index[table["split"] == "test"]:
        table.at[row, "track_ids"] = ["train-0", "train-1", "train-2", "train-3"]
    leaks = find_leaks(table, "track", None, {"r-01": cues})
    with pytest.raises(LeakError, match=r"^4 leaks .*: track train-0 in test and train.* and 1 more.*another name"):
        refuse_leaks(leaks)


def test_the_report_is_json_and_states_the_scope() -> None:
    table, cues = reel_table()
    report = leak_report(find_leaks(table, "artist", None, {"r-01": cues}), table, "artist", ["r-01"])
    assert json.loads(json.dumps(report)) == report
    assert report["leaks"] == []
    assert report["checked"]["tracks"] == 12
    assert report["checked"]["segments"] == {s: int((table["split"] == s).sum()) for s in ("test", "train", "valid")}


def test_tables_read_from_disk_give_the_same_leaks(tmp_path: Path) -> None:
    table, cues = reel_table()
    table.at[first(table, "test"), "track_ids"] = ["train-0"]
    table.to_parquet(tmp_path / "t.parquet")
    expected = find_leaks(table, "track", None, {"r-01": cues})
    assert [leak.what for leak in expected] == ["train-0"]
    assert find_leaks(pd.read_parquet(tmp_path / "t.parquet"), "track", None, {"r-01": cues}) == expected
    arrow = pq.read_table(tmp_path / "t.parquet").to_pandas(types_mapper=pd.ArrowDtype)
    assert find_leaks(arrow, "track", None, {"r-01": cues}) == expected


def test_every_kind_of_leak_has_a_subject_and_a_remedy() -> None:
    assert SUBJECTS.codes == set(get_args(Kind)) == set(REMEDIES)


def test_the_report_holds_values_and_description_of_every_leak() -> None:
    train = pair_table("a", "train", (0, 20_000))
    leaks = find_leaks(pd.concat([train, pair_table("b", "test", (10_000, 40_000))]))
    content = json.loads(json.dumps(leak_report(leaks, train, "artist", [])))["leaks"][0]
    assert content["kind"] == "range"
    assert content["what"] == f"dry.wav[{content['values']['start']}:{content['values']['stop']}]"
    assert (content["splits"], len(content["segments"])) == (["test", "train"], 2)
    assert {one.kind for one in leaks} == {"range"}
    assert leaks[0].finding.severity == "refused"
