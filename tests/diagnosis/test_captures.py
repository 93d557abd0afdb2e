"""Captures of one device with planted lags, drifts, polarities and gains."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import RATE, alignment
from twinlib.alignment import Alignment
from twinlib.alignment.result import Window
from twinlib.capture import Known
from twinlib.diagnosis import compare_captures, with_constant_lag
from twinlib.findings import refused
from twinlib.resampling import TimeMap

FRAMES = 60 * RATE


def pair(lag: float, drift_ppm: float = 0.0, phase: float = 0.05, seed: int = 0, **changes: object) -> Alignment:
    """A pair with a window every second, whose lag depends on the programme by `phase` samples, for some seconds."""
    rng = np.random.default_rng(seed)
    wander = np.convolve(rng.standard_normal(66), np.ones(7) / 7**0.5, "valid") * phase
    places = np.arange(60.0) * RATE
    line = lag + drift_ppm * 1e-6 * places
    track = tuple(
        Window(float(at), float(one + shift), 100.0, float(shift))
        for at, one, shift in zip(places, line, wander, strict=True)
    )
    own = {"warp": "sinc"} if drift_ppm else {"warp": "shift", "pieces": TimeMap.straight(0.0, 0.0, 0, FRAMES).pieces}
    own |= {} if drift_ppm else {"applied_lag_samples": 0.0}
    base = alignment(FRAMES, lag, drift_ppm, track=track, **own)
    return replace(base, is_pair=True, **changes)


def codes(compared: dict, name: str) -> set[str]:
    return {finding["code"] for finding in compared["captures"][name]["findings"]}


@settings(max_examples=25, deadline=None)
@given(
    lags=st.lists(st.floats(5.5, 5.9), min_size=2, max_size=5),
    drift_ppm=st.floats(-1.0, 1.0).filter(lambda drift: abs(drift) > 0.01),
    seed=st.integers(0, 1000),
)
def test_a_weak_drift_is_shifted_like_the_others(lags: list[float], drift_ppm: float, seed: int) -> None:
    """One of the captures has a drift within the variation of its lag by the phase of the device."""
    captures = {f"p{number}": pair(lag, seed=number) for number, lag in enumerate(lags)}
    captures["odd"] = pair(5.7, drift_ppm, phase=3.0, seed=seed)
    compared = compare_captures(captures)
    shift = compared["captures"]["odd"]["shift"]
    if shift is None:
        assert codes(compared, "odd") == {"drift-outlier"}
        return
    assert shift == 0
    assert compared["captures"]["odd"]["verdict"] == "suspect"
    assert f"drift of {drift_ppm:.2f} ppm" in compared["captures"]["odd"]["reasons"][0]
    for name in captures.keys() - {"odd"}:
        assert compared["captures"][name] == {"shift": None, "verdict": "ok", "reasons": [], "findings": []}
    moved = with_constant_lag(captures["odd"], shift)
    assert (moved.warp, moved.applied_lag_samples, moved.drift_ppm) == ("shift", 0.0, 0.0)
    assert moved.timemap.wet(12345.0) == 12345.0


def test_an_added_pair_can_change_the_lag_of_all_others() -> None:
    """Therefore the workflow cuts all pairs of a device again, before it has aligned the added one."""

    def shifts(lags: list[float]) -> list[float | None]:
        captures = {f"p{number}": pair(lag, seed=number) for number, lag in enumerate(lags)}
        return [one["shift"] for one in compare_captures(captures)["captures"].values()]

    lags = [20.4, 20.3, 24.2, 24.4, 24.3]
    assert [set(shifts(lags[:number])) for number in (1, 2, 5)] == [{None}, {20.0}, {24.0}]


def test_weak_drifts_are_mostly_shifted() -> None:
    others = {f"p{number}": pair(5.7, seed=number) for number in range(3)}
    shifts = [
        compare_captures({**others, "odd": pair(5.7, 0.8, phase=1.0, seed=seed)})["captures"]["odd"]["shift"]
        for seed in range(40)
    ]
    assert shifts.count(0.0) >= 36


@pytest.mark.parametrize("drift_ppm", [3.0, -20.0, 100.0])
def test_an_evident_drift_is_named_and_kept(drift_ppm: float) -> None:
    captures = {"a": pair(5.6), "b": pair(5.7), "c": pair(5.7, drift_ppm)}
    compared = compare_captures({**captures, "c": pair(5.7 - drift_ppm * 1e-6 * FRAMES / 2, drift_ppm)})
    assert codes(compared, "c") == {"drift-outlier"} if abs(drift_ppm) < 50 else {"drift-outlier", "lag-outlier"}
    assert compared["captures"]["c"]["shift"] is None
    assert f"{drift_ppm:.2f} ppm" in compared["captures"]["c"]["reasons"][0]
    assert compared["captures"]["a"]["verdict"] == "ok"


def test_equal_latencies_are_shifted_by_the_same_samples() -> None:
    """Lags of 213.4 and 213.6 samples are not rounded apart."""
    captures = {
        name: with_constant_lag(pair(lag), round(lag)) for name, lag in (("a", 213.4), ("b", 213.6), ("c", 213.7))
    }
    compared = compare_captures(captures)
    applied = {
        captures[name].applied_lag_samples if one["shift"] is None else one["shift"]
        for name, one in compared["captures"].items()
    }
    assert applied == {214.0}
    assert {one["verdict"] for one in compared["captures"].values()} == {"ok"}


def test_an_outlier_of_the_lag_is_named_with_the_others() -> None:
    compared = compare_captures({"a": pair(5.6), "b": pair(5.7), "c": pair(213.0), "d": pair(5.8)})
    assert codes(compared, "c") == {"lag-outlier"}
    assert "213.00 samples late, but those of the other captures are 5.70" in compared["captures"]["c"]["reasons"][0]
    assert compared["captures"]["c"]["shift"] is None


def test_captures_that_are_not_comparable_keep_their_lags() -> None:
    """Pairs that were recorded one by one, takes of reels, one pair, and what the user has given."""
    for captures in (
        {"a": pair(5.6), "b": pair(2000.0), "c": pair(44_100.0)},
        {"a": pair(5.6), "b": pair(5.7), "c": pair(100.0, known=Known(lag=100.0))},
        {"a": pair(5.6), "b": pair(5.7), "c": pair(5.7, 0.8, known=Known(same_clock=False))},
        {"a": pair(5.6), "b": replace(pair(400.0), is_pair=False), "c": replace(pair(9.0), is_pair=False)},
        {"a": pair(5.7, 0.8)},
        {"a": pair(5.7), "b": pair(900.0, verdict="refused", findings=(refused("no-match"),))},
    ):
        compared = compare_captures(captures)
        assert {(one["shift"], one["verdict"]) for one in compared["captures"].values()} == {(None, "ok")}


def test_outliers_of_polarity_and_gain_are_named() -> None:
    inverted = {"polarity": -1, "applied_polarity": -1}
    captures = {"a": pair(0.0), "b": pair(0.0, **inverted), "c": pair(0.0, gain_db=12.0), "d": pair(0.0, gain_db=0.5)}
    compared = compare_captures(captures)
    assert {name: codes(compared, name) for name in captures} == {
        "a": set(), "b": {"polarity-outlier"}, "c": {"gain-outlier"}, "d": set(),
    }  # fmt: skip
    uncorrected = compare_captures({**captures, "b": pair(0.0, polarity=-1)})
    assert codes(uncorrected, "b") == {"polarity-uncorrected"}
    # Most captures are inverted: the one that is not is the outlier.
    for found, changes in (("polarity-outlier", inverted), ("polarity-uncorrected", {"polarity": -1})):
        others = {name: pair(0.0, **changes) for name in "abc"}
        assert codes(compare_captures({**others, "d": pair(0.0)}), "d") == {found}
    alike = compare_captures({name: replace(one, **inverted) for name, one in captures.items()})
    assert codes(alike, "a") == set()
    known = compare_captures({**captures, "b": pair(0.0, known=Known(polarity=-1), **inverted)})
    assert codes(known, "b") == set()


def test_the_order_of_the_captures_does_not_matter() -> None:
    captures = {"a": pair(5.6), "b": pair(5.7, 0.8, phase=1.0), "c": pair(213.0), "d": pair(5.8, polarity=-1)}
    assert compare_captures(captures) == compare_captures(dict(reversed(captures.items())))
