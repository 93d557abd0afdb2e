from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.errors import DatasetError
from twinlib.estimation import FirFit, filter_valid, solve_normal_equations

TAPS = 24


def signals(frames: int = 1500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return coloured noise, and what a saturating device makes of it."""
    dry = np.convolve(np.random.default_rng(seed).standard_normal(frames), [1, 0.8, 0.5])[:frames].astype(np.float32)
    return dry, np.tanh(np.convolve(dry, [0.1, 0.5, -0.2])[:frames]).astype(np.float32)


def fitted(taps: int, dry: np.ndarray, wet: np.ndarray, borders: list[int]) -> FirFit:
    """Add the blocks between `borders`, positions of wet; the first is at least taps - 1."""
    fit = FirFit(taps)
    for start, stop in pairwise(borders):
        fit.add(dry[start - taps + 1 : stop], wet[start:stop])
    return fit


@given(cuts=st.lists(st.integers(TAPS, 1499), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_contiguous_blocks_of_any_size_give_the_equations_of_the_whole(cuts, seed):
    dry, wet = signals(seed=seed)
    whole = fitted(TAPS, dry, wet, [TAPS - 1, 1500])
    parts = fitted(TAPS, dry, wet, sorted({TAPS - 1, *cuts, 1500}))
    np.testing.assert_allclose(parts.matrix(), whole.matrix(), atol=1e-9 * whole.dry_energy)
    np.testing.assert_allclose(parts.cross, whole.cross, atol=1e-9 * whole.dry_energy)
    assert parts.count == whole.count == 1500 - TAPS + 1


@given(gap=st.integers(0, 300), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_equations_are_those_of_all_windows(gap, seed):
    dry, wet = signals(seed=seed)
    fit = fitted(TAPS, dry, wet, [TAPS - 1, 400, 700])
    places = [*range(TAPS - 1, 700), *range(800 + gap, 1500)]
    fit.add(dry[800 + gap - TAPS + 1 :], wet[800 + gap :])
    windows = np.array([dry[place - TAPS + 1 : place + 1][::-1] for place in places], np.float64)
    np.testing.assert_allclose(fit.matrix(), windows.T @ windows, atol=1e-9 * fit.dry_energy)
    np.testing.assert_allclose(fit.cross, windows.T @ wet[places].astype(np.float64), atol=1e-9 * fit.dry_energy)


@given(taps=st.integers(1, TAPS))
@settings(max_examples=10, deadline=None)
def test_equations_of_a_shorter_filter_are_the_leading_part(taps):
    dry, wet = signals()
    long, short = (fitted(count, dry, wet, [TAPS - 1, 1500]) for count in (TAPS, taps))
    np.testing.assert_allclose(long.matrix()[:taps, :taps], short.matrix(), atol=1e-9 * long.dry_energy)
    np.testing.assert_allclose(long.cross[:taps], short.cross, atol=1e-9 * long.dry_energy)


def test_more_loading_gives_a_smaller_filter():
    dry, wet = signals()
    fit = fitted(TAPS, dry, wet, [TAPS - 1, 1500])
    norms = [np.linalg.norm(solve_normal_equations(fit.matrix(), fit.cross, ridge)) for ridge in (1e-10, 0.1, 10)]
    assert norms[0] > norms[1] > norms[2]


def test_nan_raises():
    dry, wet = signals()
    wet[700] = np.nan
    fit = fitted(TAPS, dry, wet, [TAPS - 1, 1500])
    with pytest.raises(DatasetError, match="NaN"):
        solve_normal_equations(fit.matrix(), fit.cross)


@given(taps=st.integers(1, 300), frames=st.integers(1, 700), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_filter_equals_the_convolution(taps, frames, seed):
    random = np.random.default_rng(seed)
    dry, fir = random.standard_normal((2, taps - 1 + frames)).astype(np.float32), random.standard_normal(taps)
    wanted = [np.convolve(channel, fir, "valid") for channel in dry]
    np.testing.assert_allclose(filter_valid(dry, fir), wanted, atol=1e-9 * taps)
