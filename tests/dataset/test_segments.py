from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import GUARD, RATE, SETTINGS, SIZE, SPLITS, Reel, reel, source
from twinlib.alignment.result import Excluded, Reference, Window
from twinlib.dataset.segments import COLUMNS, excluded_ranges, tile_pair, tile_reel
from twinlib.dataset.settings import Dataset
from twinlib.errors import DatasetError
from twinlib.intervals import merge_ranges
from twinlib.resampling.time_map import Piece

GAP_ROWS = -(-RATE // (2 * SIZE))
"""Segments between two splits of a pair, half a second."""

few = settings(max_examples=25, deadline=None)


def spans(rows: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(rows["start"], rows["stop"], strict=True))


def masks(made: Reel, excluded: set[str]) -> dict[str, np.ndarray]:
    """Masks over the reel: the samples of each split, of the clicks and of the excluded cues."""
    found = {name: np.zeros(made.frames, bool) for name in (*SPLITS, "click", "witness", "excluded")}
    for cue in made.cues.itertuples():
        found[cue.split][cue.start : cue.stop] = True
        if cue.track_id in excluded:
            found["excluded"][cue.start : cue.stop + GUARD] = True
    for start in made.entry["clicks"]:
        found["click"][start : start + made.entry["click_frames"]] = True
    for start, stop in made.entry.get("witness", []):
        found["witness"][start : stop + GUARD] = True
    return found


@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([64, 100, 256, 700]),
    excluded=st.sets(st.sampled_from(["train-0", "valid-1", "test-2"])),
    witness=st.lists(st.integers(0, 12_000).map(lambda start: [start, start + 700]), max_size=3),
)
@few
def test_segments_of_a_reel_match_a_mask_per_sample(
    seed: int, size: int, excluded: set[str], witness: list[list[int]]
) -> None:
    made = reel(seed)
    made.entry |= {"witness": witness} if witness else {}
    table = tile_reel(source(made.frames), made.cues, made.entry, Dataset(segment_samples=size), excluded)
    assert list(table.columns) == list(COLUMNS)
    assert table["start"].tolist() == list(range(0, made.frames - size + 1, size))
    assert (table["stop"] - table["start"] == size).all()
    held = masks(made, excluded)
    for row in table.itertuples():
        here = slice(row.start, row.stop)
        found = [name for name in SPLITS if held[name][here].any()]
        clean = not any(held[name][here].any() for name in ("click", "witness", "excluded"))
        assert row.split == (found[0] if len(found) == 1 and clean else "")
        assert (row.split != "") == (len(row.flags) == 0)
        assert ("silence" in row.flags) == (not found)
        assert ("two-splits" in row.flags) == (len(found) > 1)
        assert ("click" in row.flags) == held["click"][here].any()
        assert ("witness" in row.flags) == held["witness"][here].any()
        assert any(flag.startswith("excluded:") for flag in row.flags) == held["excluded"][here].any()
        if row.split:
            barred = held["click"] | held["witness"] | held["excluded"]
            for name in SPLITS:
                barred |= held[name] if name != row.split else False
            begin = row.start - row.context
            assert not barred[begin : row.stop].any()
            assert begin == 0 or barred[begin - 1]


@given(seed=st.integers(0, 10_000), ratio=st.sampled_from([(1, 1), (48000, 44100), (22050, 44100)]))
@settings(max_examples=8, deadline=None)
def test_sources_are_the_samples_in_the_segment(seed: int, ratio: tuple[int, int]) -> None:
    made = reel(seed)
    length = made.cues["stop"] - made.cues["start"]
    made.cues["source_stop"] = made.cues["source_start"] + length * ratio[0] // ratio[1]
    table = tile_reel(source(made.frames), made.cues, made.entry, SETTINGS)
    for row in table.itertuples():
        cues = made.cues[(made.cues["start"] < row.stop) & (made.cues["stop"] > row.start)]
        assert row.track_ids == sorted(set(cues["track_id"]))
        assert row.licences == sorted(set(cues["licence"]))
        assert row.artists == sorted(set(cues["artist"]))
        assert len(row.sources) == len(cues)
        for text, cue in zip(row.sources, cues.itertuples(), strict=True):
            path, _, span = text[:-1].rpartition("[")
            first, last = (int(part) for part in span.split(":"))
            assert path == cue.source
            assert cue.source_start <= first < last <= cue.source_stop
            true = (cue.source_stop - cue.source_start) / (cue.stop - cue.start)
            begin = cue.source_start + (max(cue.start, row.start) - cue.start) * true
            end = cue.source_start + (min(cue.stop, row.stop) - cue.start) * true
            assert first <= begin + 1e-6 < first + 1 + 1e-5
            assert last - 1 < end + 1e-5
            assert end - 1e-6 <= last


def test_sources_reproduce_the_content() -> None:
    made = reel(3, fade=0)
    rng = np.random.default_rng(0)
    files = {path: rng.uniform(-1, 1, 12_000) for path in sorted(set(made.cues["source"]))}
    played = np.zeros(made.frames)
    for cue in made.cues.itertuples():
        played[cue.start : cue.stop] = files[cue.source][cue.source_start : cue.source_stop]
    table = tile_reel(source(made.frames), made.cues, made.entry, SETTINGS)
    for row in table[table["split"] != ""].itertuples():
        audio = [
            files[text.split("[")[0]][slice(*map(int, text[:-1].split("[")[1].split(":")))] for text in row.sources
        ]
        content = played[row.start : row.stop]
        np.testing.assert_array_equal(np.concatenate(audio), content[content != 0])


def test_the_order_of_the_cue_sheet_does_not_matter() -> None:
    made = reel(1)
    origin = source(made.frames)
    shuffled = made.cues.sample(frac=1, random_state=1)
    expected = tile_reel(origin, made.cues, made.entry, SETTINGS, {"train-0"})
    pd.testing.assert_frame_equal(tile_reel(origin, shuffled, made.entry, SETTINGS, {"train-0"}), expected)


def test_excluding_a_track_removes_only_its_segments() -> None:
    made = reel(2)
    origin = source(made.frames)
    before = tile_reel(origin, made.cues, made.entry, SETTINGS)
    after = tile_reel(origin, made.cues, made.entry, SETTINGS, {"train-1"})
    gone = excluded_ranges(made.cues, {"train-1"}, GUARD)
    lost = [any(a < row.stop and b > row.start for a, b in gone) for row in before.itertuples()]
    assert ((before["split"] != "") & ~np.array(lost) == (after["split"] != "")).all()
    assert all("excluded:train-1" in flags for flags in after["flags"][lost])


def test_faults_exclude_only_the_segments_that_they_overlap() -> None:
    made = reel(4)
    at = 500 + 2500
    clipped = {"clipped": [{"start": at, "samples": 5, "seconds": at / RATE}]}
    lost = (Excluded(4000, 4100, "lost-samples"),)
    table = tile_reel(source(made.frames, take_changes=clipped, excluded=lost), made.cues, made.entry, SETTINGS)
    for flag, first, last in (("clipped", 2500 + GUARD - 64, 2505 + GUARD + 65), ("lost-samples", 4000, 4100 + GUARD)):
        touched = (table["start"] < last) & (table["stop"] > first)
        assert [flag in flags for flags in table["flags"]] == touched.tolist()
    assert (table["split"][[bool(flags) for flags in table["flags"]]] == "").all()


REASONS = (
    "lost-samples",
    "repeated-samples",
    "not-recognised",
    "misaligned",
    "disturbed",
    "non-finite",
    "unknown-lag",
)
left_out = st.lists(
    st.tuples(st.integers(0, 16_000), st.integers(1, 1500), st.sampled_from(REASONS)).map(
        lambda one: Excluded(one[0], one[0] + one[1], one[2])
    ),
    max_size=4,
)


@given(seed=st.integers(0, 10_000), excluded=left_out, looped_back=st.booleans(), wet_frames=st.integers(8000, 20_000))
@few
def test_excluded_ranges_are_outside_usable_segments_and_contexts(
    seed: int, excluded: list[Excluded], looped_back: bool, wet_frames: int
) -> None:
    made = reel(seed)
    changes = {"wet_frames": wet_frames, "reference": Reference(1, 1, 0.0) if looped_back else None}
    origin = source(made.frames, excluded=tuple(excluded), **changes)
    pair = source(20_000, lag=-1000.0, excluded=tuple(excluded), **changes)
    tables = [
        (origin, tile_reel(origin, made.cues, made.entry, SETTINGS)),
        (pair, tile_pair(pair, "d", SETTINGS, split="valid", clip_samples=3000)),
    ]
    whole = tile_pair(pair, "d", SETTINGS, split="train")
    if (whole["split"] != "").sum() >= 3 + 2 * GAP_ROWS:
        tables.append((pair, tile_pair(pair, "d", SETTINGS)))
    for found, table in tables:
        held = {reason: np.zeros(30_000, bool) for reason in REASONS}
        for one in excluded:
            held[one.reason][one.start : one.stop + GUARD] = True
        unavailable = np.ones(30_000, bool)
        unavailable[max(0, found.available[0]) : found.available[1]] = False
        barred = np.logical_or.reduce([*held.values(), unavailable & looped_back])
        for row in table.itertuples():
            flags = {reason for reason in REASONS if held[reason][row.start : row.stop].any()}
            assert set(row.flags) & set(REASONS) == flags
            assert len(row.flags) == len(set(row.flags))
            if row.split:
                assert not (barred | unavailable)[row.start : row.stop].any()
                assert not barred[row.start - row.context : row.start].any()


@given(excluded=left_out)
@few
def test_contexts_extend_to_the_border(excluded: list[Excluded]) -> None:
    table = tile_pair(source(20_000, lag=0.0, excluded=tuple(excluded)), "d", SETTINGS, split="train")
    barred = np.zeros(30_000, bool)
    for one in excluded:
        barred[one.start : one.stop + GUARD] = True
    for row in table[table["split"] != ""].itertuples():
        begin = row.start - row.context
        assert begin == 0 or barred[begin - 1]


def test_segments_with_a_large_residual_are_unsteady() -> None:
    lags = [(0, 0.0), (4000, 0.0), (6000, 0.8), (8000, -0.8), (10_000, 0.0), (20_000, 0.0)]
    track = tuple(Window(float(position), 500.0, 1.0, residual) for position, residual in lags)
    table = tile_pair(source(20_000, track=track), "d", SETTINGS, split="train")
    assert ["unsteady" in flags for flags in table["flags"]] == (table["residual"].abs() > 0.5).tolist()
    assert 0 < (table["split"] == "").sum() < 20
    unmeasured = tile_pair(source(20_000, track=()), "d", SETTINGS, split="train")
    assert unmeasured["residual"].isna().all()
    assert (unmeasured["split"] == "train").all()


def test_the_lag_of_a_segment_is_that_of_its_piece() -> None:
    pieces = (Piece(0, 9000, (0.0,), (500.0,)), Piece(9100, 20_000, (0.0,), (400.0,)))
    table = tile_pair(source(20_000, pieces=pieces), "d", SETTINGS, split="train")
    assert table["lag"][table["stop"] <= 9000].tolist() == [500.0] * (9000 // SIZE)
    assert set(table["lag"][table["start"] >= 9100]) == {400.0}


def test_a_truncated_take_loses_only_its_end() -> None:
    made = reel(5)
    table = tile_reel(source(made.frames, wet_frames=6000 + 500), made.cues, made.entry, SETTINGS)
    assert ["outside-take" in flags for flags in table["flags"]] == (table["stop"] > 6000 + GUARD).tolist()


def test_a_refused_take_has_no_usable_segment() -> None:
    made = reel(6)
    changes = {"verdict": "refused", "reasons": ["wrong reel"]}
    table = tile_reel(source(made.frames, take_changes=changes), made.cues, made.entry, SETTINGS)
    assert (table["split"] == "").all()
    assert all("refused-take" in flags for flags in table["flags"])


def test_segment_ids_and_settings_are_stable() -> None:
    made = reel(0)
    table = tile_reel(source(made.frames), made.cues, made.entry, SETTINGS)
    assert table["segment_id"].is_unique
    assert table["segment_id"][1] == f"box/r-01/{SIZE:010d}"
    assert set(table["settings"]) == {'{"a": 1, "drive": 0.5}'}


def test_a_reel_of_another_length_is_rejected() -> None:
    made = reel(0)
    with pytest.raises(DatasetError, match="another excitation"):
        tile_reel(source(made.frames + 1), made.cues, made.entry, SETTINGS)


def test_an_unknown_split_is_rejected() -> None:
    made = reel(0)
    made.cues.loc[3, "split"] = "dev"
    with pytest.raises(DatasetError, match="'dev'"):
        tile_reel(source(made.frames), made.cues, made.entry, SETTINGS)


@given(clip=st.integers(SIZE, 2000), start=st.integers(0, 999), frames=st.integers(3000, 9000))
@few
def test_clips_are_divided_separately(clip: int, start: int, frames: int) -> None:
    origin = source(frames, dry_range=(start, frames), lag=0.0)
    table = tile_pair(origin, "a/dry.wav", SETTINGS, split="train", clip_samples=clip)
    expected = [
        (at, at + SIZE, at - begin)
        for begin in range(start, frames, clip)
        for at in range(begin, min(begin + clip, frames) - SIZE + 1, SIZE)
    ]
    assert [*zip(table["start"], table["stop"], table["context"], strict=True)] == expected
    assert set(table["split"]) == {"train"}
    assert table["sources"][0] == [f"a/dry.wav[{start}:{start + SIZE}]"]


@given(frames=st.integers(15_000, 120_000), start=st.integers(0, 2000), clip=st.sampled_from([None, 1000, 4096]))
@few
def test_a_pair_without_split_has_blocks_with_gaps(frames: int, start: int, clip: int | None) -> None:
    table = tile_pair(source(frames, dry_range=(start, frames), lag=0.0), "d", SETTINGS, clip_samples=clip)
    used = table[table["split"] != ""]
    blocks = {split: used[used["split"] == split] for split in SPLITS}
    gap = max(SIZE, RATE // 2)
    for before, after in (("train", "valid"), ("valid", "test")):
        edge = blocks[before]["stop"].max()
        assert blocks[after]["start"].min() - edge >= gap
        assert ((blocks[after]["start"] - blocks[after]["context"]) >= edge).all()
    counts = {split: len(rows) for split, rows in blocks.items()}
    assert min(counts.values()) >= 1
    assert abs(counts["valid"] - 0.1 * len(used)) <= 1
    assert abs(counts["test"] - 0.1 * len(used)) <= 1
    assert all(flags == ["between-splits"] for flags in table["flags"][table["split"] == ""])


silent_parts = st.lists(st.tuples(st.integers(0, 55_000), st.integers(100, 25_000)), max_size=4).map(
    lambda parts: [(start, start + length) for start, length in parts]
)


@given(silence=silent_parts, wet_frames=st.integers(8000, 70_000), lag=st.integers(-10_000, 10_000))
@settings(max_examples=15, deadline=None)
def test_blocks_hold_what_both_files_hold_and_what_sounds(
    silence: list[tuple[int, int]], wet_frames: int, lag: int
) -> None:
    """The 80, 10 and 10 % count neither silence nor samples that the wet file lacks."""
    origin = source(60_000, lag=float(lag), wet_frames=wet_frames)
    silent = np.zeros(200_000, bool)
    for start, stop in merge_ranges(silence):
        silent[start:stop] = True

    def sounds(row: Any) -> bool:
        return bool(not silent[row.start : row.stop].all() and "outside-take" not in row.flags)

    whole = tile_pair(origin, "d", SETTINGS, split="train", silence=merge_ranges(silence))
    sounding = sum(sounds(row) for row in whole.itertuples())
    if sounding < 3:
        return
    try:
        table = tile_pair(origin, "d", SETTINGS, silence=merge_ranges(silence))
    except DatasetError:
        table = None
    assert table is not None or sounding < 3 + 2 * GAP_ROWS
    if table is None:
        return
    used = table[table["split"] != ""]
    counts = {split: sum(map(sounds, used[used["split"] == split].itertuples())) for split in SPLITS}
    assert abs(counts["test"] - max(1, 0.1 * (sounding - 2 * GAP_ROWS))) <= 1
    assert counts["valid"] == counts["test"]
    assert sounding - sum(counts.values()) <= 2 * GAP_ROWS
    first, *_, last = used.itertuples()
    assert sounds(first)
    assert sounds(last)
    for row in table.itertuples():
        pause = next((b - a for a, b in merge_ranges(silence) if a <= row.start and row.stop <= b), 0)
        if pause >= 2 * RATE:
            assert "silence" in row.flags
        if not row.split:
            assert row.flags


def test_silence_is_never_a_split() -> None:
    """A pair in the split test that is silent has no usable segment."""
    table = tile_pair(source(20_000, lag=0.0), "d", SETTINGS, split="test", silence=[(0, 20_000)])
    assert all(flags == ["silence"] for flags in table["flags"])
    assert not table["split"].any()


def test_a_pair_without_lag_keeps_its_first_segment() -> None:
    table = tile_pair(source(4000, lag=0.0, wet_frames=4000), "d", SETTINGS, split="train")
    assert (table["split"] == "train").all()
    early = tile_pair(source(4000, lag=-20.0, wet_frames=4000), "d", SETTINGS, split="train")
    assert early["flags"][0] == ["outside-take"]
    assert early["flags"][1] == []


def test_invalid_pairs_are_rejected() -> None:
    origin = source(5000)
    with pytest.raises(DatasetError, match="segment_samples to 100"):
        tile_pair(origin, "d", SETTINGS, split="train", clip_samples=100)
    with pytest.raises(DatasetError, match="too short"):
        tile_pair(origin, "d", SETTINGS)
    with pytest.raises(DatasetError, match="'dev'"):
        tile_pair(origin, "d", SETTINGS, split="dev")
    with pytest.raises(DatasetError, match="less than one segment"):
        tile_pair(source(200), "d", SETTINGS, split="train")
