"""Takes with a loop-back channel, which gives the clock and replaces the dry signal."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from twinlib import audio
from twinlib.alignment.pipeline import Alignment, align
from twinlib.alignment.warp import WarpedReader, reference_alignment

from .conftest import CLICK, RATE, Array, Write, decibels, device, noise, reel, warped

LAG, DRIFT = 4321.37, 15.0


def turned(x: Array) -> Array:
    """A device of three all-passes, which delay by several samples without changing the magnitude."""
    for hertz in (300.0, 1500.0, 5000.0):
        t = np.tan(np.pi * hertz / RATE)
        c = (t - 1) / (t + 1)
        x = lfilter([c, 1.0], [1.0, c], x)
    return np.asarray(x)


Take = tuple[Path, Path, Array, list[int], Alignment]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    """A reel, its stereo take, the device signal on the dry clock, the clicks, and the alignment by channel 1."""
    folder = tmp_path_factory.mktemp("loop-back")
    dry, clicks = reel(8.0, seed=4)
    played = -0.7 * turned(device(dry))
    sides = [warped(played, LAG, DRIFT), -0.5 * warped(dry, LAG, DRIFT)]
    wet = np.stack([side + noise(len(side), -85, seed) for seed, side in enumerate(sides)], axis=1)
    for name, samples in (("dry.wav", dry), ("wet.wav", wet)):
        audio.write(folder / name, samples.astype(np.float32), RATE, "FLOAT")
    dry_path, wet_path = folder / "dry.wav", folder / "wet.wav"
    found = align(dry_path, wet_path, channel=0, reference_channel=1, clicks=clicks, guard_samples=16)
    return dry_path, wet_path, played, clicks, found


def test_the_device_does_not_affect_the_clock(take: Take) -> None:
    """Without the loop-back channel, the phase of the device would appear as a lag of some samples."""
    dry_path, wet_path, _, clicks, found = take
    assert found.verdict == "ok", found.reasons
    assert found.lag_samples == pytest.approx(LAG, abs=0.005)
    assert found.drift_ppm == pytest.approx(DRIFT, abs=0.02)
    assert found.warp == "sinc"
    alone = align(dry_path, wet_path, channel=0, clicks=clicks)
    assert abs(alone.lag_samples - LAG) > 0.5


def test_gain_and_polarity_are_those_of_each_channel(take: Take) -> None:
    found = take[-1]
    assert found.reference is not None
    assert (found.reference.channel, found.reference.polarity) == (1, -1)
    assert found.reference.gain_db == pytest.approx(20 * np.log10(0.5), abs=0.02)
    assert found.polarity == -1


def test_both_channels_share_one_clock(take: Take) -> None:
    """The loop-back equals the dry file; the device channel has the guard delay and corrected polarity."""
    dry_path, wet_path, played, clicks, found = take
    dry = audio.read(dry_path)[:, 0]
    music = slice(clicks[0] + CLICK, clicks[1])
    by_loop_back = reference_alignment(found)
    assert by_loop_back is not None
    with WarpedReader(wet_path, by_loop_back, channel=1) as loop_back:
        assert decibels(dry[music], loop_back.read(music.start, music.stop)) > 55
    with WarpedReader(wet_path, found, channel=0) as wet:
        assert decibels(-played[music], wet.read(music.start + 16, music.stop + 16)) > 55


def test_a_missing_device_signal_is_refused(take: Take, write: Write) -> None:
    """The loop-back has the programme, but the device channel has only noise."""
    dry_path, wet_path, _, clicks, _ = take
    sides = audio.read(wet_path)
    sides[:, 0] = noise(len(sides), -60)
    found = align(dry_path, write("wet.wav", sides), channel=0, reference_channel=1, clicks=clicks)
    assert found.verdict == "refused"
    assert found.reasons


def test_a_silent_loop_back_is_refused(take: Take, write: Write) -> None:
    dry_path, wet_path, _, clicks, _ = take
    sides = audio.read(wet_path)
    sides[:, 1] = 0.0
    found = align(dry_path, write("wet.wav", sides), channel=0, reference_channel=1, clicks=clicks)
    assert found.verdict == "refused"
    assert "silent" in found.reasons[0]
