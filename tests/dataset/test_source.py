import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dataset.factories import GUARD, RATE, alignment, source, take
from twinlib.alignment.result import Alignment, Excluded, Reference, Window
from twinlib.dataset.source import WARP_REACH, capture_source
from twinlib.errors import DatasetError
from twinlib.resampling.time_map import Piece, TimeMap

FRAMES = 20_000
RATES = st.sampled_from([RATE, 7350, 8820])

# The aligner excludes this on either side of a loss because of its interpolation.
HALF_WIDTH = 64


def reach_of(wet_rate: int) -> int:
    """Samples at the dry rate that interpolation and resampling contaminate."""
    return WARP_REACH + (0 if wet_rate == RATE else math.ceil(WARP_REACH * max(1.0, RATE / wet_rate)))


@st.composite
def broken_takes(draw: st.DrawFn) -> dict[str, Any]:
    """Pieces between losses or repetitions of samples, with the excluded ranges between them."""
    places = [
        2000 * number + draw(st.integers(0, 1000)) for number in sorted(draw(st.sets(st.integers(1, 9), max_size=3)))
    ]
    lag, drift = draw(st.floats(-500, 3000)), draw(st.floats(-200, 200))
    pieces, excluded, start = [], [], 0
    for place in [*places, FRAMES]:
        knots = (0.0, float(FRAMES))
        pieces.append(Piece(start, place, knots, tuple(lag + drift * 1e-6 * knot for knot in knots)))
        if place < FRAMES:
            lost = draw(st.integers(-300, 300).filter(bool))
            lag -= lost
            start = place + max(0, lost)
            kind = "lost" if lost > 0 else "repeated"
            excluded.append(Excluded(place - HALF_WIDTH, start + HALF_WIDTH, f"{kind}-samples"))
    return {"pieces": tuple(pieces), "excluded": tuple(excluded)}


def wet_places(found: Alignment) -> np.ndarray:
    """The wet position of each dry sample, in samples at the dry rate."""
    at = np.arange(-2000, found.dry_frames + 2000)
    return at - GUARD + found.timemap.lags((at - GUARD).astype(float))


@given(lag=st.floats(-3000, 3000), drift=st.floats(-200, 200), wet_frames=st.integers(2000, 30_000), rate=RATES)
def test_available_samples_have_a_wet_sample(lag: float, drift: float, wet_frames: int, rate: int) -> None:
    changes = {"wet_frames": wet_frames, "wet_sample_rate": rate}
    origin = source(20_000, lag=lag, drift_ppm=drift, take_changes={"sample_rate": rate}, **changes)
    start, stop = origin.available
    last = (wet_frames - 1) * RATE / rate

    def wet_index(n: float) -> float:
        return lag + (1 + drift * 1e-6) * (n - GUARD)

    assert wet_index(stop - 1) <= last + 1e-6 < wet_index(stop) + 1e-3
    if start > 0:  # only the guard samples may be missing
        assert -1e-6 <= wet_index(start) < 1 + drift * 1e-6 + 1e-6
    else:
        assert wet_index(GUARD + 1) >= -1e-2


@given(faults=broken_takes(), wet_frames=st.integers(3000, 25_000))
def test_available_samples_have_a_wet_sample_despite_dropouts(faults: dict, wet_frames: int) -> None:
    found = alignment(FRAMES, wet_frames=wet_frames, **faults)
    origin = capture_source("box", "r-01", take(), found)
    left_out = np.zeros(FRAMES + 4000, bool)
    for one in origin.excluded:
        left_out[one.start + 2000 : one.stop + 2000] = True
    place, start, stop = wet_places(found), *(edge + 2000 for edge in origin.available)
    inside = np.zeros_like(left_out)
    inside[max(start, 2000 + GUARD) : max(0, stop)] = True
    here = place[inside & ~left_out]
    assert (here >= -1e-6).all()
    assert (here <= wet_frames - 1 + 1e-6).all()


@given(lag=st.floats(-3000, 3000), drift=st.floats(-200, 200), at=st.integers(5000, 15_000), run=st.integers(3, 500))
def test_faults_of_the_wet_file_on_the_dry_clock(lag: float, drift: float, at: int, run: int) -> None:
    clipped = {"clipped": [{"start": at, "samples": run, "seconds": at / RATE}]}
    origin = source(20_000, take_changes=clipped, lag=lag, drift_ppm=drift)
    ((start, stop),) = origin.clipped
    assert lag + (1 + drift * 1e-6) * (start - GUARD) <= at - 60
    assert lag + (1 + drift * 1e-6) * (stop - GUARD) >= at + run + 60
    assert stop - start < run + 2 * 64 + 5


@given(faults=broken_takes(), rate=RATES, at=st.integers(0, 25_000), run=st.integers(3, 500))
def test_samples_that_depend_on_clipped_ones_are_marked(faults: dict, rate: int, at: int, run: int) -> None:
    found = alignment(FRAMES, wet_sample_rate=rate, **faults)
    clipped = {"clipped": [{"start": at, "samples": run, "seconds": at / rate}], "sample_rate": rate}
    origin = capture_source("box", "r-01", take(**clipped), found)
    covered = np.zeros(FRAMES + 4000, bool)
    for start, stop in [*origin.clipped, *((one.start, one.stop) for one in origin.excluded)]:
        covered[max(0, start + 2000) : max(0, stop + 2000)] = True
    first, last = at * RATE / rate, (at + run - 1) * RATE / rate
    place = wet_places(found)
    touched = (place > first - reach_of(rate)) & (place < last + reach_of(rate))
    assert covered[touched].all()


@given(faults=broken_takes())
def test_excluded_ranges_are_extended_by_the_guard(faults: dict) -> None:
    origin = source(FRAMES, **faults)
    for one, given_one in zip(origin.excluded, faults["excluded"], strict=True):
        assert (one.start, one.stop, one.reason) == (given_one.start, given_one.stop + GUARD, given_one.reason)
    assert origin.borders == [(one.start, one.stop) for one in origin.excluded]


def test_lag_and_residual_follow_time_map_and_track() -> None:
    origin = source(10_000, lag=100.0, drift_ppm=50.0)
    assert origin.lag(10_000) == pytest.approx(100.5)
    assert origin.residual(5000) == pytest.approx(0.02)
    pieces = (Piece(0, 4000, (0.0,), (100.0,)), Piece(4007, 10_000, (0.0, 10_000.0), (93.0, 94.0)))
    broken = source(10_000, pieces=pieces)
    assert (broken.lag(1000), broken.lag(3999)) == (100.0, 100.0)
    assert broken.lag(5000) == pytest.approx(93.5)
    assert math.isnan(source(10_000, track=()).residual(5000))
    track = (*alignment(10_000).track, Window(position=5000.0, lag=0.0, weight=0.0, residual=9.0))
    assert source(10_000, track=track).residual(5000) == pytest.approx(0.02)


def test_the_available_range_of_a_loop_back_channel() -> None:
    frames, found = 10_000, alignment(10_000, 0.0, wet_frames=8000)
    without = capture_source("box", "r-01", take(), found)
    with_loop_back = capture_source("box", "r-01", take(), replace(found, reference=Reference(1, 1, 0.0)))
    assert without.available == (0, 8000 + GUARD)
    assert without.borders == []
    assert with_loop_back.available == (0, 8000)
    assert with_loop_back.borders == [(8000, frames)]
    late = replace(found, reference=Reference(1, -1, 0.0), pieces=TimeMap.straight(-3000.0, 0.0, 0, frames).pieces)
    assert capture_source("box", "r-01", take(), late).borders == [(0, 3000 + GUARD)]


def test_reasons_of_refused_takes_and_alignments() -> None:
    changes = {"verdict": "refused", "reasons": ["too short"]}
    assert source(1000, take_changes=changes, verdict="refused").refused == ("too short", "refused")
    assert source(1000, take_changes={"verdict": "suspect", "reasons": ["low"]}).refused == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wet_sample_rate": 44100}, "recorded at 8000 Hz but aligned at 44100 Hz"),
        ({"dry_range": (10, 5)}, "10 to 5"),
        ({"dry_range": (0, 1001)}, "1001"),
        ({"wet_frames": None}, "run again"),
    ],
)
def test_invalid_captures_are_rejected(changes: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        source(1000, **changes)


@pytest.mark.parametrize("key", ["sha256", "verdict", "settings", "clipped", "clips", "simulated"])
def test_a_missing_key_is_reported(key: str) -> None:
    broken = {name: value for name, value in take().items() if name != key}
    with pytest.raises(DatasetError, match=key):
        capture_source("box", "r-01", broken, alignment(1000))


def test_only_the_wet_range_is_available() -> None:
    origin = source(10_000, dry_range=(2000, 6000), wet_range=(2100, 5000), lag=0.0)
    assert origin.available == (2100 + GUARD, 5000 + GUARD)
    assert source(10_000, dry_range=(2000, 6000), wet_range=(2000, 6000), lag=0.0).available[0] == 2000


def test_unlisted_clipped_runs_extend_to_the_end() -> None:
    runs = [{"start": 1000, "samples": 4, "seconds": 0.0}, {"start": 3000, "samples": 10, "seconds": 0.0}]
    listed = source(10_000, take_changes={"clipped": runs}, lag=0.0)
    assert len(listed.clipped) == 2
    more = source(10_000, take_changes={"clipped": runs, "clips": 3}, lag=0.0)
    assert more.clipped[:2] == listed.clipped
    assert more.clipped[2][0] <= 3010
    assert more.clipped[2][1] >= 10_000


def test_accepted_clipping_is_that_of_the_device() -> None:
    clipped = {"clipped": [{"start": 500, "samples": 9, "seconds": 0.1}]}
    assert source(9000, take_changes=dict(clipped)).clipped
    assert not source(9000, take_changes={**clipped, "findings": [{"code": "accepted"}]}).clipped
