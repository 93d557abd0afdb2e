import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dataset.material import GUARD, RATE, alignment, source, take
from twinlib.dataset.source import capture_source
from twinlib.errors import DatasetError


@given(lag=st.floats(-3000, 3000), drift=st.floats(-200, 200), wet_frames=st.integers(2000, 30_000))
def test_available_samples_have_a_wet_sample(lag: float, drift: float, wet_frames: int) -> None:
    origin = source(20_000, lag_samples=lag, drift_ppm=drift, wet_frames=wet_frames)
    start, stop = origin.available

    def wet_index(n: float) -> float:
        return lag + (1 + drift * 1e-6) * (n - GUARD)

    assert wet_index(stop - 1) <= wet_frames - 1 + 1e-6 < wet_index(stop) + 1e-3
    if start > 0:  # only the guard's own samples may be missing
        assert -1e-6 <= wet_index(start) < 1 + drift * 1e-6 + 1e-6
    else:
        assert wet_index(GUARD + 1) >= -1e-2


@given(lag=st.floats(-3000, 3000), drift=st.floats(-200, 200), at=st.integers(5000, 15_000), run=st.integers(3, 500))
def test_faults_of_the_wet_file_are_covered_on_the_dry_clock(lag: float, drift: float, at: int, run: int) -> None:
    clipped = {"clipped": [{"start": at, "samples": run, "seconds": at / RATE}]}
    dropouts = [{"start": at / RATE, "stop": (at + run) / RATE, "lost_samples": 4}]
    origin = source(20_000, take_changes=clipped, lag_samples=lag, drift_ppm=drift, dropouts=dropouts)
    for start, stop in (*origin.clipped, *origin.lost):
        assert lag + (1 + drift * 1e-6) * (start - GUARD) <= at - 60
        assert lag + (1 + drift * 1e-6) * (stop - GUARD) >= at + run + 60
        assert stop - start < run + 2 * 64 + 5


def test_lag_and_residual_follow_the_track() -> None:
    origin = source(10_000, lag_samples=100.0, drift_ppm=50.0)
    assert origin.lag(10_000) == pytest.approx(100.5)
    assert origin.residual(5000) == pytest.approx(0.02)
    assert math.isnan(source(10_000, track=[]).residual(5000))
    rejected = {"position": 5000.0, "lag": 0.0, "weight": 0.0, "residual": 9.0}
    track = [*alignment(10_000)["track"], rejected]
    assert source(10_000, track=track).residual(5000) == pytest.approx(0.02)


def test_reasons_of_take_and_alignment_are_kept() -> None:
    changes = {"verdict": "refused", "reasons": ["too short"]}
    assert source(1000, take_changes=changes, verdict="refused").refused == ("too short", "refused")
    assert source(1000, take_changes={"verdict": "suspect", "reasons": ["low"]}).refused == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sample_rate": 44100}, "44100 Hz"),
        ({"dry_range": (10, 5)}, "10 to 5"),
        ({"dry_range": (0, 1001)}, "1001"),
        ({"wet_frames": None}, "run again"),
    ],
)
def test_bad_captures_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        source(1000, **changes)


@pytest.mark.parametrize("key", ["sha256", "verdict", "settings", "clipped", "clips", "simulated"])
def test_a_missing_key_is_named(key: str) -> None:
    broken = {name: value for name, value in take().items() if name != key}
    with pytest.raises(DatasetError, match=key):
        capture_source("box", "r-01", broken, alignment(1000))


def test_only_the_wet_range_is_available() -> None:
    origin = source(10_000, dry_range=(2000, 6000), wet_range=[2100, 5000], lag_samples=0.0)
    assert origin.available == (2100 + GUARD, 5000 + GUARD)
    assert source(10_000, dry_range=(2000, 6000), wet_range=[2000, 6000], lag_samples=0.0).available[0] == 2000


def test_clipping_that_is_counted_but_not_listed_counts_to_the_end() -> None:
    runs = [{"start": 1000, "samples": 4, "seconds": 0.0}, {"start": 3000, "samples": 10, "seconds": 0.0}]
    listed = source(10_000, take_changes={"clipped": runs}, lag_samples=0.0)
    assert len(listed.clipped) == 2
    more = source(10_000, take_changes={"clipped": runs, "clips": 3}, lag_samples=0.0)
    assert more.clipped[:2] == listed.clipped
    assert more.clipped[2][0] <= 3010
    assert more.clipped[2][1] >= 10_000
