"""Listening to all of it: what shifts nothing and is wrong all the same."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.linear_model import CELL
from twinlib.alignment.residual import Heard, lies_better, listen
from twinlib.alignment.time_map import TimeMap
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme, rush, warped
from .fuzz import music_of

LAG, DRIFT = 500.3, 20.0
SECONDS = 4.0
DRY = rush(SECONDS, depth_db=40.0)
WET = {
    "linear": DRY,
    "saturation": device(DRY, 6.0),
    "filters": filtered(DRY),
    "transformer": circuit(Transformer(), DRY),
    "clipper": circuit(DiodeClipper(), DRY),
}
WET = {name: -0.7 * warped(wet, LAG, DRIFT) for name, wet in WET.items()}


Fault = Callable[[Array, int], int]
LOUD = [at for at in range(RATE // 4, int(SECONDS * RATE) - RATE // 4, 97) if np.std(DRY[at - 256 : at + 1280]) > 0.03]


def heard(wet: Array, dry: Array = DRY) -> Heard:
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(dry))
    return listen(channel(dry), channel(wet), timemap, 0, len(dry), -1)


def repeated(wet: Array, at: int) -> int:
    """A buffer of 1024 samples is played again in place of the next."""
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


@pytest.mark.parametrize(
    ("fault", "names", "least"),
    [
        (repeated, ["linear", "saturation", "transformer", "filters", "clipper"], 0.85),
        (burst, ["linear", "saturation", "transformer", "filters", "clipper"], 0.95),
        (mute, ["linear", "saturation", "transformer", "filters", "clipper"], 1.0),
    ],
)
def test_a_fault_that_shifts_nothing_is_found_where_it_is(fault: Fault, names: list[str], least: float) -> None:
    """To some cells, and nothing else is; a repeated buffer may sound by chance as what it stands for."""
    for name in names:
        hits = []
        for at in np.random.default_rng(0).choice(LOUD, 40).tolist():
            wet = WET[name].copy()
            stop = at + fault(wet, at + round(LAG))
            found = heard(wet).unlike
            assert all(at - 4 * CELL < start and last < stop + 4 * CELL for start, last in found)
            hits.append(any(start < stop + CELL and at - CELL < last for start, last in found))
        assert np.mean(hits) >= least, name


@pytest.mark.parametrize("snr_db", [80, 20])
@pytest.mark.parametrize(
    "played",
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
def test_a_clean_take_holds_nothing_unlike(played: Callable[[Array], Array], snr_db: float) -> None:
    """Whatever the device makes of the programme, and with the noise of a bad recording."""
    for seed, dry in enumerate((programme(SECONDS, 1), DRY)):
        wet = played(dry)
        wet = wet + noise(len(wet), 20 * np.log10(np.std(wet)) - snr_db, seed)
        assert heard(-0.7 * warped(wet, LAG, DRIFT), dry).unlike == ()


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("played", [Transformer(drive=0.6), DiodeClipper(drive=0.5)], ids=["transformer", "clipper"])
def test_a_bass_that_saturates_a_transformer_is_no_damage(seed: int, played: Circuit) -> None:
    """Slices of real music at many levels, as reels hold them, through the devices of the demo."""
    dry = music_of(np.random.default_rng([3, seed]), 40 * RATE)
    wet = circuit(played, dry) + noise(len(dry), -90)
    still = TimeMap.straight(0.0, 0.0, 0, len(dry))
    assert listen(channel(dry), channel(wet), still, 0, len(dry), 1).unlike == ()


def test_silence_and_pauses_hold_nothing_unlike() -> None:
    """Where the dry file is silent the wet one may be digital silence, or noise, or hum."""
    dry = DRY.copy()
    dry[RATE : 3 * RATE] = 0.0
    for level in (-200, -60):
        assert heard(-0.7 * warped(dry, LAG, DRIFT) + noise(len(WET["linear"]), level), dry).unlike == ()
    assert heard(np.zeros(len(DRY)), np.zeros(len(DRY))).unlike == ()


@given(at=st.sampled_from(LOUD), value=st.sampled_from([np.nan, np.inf, -np.inf]), count=st.integers(1, 900))
@settings(max_examples=10)
def test_what_is_no_number_is_found_and_spoils_nothing_else(at: int, value: float, count: int) -> None:
    wet = WET["linear"].copy()
    wet[at + round(LAG) : at + round(LAG) + count] = value
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(DRY))
    found = listen(channel(DRY), replace(channel(wet), exact=True), timemap, 0, len(DRY), -1)
    ((start, stop),) = found.broken
    # The lag has grown by up to four samples there.
    assert at - CELL - 4 <= start <= at + 4
    assert at + count - 4 <= stop <= at + count + CELL + 4
    assert np.isfinite(found.mean)
    assert found.usual > 0.95
    assert all(start - 2 * CELL <= first and last <= stop + 2 * CELL for first, last in found.unlike)


def test_what_lies_elsewhere_is_not_alike() -> None:
    """A second that is late by five milliseconds is told from the rest; the mean of the wet file is its mean."""
    wet = WET["saturation"].copy()
    wet[2 * RATE : 3 * RATE] = wet[2 * RATE - 220 : 3 * RATE - 220]
    found = heard(wet + 0.01)
    assert found.tells
    assert found.alike(RATE // 2, 3 * RATE // 2)
    assert not found.alike(2 * RATE, 3 * RATE)
    assert found.mean == pytest.approx(0.01 + np.mean(wet[500 : 500 + len(DRY)]), abs=1e-4)
    assert not heard(noise(len(WET["linear"]), -20)).tells


@pytest.mark.parametrize("played", [lambda x: x, filtered, lambda x: circuit(Transformer(), x)])
@pytest.mark.parametrize("late", [2, -3, 40])
def test_what_lies_elsewhere_lies_better_there(played: Callable[[Array], Array], late: int) -> None:
    wet = np.concatenate((played(DRY), np.zeros(1000)))
    wet[2 * RATE : 3 * RATE] = np.roll(wet, late)[2 * RATE : 3 * RATE]
    still = TimeMap.straight(0.0, 0.0, 0, len(DRY))
    found = listen(channel(DRY), channel(wet), still, 0, len(DRY), 1)
    moved, right = (2 * RATE + 3000, 3 * RATE - 3000), (RATE // 2, 3 * RATE // 2)
    assert lies_better(channel(DRY), channel(wet), still, found.prediction, 1, moved, float(late))
    for stretch, samples in ((moved, -float(late)), (right, float(late)), (right, 0.0)):
        assert not lies_better(channel(DRY), channel(wet), still, found.prediction, 1, stretch, samples)


def test_noise_that_drowns_the_programme_is_told_from_distortion() -> None:
    assert heard(WET["linear"] + noise(len(WET["linear"]), -12)).drowned > 0.2
    for wet in WET.values():
        assert heard(wet).drowned < 0.05
