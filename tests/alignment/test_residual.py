"""The residual scan finds faults that do not shift the rest of the take."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.residual import ResidualScan, improves_with_shift, scan_residual
from twinlib.estimation.linear_model import FRAME
from twinlib.resampling.time_map import TimeMap
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme, rush, warped
from .fuzz import music_of

LAG, DRIFT = 500.3, 20.0
SECONDS = 4.0
DRY = rush(SECONDS, depth_db=40.0)
DEVICES: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "saturation": lambda x: device(x, 6.0),
    "filters": filtered,
    "transformer": lambda x: circuit(Transformer(), x),
    "clipper": lambda x: circuit(DiodeClipper(), x),
}


@cache
def played(name: str) -> Array:
    """The take of `DRY` through a device. Read-only."""
    return np.asarray(-0.7 * warped(DEVICES[name](DRY), LAG, DRIFT))


Fault = Callable[[Array, int], int]
LOUD = [at for at in range(RATE // 4, int(SECONDS * RATE) - RATE // 4, 97) if np.std(DRY[at - 256 : at + 1280]) > 0.03]


def scan(wet: Array, dry: Array = DRY) -> ResidualScan:
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(dry))
    return scan_residual(channel(dry), channel(wet), timemap, 0, len(dry), -1)


def repeated(wet: Array, at: int) -> int:
    """A buffer of 1024 samples replaces the next one."""
    wet[at : at + 1024] = wet[at - 1024 : at]
    return 1024


def burst(wet: Array, at: int) -> int:
    """Forty-six milliseconds of noise at full scale."""
    wet[at : at + 2048] += noise(2048, 0, at)
    return 2048


def mute(wet: Array, at: int) -> int:
    """Three milliseconds of digital zeros."""
    wet[at : at + 132] = 0.0
    return 132


@pytest.mark.parametrize(("fault", "least"), [(repeated, 0.8), (burst, 0.9), (mute, 1.0)])
def test_local_faults_are_located(fault: Fault, least: float) -> None:
    """To a few frames, without false alarms, although a repeated buffer may resemble the one it replaces."""
    for name in DEVICES:
        hits = []
        for at in np.random.default_rng(0).choice(LOUD, 15).tolist():
            wet = played(name).copy()
            stop = at + fault(wet, at + round(LAG))
            found = scan(wet).outliers
            assert all(at - 4 * FRAME < start and last < stop + 4 * FRAME for start, last in found)
            hits.append(any(start < stop + FRAME and at - FRAME < last for start, last in found))
        assert np.mean(hits) >= least, name


def fuzz_tone(x: Array) -> Array:
    """A square wave with the pitch of the programme."""
    return filtered(np.tanh(600.0 * x))


@pytest.mark.parametrize("name", ["transformer", "clipper", "fuzz"])
@pytest.mark.parametrize(("milliseconds", "least"), [(3.0, 0.9), (5.0, 1.0), (10.0, 1.0)])
def test_mutes_of_milliseconds_are_found_whole(name: str, milliseconds: float, least: float) -> None:
    """They are not digital silence: the noise of the recording goes on."""
    wet = -0.7 * warped(fuzz_tone(DRY), LAG, DRIFT) if name == "fuzz" else played(name)
    wet = wet + noise(len(wet), -90)
    length, places = round(1e-3 * milliseconds * RATE), np.random.default_rng(1).choice(LOUD, 40)
    places = [int(at) for number, at in enumerate(places) if np.abs(places[:number] - at).min(initial=RATE) > RATE // 4]
    for at in places:
        wet[at + round(LAG) : at + round(LAG) + length] *= 1e-4
    result = scan(wet)
    spans = [*result.brief, *result.outliers]
    whole = [any(start <= at and at + length <= stop for start, stop in spans) for at in places]
    assert np.mean(whole) >= least
    assert all(any(start < at + length and at < stop for at in places) for start, stop in spans)


@pytest.mark.parametrize(
    "effect",
    [
        lambda x: x,
        lambda x: device(x, 20.0),
        filtered,
        lambda x: circuit(Transformer(), x),
        lambda x: circuit(Transformer(drive=1.0), x),
        lambda x: circuit(DiodeClipper(), x),
        lambda x: circuit(DiodeClipper(drive=1.0), x),
        lambda x: np.sign(x) * np.abs(x) ** 0.3,
    ],
    ids=["wire", "fuzz", "filters", "transformer", "small core", "clipper", "hot clipper", "compander"],
)
def test_a_clean_take_has_no_outliers(effect: Callable[[Array], Array]) -> None:
    """For any device, even with the noise of a bad recording."""
    for seed, dry in enumerate((programme(SECONDS, 1), DRY)):
        wet = -0.7 * warped(effect(dry), LAG, DRIFT)
        for snr_db in (80, 20):
            hiss = noise(len(wet), 20 * np.log10(np.std(wet)) - snr_db, seed)
            assert scan(wet + hiss, dry).outliers == (), snr_db


@pytest.mark.parametrize(
    ("effect", "seed"), [(Transformer(drive=0.6), 2), (DiodeClipper(drive=0.5), 3)], ids=["transformer", "clipper"]
)
def test_saturating_bass_is_not_an_outlier(effect: Circuit, seed: int) -> None:
    """Test with slices of real music at many levels through the devices of the demo."""
    dry = music_of(np.random.default_rng([3, seed]), 40 * RATE)
    wet = circuit(effect, dry) + noise(len(dry), -90)
    still = TimeMap.straight(0.0, 0.0, 0, len(dry))
    assert scan_residual(channel(dry), channel(wet), still, 0, len(dry), 1).outliers == ()


@pytest.mark.parametrize("noise_dbfs", [-35, -40])
def test_noise_around_a_fault_is_not_part_of_it(noise_dbfs: int) -> None:
    """It raises the residual of a whole soft passage."""
    soft, at = slice(2 * RATE, round(3.5 * RATE)), round(2.2 * RATE)
    dry = rush(6.0, 5, depth_db=3.0)
    dry[soft] *= 0.1
    wet = -0.7 * warped(dry, LAG, DRIFT)
    wet += noise(len(wet), noise_dbfs)
    wet[at + round(LAG) : at + round(LAG) + 1200] *= -1.5
    (fault,) = scan(wet, dry).outliers
    assert at - 4 * FRAME < fault[0] <= at + 2 * FRAME
    assert at + 1200 - 2 * FRAME <= fault[1] < at + 1200 + 4 * FRAME


def test_a_rectifier_without_pauses_is_not_noisy() -> None:
    """Its output resembles noise to a linear model, but noise does not follow the programme."""
    rectified = np.abs(played("filters"))
    assert scan(rectified - rectified.mean()).low_snr_share == 0.0
    assert scan(played("linear") + noise(len(played("linear")), -12)).low_snr_share > 0.2


def test_silence_and_pauses_have_no_outliers() -> None:
    """Where the dry file is silent, the wet file may be silent or noisy."""
    dry = DRY.copy()
    dry[RATE : 3 * RATE] = 0.0
    for level in (-200, -60):
        assert scan(-0.7 * warped(dry, LAG, DRIFT) + noise(len(played("linear")), level), dry).outliers == ()
    assert scan(np.zeros(len(DRY)), np.zeros(len(DRY))).outliers == ()


@given(at=st.sampled_from(LOUD), value=st.sampled_from([np.nan, np.inf, -np.inf]), count=st.integers(1, 900))
@settings(max_examples=10)
def test_non_finite_samples_are_located_and_affect_nothing_else(at: int, value: float, count: int) -> None:
    wet = played("linear").copy()
    wet[at + round(LAG) : at + round(LAG) + count] = value
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(DRY))
    found = scan_residual(channel(DRY), replace(channel(wet), exact=True), timemap, 0, len(DRY), -1)
    ((start, stop),) = found.non_finite
    # The lag has grown by up to four samples there.
    assert at - FRAME - 4 <= start <= at + 4
    assert at + count - 4 <= stop <= at + count + FRAME + 4
    assert np.isfinite(found.mean)
    assert found.correlation > 0.95
    assert all(start - 2 * FRAME <= first and last <= stop + 2 * FRAME for first, last in found.outliers)


def test_a_delayed_second_is_not_similar() -> None:
    """The delay is five milliseconds; the mean is that of the wet file."""
    wet = played("saturation").copy()
    wet[2 * RATE : 3 * RATE] = wet[2 * RATE - 220 : 3 * RATE - 220]
    found = scan(wet + 0.01)
    assert found.is_informative
    assert found.is_similar(RATE // 2, 3 * RATE // 2)
    assert not found.is_similar(2 * RATE, 3 * RATE)
    assert found.mean == pytest.approx(0.01 + np.mean(wet[500 : 500 + len(DRY)]), abs=1e-4)
    assert not scan(noise(len(played("linear")), -20)).is_informative


@pytest.mark.parametrize("name", ["linear", "filters", "transformer"])
@pytest.mark.parametrize("late", [2, -3, 40])
def test_only_the_true_shift_improves_the_residual(name: str, late: int) -> None:
    wet = np.concatenate((DEVICES[name](DRY), np.zeros(1000)))
    wet[2 * RATE : 3 * RATE] = np.roll(wet, late)[2 * RATE : 3 * RATE]
    still = TimeMap.straight(0.0, 0.0, 0, len(DRY))
    found = scan_residual(channel(DRY), channel(wet), still, 0, len(DRY), 1)
    moved, right = (2 * RATE + 3000, 3 * RATE - 3000), (RATE // 2, 3 * RATE // 2)
    assert improves_with_shift(channel(DRY), channel(wet), still, found.model, 1, moved, float(late))
    for stretch, samples in ((moved, -float(late)), (right, float(late)), (right, 0.0)):
        assert not improves_with_shift(channel(DRY), channel(wet), still, found.model, 1, stretch, samples)


def test_masking_noise_differs_from_distortion() -> None:
    assert scan(played("linear") + noise(len(played("linear")), -12)).low_snr_share > 0.2
    for name in DEVICES:
        assert scan(played(name)).low_snr_share < 0.05
