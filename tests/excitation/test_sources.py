from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.excitation.factories import add, noise, small
from twinlib.errors import ExcitationError
from twinlib.excitation import sources as sources_module
from twinlib.excitation.sources import Sources, apply_fades, crossfade_ramp, map_channels, rate_ratio, source_frames


@given(st.integers(0, 4000))
@settings(deadline=None)
def test_fades_of_neighbours_add_up_to_constant_power(frames: int) -> None:
    rise = crossfade_ramp(frames)[:, 0].astype(np.float64)
    np.testing.assert_allclose(rise**2 + rise[::-1] ** 2, 1.0, atol=2e-7)
    assert np.all(np.diff(rise) >= 0)


def test_uncorrelated_slices_keep_their_level_through_the_crossfade() -> None:
    rise = crossfade_ramp(3000)
    one, two = (noise(100, level=0.1, seed=seed)[: 3000 * 1000].reshape(1000, 3000, 1) for seed in (1, 2))
    power = np.mean(np.square(one * rise[::-1] + two * rise), axis=0)
    assert np.all(np.abs(10 * np.log10(power / 0.01)) < 1.0)


@given(st.sampled_from([8000, 22050, 32000, 44100, 48000, 96000, 192000]), st.integers(64, 20000))
@settings(deadline=None)
def test_source_frames_cover_the_slice_exactly(rate: int, frames: int) -> None:
    p, q = rate_ratio(rate, 44100)
    assert p * rate == q * 44100
    needed = source_frames(frames, rate, 44100)
    assert needed * p >= frames * q > (needed - 1) * p


@pytest.mark.parametrize(("source", "reel", "which"), [(1, 1, "left"), (2, 2, "mid"), (1, 2, "mid")])
def test_channel_mapping_without_choice(source: int, reel: int, which: str) -> None:
    samples = noise(0.01, source)
    out = map_channels(samples, small(channels=reel, mono_from=which))
    assert out.shape == (len(samples), reel)
    for channel in range(reel):
        np.testing.assert_array_equal(out[:, channel], samples[:, min(channel, source - 1)])


def test_mono_from_a_stereo_source() -> None:
    samples = noise(0.01, 2)
    np.testing.assert_array_equal(map_channels(samples, small(mono_from="left")), samples[:, :1])
    np.testing.assert_array_equal(map_channels(samples, small(mono_from="right")), samples[:, 1:])
    np.testing.assert_allclose(map_channels(samples, small(mono_from="mid"))[:, 0], samples.mean(axis=1), atol=1e-7)


def test_fades_change_neither_the_input_nor_the_middle() -> None:
    samples = np.ones((100, 2), np.float32)
    out = apply_fades(samples, crossfade_ramp(30))
    assert np.all(samples == 1)
    assert np.all(out[30:70] == 1)
    assert np.all(out[:30] < 1)
    np.testing.assert_array_equal(out, out[::-1])
    np.testing.assert_array_equal(apply_fades(samples, crossfade_ramp(0)), samples)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000, 192000])
@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_a_resampled_slice_equals_the_resampled_source(tmp_path: Path, rate: int, place: str) -> None:
    wanted = small(slice_samples=4000)
    samples = noise(2, rate=rate)
    add(tmp_path, "a.wav", samples, rate, "FLOAT")
    p, q = rate_ratio(rate, 44100)
    last = (len(samples) - source_frames(4000, rate, 44100)) // q
    start = q * {"start": 0, "middle": last // 2, "end": last}[place]
    whole = soxr.resample(samples, rate, 44100, quality="HQ")
    expected = whole[start // q * p :][:4000]
    with Sources(tmp_path, wanted) as sources:
        out = sources.slice("a.wav", start)
    assert out.shape == (4000, 1)
    assert np.sqrt(np.mean(np.square(out - expected)) / np.mean(np.square(expected))) < 1e-5


@pytest.mark.parametrize("rate", [32000, 48000, 96000])
def test_a_resampled_sine_has_the_right_pitch_and_time(tmp_path: Path, rate: int) -> None:
    wanted = small(slice_samples=4000)
    add(tmp_path, "a.wav", (0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate))[:, None], rate, "FLOAT")
    q = rate_ratio(rate, 44100)[1]
    start = q * (rate // 2 // q)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * (start / rate + np.arange(4000) / 44100))
    with Sources(tmp_path, wanted) as sources:
        out = sources.slice("a.wav", start)
    np.testing.assert_allclose(out[:, 0], expected, atol=2e-6)


def test_a_start_between_samples_of_the_reel_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "a.wav", noise(1, rate=48000), 48000)
    with Sources(tmp_path, small()) as sources, pytest.raises(ExcitationError, match="multiple of 160"):
        sources.slice("a.wav", 1)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_slice_beyond_the_end_is_refused(tmp_path: Path, rate: int) -> None:
    add(tmp_path, "a.wav", noise(0.2, rate=rate), rate)
    with Sources(tmp_path, small()) as sources, pytest.raises(ExcitationError, match="out of range"):
        sources.slice("a.wav", round(0.2 * rate) // 160 * 160 - 160)


def test_nan_in_a_source_is_refused_by_name(tmp_path: Path) -> None:
    samples = noise(1)
    samples[22050] = np.nan
    add(tmp_path, "a.wav", samples, subtype="FLOAT")
    with Sources(tmp_path, small()) as sources, pytest.raises(ExcitationError, match=r"a\.wav .*NaN.* near 0\.49 s"):
        sources.slice("a.wav", 21500)


def test_missing_and_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF no sound")
    with Sources(tmp_path, small()) as sources:
        for name in ("missing.wav", "broken.wav"):
            with pytest.raises(ExcitationError, match=name):
                sources.slice(name, 0)


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "OPEN_FILES", 3)
    for number in range(6):
        add(tmp_path, f"{number}.wav", noise(0.1, seed=number))
    with Sources(tmp_path, small()) as sources:
        first = [sources.slice(f"{number}.wav", 0) for number in range(6)]
        again = [sources.slice(f"{number}.wav", 0) for number in reversed(range(6))]
        assert len(sources._open) == 3
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)
