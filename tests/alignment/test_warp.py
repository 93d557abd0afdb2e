import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.alignment.figure import draw_alignment
from twinlib.alignment.result import Alignment, Window
from twinlib.alignment.sinc import interpolate, support
from twinlib.alignment.warp import WarpedWet
from twinlib.errors import AlignmentError

from .conftest import RATE, Write


def alignment(frames: int, lag: float, drift_ppm: float = 0.0, **changes: object) -> Alignment:
    base = Alignment(
        sample_rate=RATE,
        dry_frames=frames,
        wet_frames=frames,
        dry_range=(0, frames),
        wet_range=(0, frames),
        lag_samples=lag,
        drift_ppm=drift_ppm,
        drift_error_ppm=0.001,
        polarity=1,
        gain_db=0.0,
        residual_rms_samples=0.01,
        confidence=1.0,
        dropouts=(),
        verdict="ok",
        reasons=(),
        guard_samples=12,
        warp="sinc",
        applied_lag_samples=lag,
        applied_drift_ppm=drift_ppm,
        track=(Window(1000.0, lag + 0.01, 100.0, 0.01), Window(9000.0, lag + 0.7, 50.0, 0.7), Window(2.0, lag, 0, 0)),
    )
    return dataclasses.replace(base, **changes)


def sines(at: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(2)
    hz, phase = rng.uniform(30, 19900, 40), rng.uniform(0, 6.3, 40)
    return np.sin(2 * np.pi * hz[:, None] / RATE * at[None] + phase[:, None]).sum(0) / 40


@pytest.mark.parametrize(("lag", "drift"), [(500.37, 20.0), (90.5, -300.0), (70.001, 0.0)])
def test_the_sinc_is_exact_to_120_db(lag: float, drift: float) -> None:
    n = np.arange(1000, 9000)
    first, last = support(lag, drift * 1e-6, 1000, 9000)
    samples = sines(np.arange(first, last)).astype(np.float32)
    out = interpolate(samples, first, lag, drift * 1e-6, 1000, 9000)
    truth = sines(n + lag + drift * 1e-6 * n)
    assert 10 * np.log10((truth**2).sum() / ((out - truth) ** 2).sum()) > 120


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(-300, 9300), min_size=1, max_size=8),
    lag=st.floats(-400, 400),
    drift=st.floats(-200, 200),
    warp=st.sampled_from(["sinc", "shift"]),
)
def test_blocks_change_nothing(tmp_path_factory, cuts, lag, drift, warp) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    audio.write(folder / "w.wav", np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32), RATE, "FLOAT")
    if warp == "shift":
        lag, drift = float(round(lag)), 0.0
    with WarpedWet(folder / "w.wav", alignment(9000, lag, drift, warp=warp)) as wet:
        whole = wet.read(-300, 9300)
        borders = [-300, *sorted(cuts), 9300]
        parts = [wet.read(a, b) for a, b in pairwise(borders)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.float32


def test_shift_copies_samples_behind_the_guard(write: Write) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 5000).astype(np.float32)
    path = write("wet.wav", samples)
    with WarpedWet(path, alignment(5000, 100.0, warp="shift", polarity=-1)) as wet:
        assert np.array_equal(wet.read(12, 1012), -samples[100:1100])
        assert wet.valid_range() == (0, 4912)
        assert not wet.read(4912, 5000).any()


def test_valid_range_is_where_all_samples_are_real(write: Write) -> None:
    path = write("wet.wav", np.ones(5000))
    with WarpedWet(path, alignment(5000, -200.5, 30.0)) as wet:
        start, stop = wet.valid_range()
        inside = wet.read(start, stop)
        assert np.allclose(inside, 1.0, atol=1e-6)
        assert not np.allclose(wet.read(start - 40, start), 1.0, atol=1e-6)
        assert stop <= 5000


@pytest.mark.parametrize(
    ("changes", "channel", "words"),
    [
        ({"verdict": "refused", "reasons": ("it is another reel",)}, 0, "another reel"),
        ({"wet_frames": 4000}, 0, "align it again"),
        ({}, 1, "channel 2"),
        ({}, -1, "channel"),
    ],
)
def test_what_cannot_be_warped_is_refused(write: Write, changes: dict, channel: int, words: str) -> None:
    path = write("wet.wav", np.zeros(5000))
    with pytest.raises(AlignmentError, match=words):
        WarpedWet(path, alignment(5000, 3.0, **changes), channel)


def test_the_figure_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw_alignment(alignment(50000, 100.25, 12.0), tmp_path / name)
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    assert b"residual (samples)" in drawn
    draw_alignment(alignment(50000, 0.0, verdict="refused", reasons=("silent",), track=()), tmp_path / "c.svg")
    assert b"silent" in (tmp_path / "c.svg").read_bytes()
