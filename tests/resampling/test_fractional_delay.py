"""Interpolation between samples: exact, and independent of the blocks read."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alignment.conftest import RATE, Array, channel, decibels, pieces
from twinlib.resampling.fractional_delay import MEASURE_BAND, MEASURE_KERNEL, TILE, WARP_KERNEL, Kernel, interpolate
from twinlib.resampling.time_map import Piece, TimeMap

HALF_WIDTH = WARP_KERNEL.half_width
NOISE = channel(np.random.default_rng(0).uniform(-1, 1, 9000))


def sine(hertz: float, places: Array) -> Array:
    return 0.9 * np.sin(2 * np.pi * hertz / RATE * places + 1.0)


@given(lag=st.integers(-9000, 9000), start=st.integers(-500, 9000), frames=st.integers(0, 3000))
def test_integer_lags_without_drift_copy_samples(lag: int, start: int, frames: int) -> None:
    """Samples outside the file are zero."""
    timemap = TimeMap.straight(lag, 0.0, 0, 9000)
    copied = interpolate(NOISE, timemap, start, start + frames)
    assert copied.dtype == np.float32
    assert np.array_equal(copied, NOISE.read(start + lag, start + lag + frames))


@settings(max_examples=50)
@given(parts=pieces(), cuts=st.lists(st.integers(-300, 9300), min_size=1, max_size=8))
def test_samples_do_not_depend_on_the_blocks_read(parts: tuple[Piece, ...], cuts: list[int]) -> None:
    timemap = TimeMap(parts)
    whole = interpolate(NOISE, timemap, -300, 9300)
    blocks = [interpolate(NOISE, timemap, *block) for block in pairwise([-300, *sorted(cuts), 9300])]
    assert np.array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("drift", [0.0, 0.5, -20.0, 100.0, 300.0, -300.0])
@pytest.mark.parametrize(
    ("kernel", "hertz", "below_db"),
    [
        *((WARP_KERNEL, hertz, 120.0) for hertz in (1000, 5000, 10_000, 15_000, 18_000, 19_000, 20_000)),
        *((MEASURE_KERNEL, hertz, 100.0) for hertz in (200, 1000, 5000, 10_000, 15_000, MEASURE_BAND * RATE)),
    ],
)
def test_interpolation_along_a_line_is_exact(kernel: Kernel, hertz: float, below_db: float, drift: float) -> None:
    """The short kernel for measurements reaches 100 dB."""
    n = np.arange(12_000.0)
    wet = channel(sine(hertz, n))
    for lag in (0.5, -33.37, 0.001, 0.25, 7.8):
        out = interpolate(wet, TimeMap.straight(lag, drift, 0, len(n)), 500, 11_000, kernel)
        assert decibels(sine(hertz, n[500:11_000] * (1 + drift * 1e-6) + lag), out) > below_db


@pytest.mark.parametrize("hertz", [1000, 10_000, 18_000, 20_000])
def test_interpolation_along_a_curve_is_exact(hertz: float) -> None:
    """A clock that swings by 0.3 samples within six seconds, about 40 ppm."""
    n = np.arange(6.5 * RATE)
    knots = np.linspace(0.0, 6.0 * RATE, 25)
    lags = 40e-6 * knots + 0.3 * np.sin(2 * np.pi * knots / (6.0 * RATE))
    timemap = TimeMap([Piece(0, len(n), tuple(knots.tolist()), tuple(lags.tolist()))])
    position = n[500 : int(6.0 * RATE)]
    out = interpolate(channel(sine(hertz, n)), timemap, 500, int(6.0 * RATE))
    assert decibels(sine(hertz, position + timemap.lags(position)), out) > 120


@settings(max_examples=50)
@given(parts=pieces())
def test_each_side_of_a_dropout_follows_its_piece(parts: tuple[Piece, ...]) -> None:
    """Exactly, except in the tile at the border, which may follow either piece after a loss; a step below 0.72 samples
    is within the slopes of a tile.
    """
    whole = interpolate(NOISE, TimeMap(parts), 0, 9000)
    alone = [interpolate(NOISE, TimeMap([piece]), 0, 9000) for piece in parts]
    borders = [0, *(piece.start for piece in parts[1:]), 9000]
    for number, (start, stop) in enumerate(pairwise(borders)):
        first = start // TILE * TILE + TILE if start else 0
        last = stop // TILE * TILE if number < len(parts) - 1 else 9000
        assert np.array_equal(whole[first:last], alone[number][first:last])
        step = TimeMap(parts).lags(np.array([start - 1.0, start]))
        if start and abs(step[1] - step[0]) > 0.75:
            tile = slice(first - TILE, first)
            sides = [np.abs(whole[tile] - alone[side][tile]).max() for side in (number - 1, number)]
            assert min(sides) < 0.1


@given(lag=st.floats(-50, 50), drift=st.floats(-300, 300))
def test_a_constant_is_kept_and_the_kernel_is_bounded(lag: float, drift: float) -> None:
    samples = np.zeros(4000)
    samples[1000:3000] = 0.5
    out = interpolate(channel(samples), TimeMap.straight(lag, drift, 0, 4000), 0, 4000)
    wet = np.arange(4000) * (1 + drift * 1e-6) + lag
    inside = (wet > 1000 + HALF_WIDTH) & (wet < 3000 - HALF_WIDTH)
    assert np.abs(out[inside] - 0.5).max() < 1e-6
    assert not out[(wet < 1000 - HALF_WIDTH - 1) | (wet > 3000 + HALF_WIDTH + 1)].any()
