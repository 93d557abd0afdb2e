"""Tones of a reel: their steady parts in the segments, and crops of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import GUARD, RATE, SETTINGS, Reel, reel, source, write
from twinlib.dataset.loader import Crops
from twinlib.dataset.segments import find_tones, tile_reel
from twinlib.excitation.tones import TONES, make_tone

FIELD, CROP, FADE, HOP = 61, 64, 100, 500
NAMES = ("tone:441.000Hz", "tone:1234.500Hz")


def reel_with_tones(seed: int = 0) -> Reel:
    """The reel of the factories, with two tones of three slices each among the twelve of training."""
    made = reel(seed)
    for name, first in zip(NAMES, (2, 7), strict=True):
        for number in range(3):
            columns = ["track_id", "artist", "source", "source_start", "source_stop"]
            values = [TONES, TONES, name, number * HOP, number * HOP + HOP + FADE]
            made.cues.loc[first + number, columns] = values
    return made


def dry_samples(made: Reel) -> np.ndarray:
    """Noise, with the tones where they are steady, and their slices' crossfades left as noise."""
    dry = np.random.default_rng(1).uniform(-1, 1, made.frames).astype(np.float32)
    for name, slices in made.cues[made.cues.track_id == TONES].groupby("source"):
        start, stop = slices.start.min() + FADE, slices.stop.max() - FADE
        dry[start:stop] = make_tone(str(name), FADE, stop - start, RATE)
    return dry


def test_a_tone_lies_between_its_crossfades() -> None:
    made = reel_with_tones()
    found = find_tones(made.cues)
    slices = [made.cues[made.cues.source == name] for name in NAMES]
    assert [(tone.start, tone.stop) for tone in found] == [(s.start.min() + FADE, s.stop.max() - FADE) for s in slices]
    assert [tone.hz for tone in found] == [441.0, 1234.5]
    assert find_tones(reel().cues) == []


def written(folder: Path, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    made = reel_with_tones(seed)
    origin, dry = source(made.frames), dry_samples(made)
    table = tile_reel(origin, made.cues, made.entry, SETTINGS)
    return write(folder, table, origin, dry, np.tanh(np.roll(dry, GUARD))), dry


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 20), step=st.integers(0, 10_000))
def test_crops_of_tones_have_a_steady_receptive_field(
    tmp_path_factory: pytest.TempPathFactory, seed: int, step: int
) -> None:
    folder = tmp_path_factory.mktemp("tones")
    table, _ = written(folder, seed)
    crops = Crops(table, folder, "train", CROP, FIELD, 4, seed, [1, 3])
    assert crops.tone_positions
    hertz = crops.tone_hertz(step)
    assert hertz[[0, 2]].tolist() == [0.0, 0.0]
    assert set(hertz[[1, 3]]) <= {441.0, 1234.5}
    dry, wet = crops.batch(step)
    assert (dry.shape, wet.shape) == ((4, FIELD - 1 + CROP), (4, CROP))
    for row in (1, 3):
        angle = 2 * np.pi * hertz[row] / RATE * np.arange(dry.shape[1])
        basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        amplitudes, *_ = np.linalg.lstsq(basis, dry[row], rcond=None)
        assert dry[row] == pytest.approx(basis @ amplitudes, abs=1e-4)
        assert np.hypot(*amplitudes) == pytest.approx(1.0, abs=1e-3)
    again = Crops(table, folder, "train", CROP, FIELD, 4, seed, [1, 3])
    assert np.array_equal(again.batch(step)[0], dry)


def test_without_tones_the_crops_are_those_of_music(tmp_path: Path) -> None:
    made = reel()
    origin = source(made.frames)
    table = write(tmp_path, tile_reel(origin, made.cues, made.entry, SETTINGS), origin, *[dry_samples(made)] * 2)
    assert (table[["tone_hz", "tone_start", "tone_stop"]] == 0).all(axis=None)
    plain, slots = (Crops(table, tmp_path, "train", CROP, FIELD, 4, 0, chosen) for chosen in ((), [3]))
    assert slots.tone_positions == 0
    assert plain.places(5) == slots.places(5)


def test_music_crops_do_not_depend_on_the_slots_of_tones(tmp_path: Path) -> None:
    table, _ = written(tmp_path, 0)
    plain, slots = (Crops(table, tmp_path, "train", CROP, FIELD, 4, 0, chosen) for chosen in ((), [3]))
    assert plain.places(5)[:3] == slots.places(5)[:3]
    assert plain.places(5)[3] != slots.places(5)[3]
