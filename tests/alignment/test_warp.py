"""Reading the wet signal of an alignment on the dry clock."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.alignment.result import Reference
from twinlib.alignment.warp import WarpedReader, reference_alignment
from twinlib.errors import AlignmentError
from twinlib.reports.alignment_plot import plot_alignment
from twinlib.resampling.fractional_delay import interpolate
from twinlib.resampling.time_map import Piece

from .conftest import RATE, Write, alignment, channel, pieces

NOISE = np.random.default_rng(0).uniform(-1, 1, (9000, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warp") / "wet.wav"
    audio.write(path, NOISE, RATE, "FLOAT")
    return path


@settings(max_examples=40)
@given(
    parts=pieces(),
    cuts=st.lists(st.integers(-300, 9300), min_size=1, max_size=8),
    whole=st.booleans(),
    polarity=st.sampled_from([1, -1]),
    gain=st.floats(0.1, 10),
    dc=st.sampled_from([0.0, 0.01]),
    guard=st.integers(0, 40),
)
def test_samples_do_not_depend_on_the_blocks_read(
    recording: Path,
    parts: tuple[Piece, ...],
    cuts: list[int],
    whole: bool,
    polarity: int,
    gain: float,
    dc: float,
    guard: int,
) -> None:
    """In every piece, blocks equal one pass over the whole signal, and the definition of the warp."""
    if whole:
        parts = tuple(Piece(p.start, p.stop, p.positions[:1], (float(round(p.lags[0])),)) for p in parts)
    applied = {"applied_polarity": polarity, "applied_gain": gain, "applied_dc": dc, "guard_samples": guard}
    found = alignment(9000, 0.0, warp="shift" if whole else "sinc", pieces=parts, **applied)
    with WarpedReader(recording, found, channel=1) as wet:
        everything = wet.read(-300, 9300)
        blocks = [wet.read(*block) for block in pairwise([-300, *sorted(cuts), 9300])]
    assert everything.dtype == np.float32
    assert np.array_equal(np.concatenate(blocks), everything)
    plain = interpolate(channel(NOISE[:, 1]), found.timemap, -300 - guard, 9300 - guard)
    assert np.allclose(everything, polarity * gain * (plain - dc), atol=1e-5)


@given(parts=pieces(), guard=st.integers(0, 40))
def test_shift_copies_the_samples_of_each_piece_delayed_by_the_guard(
    recording: Path, parts: tuple[Piece, ...], guard: int
) -> None:
    parts = tuple(Piece(p.start, p.stop, p.positions[:1], (float(round(p.lags[0])),)) for p in parts)
    with WarpedReader(recording, alignment(9000, 0.0, warp="shift", pieces=parts, guard_samples=guard)) as wet:
        for piece in parts:
            lag = int(piece.lags[0])
            # The tile that contains a dropout may follow the adjacent piece.
            start, stop = max(piece.start + 64, -lag), min(piece.stop - 64, 9000 - lag)
            copied = wet.read(start + guard, stop + guard)
            assert np.array_equal(copied, NOISE[start + lag : max(start, stop) + lag, 0])


def test_samples_outside_the_file_are_zero(recording: Path) -> None:
    with WarpedReader(recording, alignment(9000, 100.0, warp="shift", applied_polarity=-1)) as wet:
        assert np.array_equal(wet.read(12, 1012), -NOISE[100:1100, 0])
        assert wet.valid_range() == (0, 8912)
        assert not wet.read(8912, 9000).any()


@settings(max_examples=40)
@given(parts=pieces(), guard=st.integers(0, 40), low=st.integers(0, 500), high=st.integers(8000, 9000))
def test_the_valid_range_depends_only_on_the_file(
    tmp_path_factory: pytest.TempPathFactory, parts: tuple[Piece, ...], guard: int, low: int, high: int
) -> None:
    """A signal of ones stays one in this range: the silence around the wet range has no influence."""
    path = tmp_path_factory.mktemp("ones") / "wet.wav"
    audio.write(path, np.ones(9000, np.float32), RATE, "FLOAT")
    found = alignment(9000, 0.0, pieces=parts, guard_samples=guard, wet_range=(low, high))
    with WarpedReader(path, found) as wet:
        start, stop = wet.valid_range()
        assert 0 <= start <= stop <= 9000
        assert np.allclose(wet.read(start, stop), 1.0, atol=1e-6)
        outside = [wet.read(start - 160, start)] if start > 0 else []
        outside += [wet.read(stop, stop + 160)] if stop < 9000 else []
        # The range is as large as possible.
        assert all(np.abs(samples - 1.0).max() > 1e-3 for samples in outside)


@pytest.mark.parametrize(
    ("changes", "number", "words"),
    [
        ({"verdict": "refused", "reasons": ("it is another reel",)}, 0, "another reel"),
        ({"wet_frames": 4000}, 0, "align it again"),
        ({}, 2, "channel 3"),
        ({}, -1, "channel"),
    ],
)
def test_unusable_alignments_and_files_are_refused(recording: Path, changes: dict, number: int, words: str) -> None:
    with pytest.raises(AlignmentError, match=words):
        WarpedReader(recording, alignment(9000, 3.0, **changes), number)


def test_the_loop_back_channel_has_the_level_and_polarity_of_the_dry_file(write: Write) -> None:
    """It shares the clock of the device channel, without guard delay and repairs."""
    dry = np.random.default_rng(3).uniform(-0.5, 0.5, 5000)
    path = write("wet.wav", np.stack((np.roll(dry, 7) ** 2, -0.5 * dry), axis=1))
    repaired = {"applied_polarity": -1, "applied_gain": 3.0, "applied_dc": 0.1}
    found = alignment(5000, 0.0, warp="shift", reference=Reference(1, -1, 20 * np.log10(0.5)), **repaired)
    by_it = reference_alignment(found)
    assert by_it is not None
    with WarpedReader(path, by_it, channel=1) as loop_back:
        assert np.allclose(loop_back.read(0, 5000), dry, atol=1e-6)
    assert reference_alignment(alignment(5000, 0.0)) is None


def test_the_plot_is_deterministic(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_alignment(alignment(50000, 100.25, 12.0), tmp_path / name)
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    assert b"residual (samples)" in drawn
    plot_alignment(alignment(50000, 0.0, verdict="refused", reasons=("silent",), track=()), tmp_path / "c.svg")
    assert b"silent" in (tmp_path / "c.svg").read_bytes()
