"""Some milliseconds that answer to another place: moved and back, or played twice."""

from collections.abc import Callable

import numpy as np
import pytest

from twinlib.alignment.elsewhere import LEAST_GAIN, moved, place_of
from twinlib.alignment.linear_model import CELL
from twinlib.alignment.residual import listen
from twinlib.alignment.time_map import TimeMap
from twinlib.simulation.settings import DiodeClipper, Transformer

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, rush, warped
from .fuzz import music_of

LAG, DRIFT = 500.3, 20.0
DRY = rush(4.0, depth_db=20.0)
WET = {
    "linear": DRY,
    "saturation": device(DRY, 2.0),
    "filters": filtered(DRY),
    "transformer": circuit(Transformer(), DRY),
}


def recorded(played: Array) -> Array:
    """Upside down, later, by another clock, and with some noise."""
    wet = -0.7 * warped(played, LAG, DRIFT)
    return wet + noise(len(wet), -75)


WET = {name: recorded(wet) for name, wet in WET.items()}


def found(wet: Array, dry: Array = DRY) -> list[tuple[int, int, int]]:
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(dry))
    two = channel(dry), channel(wet)
    heard = listen(*two, timemap, 0, len(dry), -1)
    return moved(*two, timemap, heard.prediction, -1, heard.odd)


@pytest.mark.parametrize("later", [-2000, -300, -12, -3, 2, 5, 80, 1500])
@pytest.mark.parametrize("name", list(WET))
def test_a_stretch_that_was_moved_is_found_and_by_how_much(name: str, later: int) -> None:
    """Of 30 ms, anywhere in the programme: seven of eight at least, to a cell or two, and nothing beside them."""
    hits = 0
    for at in np.random.default_rng(later + 2000).integers(RATE // 2, 3 * RATE, 8).tolist():
        wet = WET[name].copy()
        place = at + round(LAG)
        wet[place : place + 1323] = WET[name][place + later : place + later + 1323]
        said = found(wet)
        assert all(at - 3 * CELL < start and stop < at + 1323 + 3 * CELL for start, stop, _ in said)
        assert all(abs(how - later) <= 1 for _, _, how in said)
        hits += bool(said)
    assert hits >= 7


def test_a_buffer_that_is_played_again_is_found() -> None:
    """In place of the next two: what is heard belongs one buffer earlier, and then two."""
    wet = WET["linear"].copy()
    at = RATE + round(LAG)
    wet[at : at + 512] = wet[at + 512 : at + 1024] = wet[at - 512 : at]
    timemap = TimeMap.straight(LAG, DRIFT, 0, len(DRY))
    heard = listen(channel(DRY), channel(wet), timemap, 0, len(DRY), -1)
    (odd,) = heard.odd
    later, likelier = place_of(channel(DRY), channel(wet), timemap, heard.prediction, -1, odd)
    assert later in (-512, -1024)
    assert likelier > 2.0 * LEAST_GAIN
    assert odd.start <= RATE
    assert odd.stop >= RATE + 1024


def test_what_is_elsewhere_between_two_stretches_is_one() -> None:
    """A fifth of a second that is moved is one stretch, however many of its cells are odd."""
    wet = WET["linear"].copy()
    place = RATE + round(LAG)
    wet[place : place + RATE // 5] = WET["linear"][place + 7 : place + 7 + RATE // 5]
    ((start, stop, later),) = found(wet)
    assert later == 7
    assert start < RATE + 2 * CELL
    assert stop > RATE + RATE // 5 - 2 * CELL


@pytest.mark.parametrize("kind", ["noise", "louder", "overdriven", "mute", "another"])
def test_what_answers_to_no_other_place_is_not_moved(kind: str) -> None:
    """Other faults are not taken for it, though they are as odd: noise, gain, clipping, silence, other sound."""
    for at in np.random.default_rng(5).integers(RATE // 2, 3 * RATE, 8).tolist():
        wet = WET["linear"].copy()
        here = slice(at + round(LAG), at + round(LAG) + 1323)
        size = float(np.std(wet[here]))
        wet[here] = {
            "noise": wet[here] + size * noise(1323, 0, at),
            "louder": 4.0 * wet[here],
            "overdriven": size * np.sign(wet[here]),
            "mute": 0.0 * wet[here],
            "another": size / 0.1 * rush(0.1, at)[:1323],
        }[kind]
        assert found(wet) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "played",
    [
        lambda x: x,
        lambda x: device(x, 20.0),
        lambda x: circuit(Transformer(drive=1.0), x),
        lambda x: circuit(DiodeClipper(drive=1.0), x),
    ],
    ids=["wire", "fuzz", "small core", "hot clipper"],
)
def test_a_device_moves_nothing(played: Callable[[Array], Array]) -> None:
    """Slices of real music at many levels, whatever the device makes of them."""
    dry = music_of(np.random.default_rng([3, 1]), 30 * RATE)
    assert found(recorded(played(dry)), dry) == []
