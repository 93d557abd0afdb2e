"""The mapping between dry and wet positions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alignment.conftest import RATE, pieces
from twinlib.alignment.clock import ClockModel, LagStep
from twinlib.estimation.line_fit import PieceFit
from twinlib.resampling.time_map import Curve, Piece, TimeMap

HOUR = 3600 * RATE


@given(pieces(), st.floats(0, 1))
def test_wet_and_dry_are_inverse_within_each_piece(parts: tuple[Piece, ...], share: float) -> None:
    timemap = TimeMap(parts)
    for number, piece in enumerate(parts):
        position = piece.start + share * (piece.stop - 1 - piece.start)
        assert timemap.piece(position) == number
        wet = timemap.wet(position)
        assert wet == pytest.approx(position + timemap.lags(np.array([position]))[0], abs=1e-9)
        assert timemap.dry(wet) == pytest.approx(position, abs=1e-5)


@given(pieces(), st.lists(st.floats(-2000, 12000), min_size=2, max_size=30))
def test_the_dry_position_is_monotonic(parts: tuple[Piece, ...], wet: list[float]) -> None:
    """Across dropouts and beyond the outer pieces; no wet index maps into a dropout."""
    timemap = TimeMap(parts)
    dry = np.array([timemap.dry(index) for index in sorted(wet)])
    assert np.diff(dry).min() >= -1e-5
    for one, other in pairwise(parts):
        assert not np.any((dry > one.stop + 1e-5) & (dry < other.start - 1e-5))


@given(pieces(), st.floats(0, 1, exclude_max=True))
def test_a_wet_index_within_a_dropout_maps_to_the_end_of_the_piece_before_it(
    parts: tuple[Piece, ...], share: float
) -> None:
    """The first index after the dropout maps to the start of the next piece."""
    timemap = TimeMap(parts)
    for number, (one, other) in enumerate(pairwise(parts)):
        low, high = timemap.wet(one.stop, number), timemap.wet(other.start, number + 1)
        inside = low + share * (high - low)
        if low <= inside < high:
            assert timemap.dry(inside) == one.stop
        assert timemap.dry(high) == pytest.approx(other.start, abs=1e-5)


@given(
    lag=st.floats(-1e6, 1e6),
    drift=st.floats(-2000, 2000),
    start=st.integers(-1000, HOUR),
    frames=st.integers(RATE, HOUR),
    share=st.floats(-1, 2),
)
def test_a_line_is_exact_everywhere(lag: float, drift: float, start: int, frames: int, share: float) -> None:
    """The error is below 1e-5 samples over an hour, also beyond the piece."""
    timemap = TimeMap.straight(lag, drift, start, start + frames)
    position = start + share * frames
    expected = lag + drift * 1e-6 * position
    assert timemap.lags(np.array([position]))[0] == pytest.approx(expected, abs=1e-5)
    assert timemap.wet(position) == pytest.approx(position + expected, abs=1e-5)
    assert timemap.dry(position + expected) == pytest.approx(position, abs=1e-5)


@given(steps=st.lists(st.floats(1000, 1e6), min_size=2, max_size=12), seed=st.integers(0, 1000))
def test_a_curve_is_a_natural_spline_through_its_knots(steps: list[float], seed: int) -> None:
    """The curvature is continuous and zero at the ends; the extensions are straight."""
    x = np.cumsum([0.0, *steps])
    y = np.random.default_rng(seed).normal(0.0, 1.0, len(x))
    curve = Curve(x, y)
    assert np.allclose(curve(x), y, atol=1e-9)
    bends = []
    for start, stop in pairwise(x):
        h = (stop - start) / 200
        bends.append(np.diff(curve(np.linspace(start, stop, 201)), 2) / h**2)
    most = max(float(np.abs(bend).max()) for bend in bends)
    # The curvature of a cubic is linear: extrapolate it to the knots.
    at_start = [2 * bend[0] - bend[1] for bend in bends]
    at_stop = [2 * bend[-1] - bend[-2] for bend in bends]
    assert np.allclose([at_start[0], at_stop[-1]], 0.0, atol=1e-3 * most)
    assert np.allclose(at_start[1:], at_stop[:-1], atol=1e-3 * most)
    for end, outwards in ((x[0], -1.0), (x[-1], 1.0)):
        here, near, far = curve(end + outwards * np.array([0.0, 1.0, 1e6]))
        assert far == pytest.approx(here + (near - here) * 1e6, abs=1e-4)
        inside = curve(np.array([end - outwards * 1e-3]))[0]
        assert (here - inside) / 1e-3 == pytest.approx(near - here, abs=1e-6)


@given(pieces(), st.floats(-50, 50))
def test_an_offset_adds_a_constant_to_every_lag(parts: tuple[Piece, ...], samples: float) -> None:
    timemap = TimeMap(parts)
    positions = np.linspace(-500.0, 9500.0, 301)
    assert np.allclose(timemap.shifted(samples).lags(positions), timemap.lags(positions) + samples, atol=1e-9)


@given(pieces())
def test_each_position_has_the_lag_of_its_piece(parts: tuple[Piece, ...]) -> None:
    """Positions between two pieces belong to the earlier one, and the outer pieces extend."""
    timemap = TimeMap(parts)
    positions = np.arange(-300.0, 9300.0, 7.0)
    lags = timemap.lags(positions)
    borders = [-np.inf, *(float(piece.start) for piece in parts[1:]), np.inf]
    for number, (low, high) in enumerate(pairwise(borders)):
        here = (positions >= low) & (positions < high)
        alone = TimeMap([parts[number]])
        assert np.array_equal(lags[here], alone.lags(positions[here]))
        assert np.array_equal(timemap.curve(number, positions), alone.lags(positions))
        assert {timemap.piece(position) for position in positions[here]} <= {number}


@given(
    drift=st.floats(-300, 300),
    steps=st.lists(st.integers(-3000, 3000), min_size=0, max_size=4),
    bends=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=8),
    curved=st.booleans(),
)
def test_a_clock_and_its_time_map_agree(drift: float, steps: list[int], bends: list[float], curved: bool) -> None:
    """They agree outside the dropouts."""
    frames = 3_000_000
    places = (np.arange(1, len(steps) + 1) * frames // (len(steps) + 1)).tolist()
    lags = np.cumsum([250.25, *steps])
    fit = PieceFit(lags, drift, np.zeros(len(lags)), 0.0)
    knots = np.linspace(0.0, frames, len(bends)), np.array(bends)
    breaks = tuple(LagStep(place, place - 500, place + 4000) for place in places)
    clock = ClockModel(fit, knots if curved else None, breaks)
    timemap = clock.time_map(0, frames)
    positions = np.linspace(0.0, frames - 1.0, 2001)
    known = np.ones(len(positions), bool)
    for start, stop in clock.excluded:
        known &= (positions < start) | (positions >= stop)
    assert [piece.start for piece in timemap.pieces] == [0, *(one.last for one in breaks)]
    assert [piece.stop for piece in timemap.pieces] == [*(one.position for one in breaks), frames]
    assert np.allclose(timemap.lags(positions)[known], clock.lags(positions)[known], atol=1e-6)
    assert np.allclose(clock.offset_by(3.5).lags(positions), clock.lags(positions) + 3.5, atol=1e-9)


def test_the_inverse_leads_back_to_the_dry_positions() -> None:
    """Also across a dropout, and at the knots of a curve."""
    line = Piece(0, 1000, (0.0, 1000.0), (40.0, 40.2))
    curve = Piece(1010, 3000, (1000.0, 2000.0, 3000.0), (35.0, 36.0, 34.5))
    there = TimeMap([line, curve])
    back = there.inverse()
    for position in (0.0, 555.0, 999.0, 2000.0, 3000.0):
        wet = there.wet(position)
        assert back.wet(wet) == pytest.approx(position, abs=1e-6)
