from itertools import groupby, pairwise

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.excitation.factories import small
from twinlib.errors import ExcitationError
from twinlib.excitation.layout import (
    INNER_SECONDS,
    OUTER_SECONDS,
    apportion_slices,
    lay_out_reels,
    reel_names,
    slice_hop,
)
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.witness import SPACING_SECONDS, witness_frames

THREE = Split()


@st.composite
def excitations(draw: st.DrawFn) -> Excitation:
    slice_samples = draw(st.integers(64, 20000))
    return Excitation(
        seed=0,
        sample_rate=draw(st.sampled_from([8000, 44100, 48000, 96000])),
        slices=draw(st.integers(3, 3000)),
        slice_samples=slice_samples,
        crossfade_samples=draw(st.integers(0, slice_samples // 2)),
        reel_minutes=draw(st.floats(0.3, 20)),
        guard_seconds=draw(st.floats(0.5, 2)),
        split=draw(st.sampled_from([THREE, Split(train=0.9, valid=0.1, test=0), Split(train=1, valid=0, test=0)])),
        witness=draw(st.booleans()),
    )


@given(excitations())
@settings(deadline=None)
def test_reels_contain_every_slice_once_without_gaps(made: Excitation) -> None:
    try:
        reels = lay_out_reels("main", made)
    except ExcitationError as error:
        reason = str(error)
        event(reason.rpartition(": ")[2].rpartition(" ")[0])
        return
    rate, guard = made.sample_rate, made.guard_seconds * made.sample_rate
    assert sum(block.slices for reel in reels for block in reel.blocks) == made.slices
    counts = [sum(block.slices for block in reel.blocks) for reel in reels]
    assert max(counts) - min(counts) <= 1
    for reel in reels:
        assert reel.frames <= made.reel_minutes * 60 * rate
        splits = [block.split for block in reel.blocks]
        assert [split for split, _ in groupby(splits)] == list(made.split.shares)
        for block in reel.blocks:
            assert block.slices >= 1
            assert block.stop - block.start == block.slices * slice_hop(made) + made.crossfade_samples
        sounds = sorted([*((block.start, block.stop) for block in reel.blocks), *reel.witness])
        assert reel.programme == (sounds[0][0], sounds[-1][1])
        for (_, before), (after, _) in pairwise(sounds):
            assert guard <= after - before < guard + 1
        first, last = reel.clicks
        assert first >= OUTER_SECONDS * rate
        assert reel.frames - last - reel.click_frames >= OUTER_SECONDS * rate
        assert reel.programme[0] - first - reel.click_frames >= INNER_SECONDS * rate
        assert last - reel.programme[1] >= INNER_SECONDS * rate
        if not made.witness:
            assert splits == list(made.split.shares)
            assert reel.witness == ()
            assert "witness" not in reel.to_dict()
            continue
        assert all(stop - start == witness_frames(rate) for start, stop in reel.witness)
        assert reel.programme == (reel.witness[0][0], reel.witness[-1][1])
        before = [sum(block.slices for block in reel.blocks if block.start < start) for start, _ in reel.witness]
        everything = sum(block.slices for block in reel.blocks)
        assert (before[0], before[-1]) == (0, everything)
        assert abs(before[len(before) // 2] - everything / 2) <= 1
        assert max(map(int.__sub__, before[1:], before)) * slice_hop(made) < SPACING_SECONDS * rate + slice_hop(made)


@given(st.integers(3, 10**6), st.floats(0.02, 0.45), st.floats(0.02, 0.45))
@settings(deadline=None)
def test_apportioned_slices_match_the_shares_to_one_slice(count: int, valid: float, test: float) -> None:
    shares = {"train": 1 - valid - test, "valid": valid, "test": test}
    given_ = apportion_slices(count, shares)
    assert sum(given_.values()) == count
    assert min(given_.values()) >= 1
    if min(share * count for share in shares.values()) >= 1:
        assert all(abs(given_[name] - share * count) < 1 + 1e-6 for name, share in shares.items())


def test_too_few_slices_for_the_splits() -> None:
    with pytest.raises(ExcitationError, match="2 slices cannot fill 3 splits"):
        apportion_slices(2, THREE.shares)


def test_reel_names_sort_in_playing_order() -> None:
    names = reel_names("main", small(slices=150, slice_samples=20000, reel_minutes=0.06))
    assert names[0] == "main-001"
    assert len(names) > 100
    assert names == sorted(names)
    assert reel_names("main", small()) == ["main-01"]


def test_reel_names_do_not_depend_on_the_seed() -> None:
    assert reel_names("a", small(seed=1)) == reel_names("a", small(seed=2))


def test_a_reel_too_short_for_its_splits_reports_the_minimum_length() -> None:
    with pytest.raises(ExcitationError, match="set reel_minutes to at least") as refused:
        reel_names("main", small(reel_minutes=0.01, split=THREE))
    minutes = float(str(refused.value).split()[-1])
    assert reel_names("main", small(reel_minutes=minutes, split=THREE, slices=3)) == ["main-01"]


def test_a_remainder_too_small_for_every_split_is_refused() -> None:
    with pytest.raises(ExcitationError, match="set slices to at least 3"):
        reel_names("main", small(slices=2, split=THREE))
