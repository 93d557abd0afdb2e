import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.copied import RATE, recordings
from twinlib import audio
from twinlib.dataset.fingerprint import BANDS, STEP_SECONDS, compute_codes, fingerprint_reel, source_rate
from twinlib.errors import DatasetError
from twinlib.excitation.sources import source_frames
from twinlib.files import sha256_file, write_table


@pytest.fixture(scope="module")
def music() -> audio.Signal:
    """Guitar and drums, `(frames,)`."""
    return np.concatenate(
        [samples.mean(axis=1) for samples, _ in recordings(("SubD_GuitarEFifths", "Lezaarth_LoopTabla")).values()]
    )


def codes(samples: audio.Signal, rate: int = RATE, first: int = 0) -> tuple[np.ndarray, ...]:
    starts = np.arange(first, len(samples) - round(0.04 * rate), round(STEP_SECONDS * rate))
    return compute_codes(samples, starts, rate)


def sheet(*cues: tuple[int, int, int]) -> pd.DataFrame:
    """Cues of a source at the reel's rate: start, stop, source_start."""
    rows = [(start, stop, origin, origin + stop - start) for start, stop, origin in cues]
    return pd.DataFrame(rows, columns=["start", "stop", "source_start", "source_stop"]).assign(source="song.wav")


def prints(path: Path, cues: pd.DataFrame) -> pd.DataFrame:
    with audio.Reader(path) as reader:
        return fingerprint_reel(reader, cues)


@given(gain_db=st.floats(-30, 0))
@settings(max_examples=5)
def test_codes_do_not_depend_on_gain(music: audio.Signal, gain_db: float) -> None:
    plain, _, valid = codes(music)
    louder, *_ = codes(music * np.float32(10 ** (gain_db / 20)))
    assert np.mean(plain[valid] == louder[valid]) > 0.99
    assert len(set(plain[valid].tolist())) > 0.5 * valid.sum(), "codes distinguish positions"
    assert plain.max() < 1 << (BANDS - 1)


def test_codes_tolerate_half_a_step_but_differ_between_positions(music: audio.Signal) -> None:
    plain, weak, valid = codes(music)
    later, *_ = codes(music, first=round(STEP_SECONDS * RATE / 2))
    count = min(len(plain), len(later))
    near = (plain[:count] ^ later[:count]) & ~weak[:count] == 0
    assert np.mean(near[valid[:count]]) > 0.15
    assert np.mean(plain[valid] == np.roll(plain, 200)[valid]) < 0.01


def test_steady_and_silent_sounds_have_no_codes() -> None:
    time = np.arange(2 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 277.2, 329.6, 1000.0))
    for still in (0 * time, 0.2 * np.asarray(chord), np.full(len(time), 0.3), 1e-5 * np.asarray(chord)):
        assert not codes(still.astype(np.float32))[2].any()
    hiss = np.random.default_rng(0).normal(0, 0.1, len(time)).astype(np.float32)
    assert codes(hiss)[2].all(), "noise has codes"


@given(source=st.sampled_from([8000, 22050, 44100, 48000, 88200, 96000]), reel=st.sampled_from([44100, 48000, 96000]),
       frames=st.integers(4000, 20_000))  # fmt: skip
def test_the_rate_of_a_source_follows_from_its_cues(source: int, reel: int, frames: int) -> None:
    assert source_rate(source_frames(frames, source, reel), frames, reel) == source


def test_an_uncommon_rate_is_approximated(music: audio.Signal) -> None:
    assert source_rate(source_frames(10_000, 41_234, 44_100), 10_000, 44_100) == pytest.approx(41_234, rel=2e-4)


def test_overlapping_slices_have_equal_codes_on_the_source_clock(music: audio.Signal, tmp_path: Path) -> None:
    first, second, length = 20_000, 22_345, 10_096
    silence = np.zeros(3000, np.float32)
    parts = [silence, music[first : first + length], silence, music[second : second + length], silence]
    audio.write(tmp_path / "reel.wav", np.concatenate(parts), RATE, "PCM_24")
    cues = sheet((3000, 3000 + length, first), (6000 + length, 6000 + 2 * length, second))
    cues.index = pd.Index([7, 3])
    found = prints(tmp_path / "reel.wav", cues)
    assert set(found["cue"]) == {7, 3}
    one, other = (found[found["cue"] == cue].set_index("frame") for cue in (7, 3))
    both = one.index.intersection(other.index)
    assert len(both) > 10
    # Steps of half samples may be rounded up or down.
    assert (one.loc[both, "code"] == other.loc[both, "code"]).mean() > 0.9
    middle = (one["at"] - 3000 + first) / RATE
    np.testing.assert_allclose(middle - one.index * STEP_SECONDS, (middle - one.index * STEP_SECONDS).mean(), atol=1e-4)


def test_a_crossfade_is_divided_in_the_middle(music: audio.Signal, tmp_path: Path) -> None:
    audio.write(tmp_path / "reel.wav", music[:60_000], RATE, "PCM_16")
    cues = sheet((0, 20_000, 0), (14_000, 34_000, 0), (34_000, 60_000, 0))
    found = prints(tmp_path / "reel.wav", cues)
    for cue, (begin, end) in enumerate([(0, 17_000), (17_000, 34_000), (34_000, 60_000)]):
        at = found.loc[found["cue"] == cue, "at"]
        half = (round(0.04 * RATE) + 4 * round(STEP_SECONDS * RATE)) // 2
        assert begin + half - 3 <= at.min() <= at.max() <= end - half + 3


def test_short_slices_have_no_codes(music: audio.Signal, tmp_path: Path) -> None:
    audio.write(tmp_path / "reel.wav", music[:20_000], RATE, "PCM_16")
    assert len(prints(tmp_path / "reel.wav", sheet((0, 64, 0), (100, 2400, 5)))) == 0
    assert len(prints(tmp_path / "reel.wav", sheet())) == 0


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (96_000, 2)])
def test_other_rates_and_channels(rate: int, channels: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (rate, channels)).astype(np.float32)
    audio.write(tmp_path / "reel.wav", samples, rate, "PCM_16")
    found = prints(tmp_path / "reel.wav", sheet((0, rate, 0)))
    assert len(found) == pytest.approx((1 - 0.06) / STEP_SECONDS, abs=3)


def test_a_cue_outside_the_reel_is_rejected(music: audio.Signal, tmp_path: Path) -> None:
    audio.write(tmp_path / "reel.wav", music[:20_000], RATE, "PCM_16")
    with pytest.raises(DatasetError, match=r"reel\.wav has 20000 samples, but the cue sheet extends to 20001"):
        prints(tmp_path / "reel.wav", sheet((0, 10_000, 0), (10_000, 20_001, 0)))


def test_tables_are_reproducible(music: audio.Signal, tmp_path: Path) -> None:
    audio.write(tmp_path / "reel.wav", music, RATE, "PCM_16")
    cues = sheet(*((start, start + 10_000, 3 * start) for start in range(0, 200_000, 7000)))
    for name in ("a", "b"):
        write_table(tmp_path / name, "fingerprints/1", prints(tmp_path / "reel.wav", cues))
    write_table(tmp_path / "c", "fingerprints/1", prints(tmp_path / "reel.wav", cues.sample(frac=1, random_state=1)))
    assert len({sha256_file(tmp_path / name) for name in ("a", "b", "c")}) == 1


def test_memory_does_not_grow_with_the_reel(tmp_path: Path) -> None:
    peaks = []
    for seconds in (20, 120):
        with audio.Writer(tmp_path / "reel.wav", RATE, 1, "PCM_16") as writer:
            for _ in range(seconds):
                writer.write(np.zeros(RATE, np.float32))
        tracemalloc.start()
        prints(tmp_path / "reel.wav", sheet((0, seconds * RATE, 0)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 1e6


def test_a_sweep_has_no_fingerprint(tmp_path: Path, music: audio.Signal) -> None:
    audio.write(tmp_path / "reel.wav", music[: 3 * RATE], RATE, "PCM_24")
    cues = sheet((0, RATE, 0), (RATE, 2 * RATE, 0), (2 * RATE, 3 * RATE, 0))
    every = prints(tmp_path / "reel.wav", cues)
    cues.loc[1, "source"] = "sweep:100.00-5000.00Hz"
    left = prints(tmp_path / "reel.wav", cues)
    assert set(every["cue"]) == {0, 1, 2}
    pd.testing.assert_frame_equal(left, every[every["cue"] != 1].reset_index(drop=True))
