from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr

from tests.excitation.probing import probe_samples
from twinlib import audio
from twinlib.alignment.probe_take import align_probe_take
from twinlib.alignment.result import Alignment
from twinlib.alignment.warp import WarpedReader
from twinlib.excitation.probe_reel import probe_layout

RATE = 22050
PLAN = probe_layout(RATE)


@pytest.fixture(scope="module")
def reel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reel") / "probe.wav"
    audio.write(path, probe_samples(PLAN), RATE, "FLOAT")
    return path


def recorded(reel: Path, out: Path, lag: int = 5000, drift_ppm: float = 0.0, gain: float = 1.0) -> np.ndarray:
    """The reel recorded with another clock."""
    dry = audio.read(reel)[:, 0].astype(np.float64)
    wet = soxr.resample(dry, 1.0, 1.0 + 1e-6 * drift_ppm, quality="VHQ") if drift_ppm else dry
    wet = gain * np.concatenate([np.zeros(lag), wet, np.zeros(5000)])
    wet = (wet + 1e-5 * np.random.default_rng(1).standard_normal(len(wet))).astype(np.float32)
    audio.write(out, wet, RATE, "FLOAT")
    return wet


@pytest.mark.parametrize(("lag", "drift", "gain"), [(0, 0.0, 1.0), (5000, 25.0, -0.5), (77777, -120.0, 0.1)])
def test_lag_drift_polarity_and_gain_are_measured(
    reel: Path, tmp_path: Path, lag: int, drift: float, gain: float
) -> None:
    recorded(reel, tmp_path / "take.wav", lag, drift, gain)
    found = align_probe_take(reel, tmp_path / "take.wav", PLAN.clicks)
    assert (found.verdict, found.reasons) == ("ok", ())
    assert found.lag_samples == pytest.approx(lag, abs=0.002)
    assert found.drift_ppm == pytest.approx(drift, abs=0.002)
    assert found.polarity == np.sign(gain)
    assert found.gain_db == pytest.approx(20 * np.log10(abs(gain)), abs=0.01)
    assert len(found.track) == len(PLAN.clicks)
    with WarpedReader(tmp_path / "take.wav", found) as wet:
        (music,) = PLAN.of("music")[:1]
        aligned = wet.read(music.start + found.guard_samples, music.stop + found.guard_samples)
    dry = audio.read(reel, music.start, music.stop)[:, 0]
    # No resampler keeps noise up to the Nyquist frequency: compare the lower band.
    low = np.fft.rfft(aligned - abs(gain) * dry)[: len(dry) // 3]
    assert np.sqrt(np.mean(np.abs(low) ** 2)) < 2e-3 * np.sqrt(np.mean(np.abs(np.fft.rfft(gain * dry)) ** 2))


@pytest.mark.parametrize(("lost", "word"), [(3, "3 samples were lost"), (-40, "40 samples were repeated")])
def test_lost_samples_are_refused_and_located(reel: Path, tmp_path: Path, lost: int, word: str) -> None:
    wet = recorded(reel, tmp_path / "take.wav")
    place = PLAN.of("sine")[20].start + 5000
    damaged = np.concatenate([wet[:place], wet[place + lost :]])
    audio.write(tmp_path / "take.wav", damaged, RATE, "FLOAT")
    found = align_probe_take(reel, tmp_path / "take.wav", PLAN.clicks)
    assert found.verdict == "refused"
    assert word in found.reasons[0]
    low, high = (
        float(part.split()[-1]) for part in found.reasons[0].split("between ")[1].split(" s of")[0].split(" s and")
    )
    assert low < place / RATE < high


def test_a_truncated_take_is_suspect_and_another_recording_is_refused(reel: Path, tmp_path: Path) -> None:
    wet = recorded(reel, tmp_path / "take.wav")
    audio.write(tmp_path / "short.wav", wet[: round(0.9 * len(wet))], RATE, "FLOAT")
    short = align_probe_take(reel, tmp_path / "short.wav", PLAN.clicks)
    assert short.verdict == "suspect"
    assert "clicks are missing or damaged" in short.reasons[0]
    noise = 0.1 * np.random.default_rng(2).standard_normal(20 * RATE)
    audio.write(tmp_path / "other.wav", noise.astype(np.float32), RATE, "FLOAT")
    other = align_probe_take(reel, tmp_path / "other.wav", PLAN.clicks)
    assert other.verdict == "refused"
    assert "clicks were found" in other.reasons[0]


def test_the_loop_back_channel_gives_the_clock(reel: Path, tmp_path: Path) -> None:
    dry = audio.read(reel)[:, 0]
    silence = np.zeros(4000, np.float32)
    loop = np.concatenate([silence, 0.5 * dry, silence])
    device = np.concatenate([silence, np.zeros(7, np.float32), -0.8 * dry, silence[7:]])
    audio.write(tmp_path / "take.wav", np.stack([device, loop], axis=1), RATE, "FLOAT")
    found = align_probe_take(reel, tmp_path / "take.wav", PLAN.clicks, reference_channel=1)
    assert found.verdict == "ok"
    assert found.lag_samples == pytest.approx(4000, abs=1e-3)
    assert found.polarity == -1
    assert found.reference is not None
    assert found.reference.polarity == 1
    assert found.reference.gain_db == pytest.approx(20 * np.log10(0.5), abs=0.01)


def test_the_level_is_corrected_as_in_the_takes_of_music(reel: Path, tmp_path: Path) -> None:
    """The gain of a saturating device differs between clicks and the music used for training."""
    dry = audio.read(reel)[:, 0]
    silence = np.zeros(4000, np.float32)
    wet = np.concatenate([silence, np.tanh(5 * dry) + 0.01, silence])
    audio.write(tmp_path / "take.wav", wet, RATE, "FLOAT")
    plain = align_probe_take(reel, tmp_path / "take.wav", PLAN.clicks)
    assert (plain.verdict, plain.applied_gain, plain.applied_dc) == ("ok", 1.0, 0.0)
    assert plain.gain_db < 20 * np.log10(5) - 3, "the clicks saturate"
    music = [
        replace(plain, applied_gain=0.2, applied_dc=0.0125),
        replace(plain, applied_gain=0.21, applied_dc=0.0075),
        replace(plain, verdict="refused", applied_gain=7.0),
    ]

    def found(programme: list[Alignment]) -> Alignment:
        return align_probe_take(reel, tmp_path / "take.wav", PLAN.clicks, repair=["gain", "dc"], programme=programme)

    repaired = found(music)
    assert repaired.verdict == "ok"
    assert repaired.applied_gain == pytest.approx(np.sqrt(0.2 * 0.21))
    assert repaired.applied_dc == pytest.approx(0.01)
    assert replace(repaired, applied_gain=1.0, applied_dc=0.0) == plain
    unsure = found([music[0], replace(plain, applied_gain=0.4)])
    assert unsure.verdict == "suspect"
    assert "6.0 dB apart" in unsure.reasons[0]
    unknown = found(music[2:])
    assert unknown.verdict == "refused"
    assert "leave gain and dc out of `repair`" in unknown.reasons[0]
