"""A close look by short windows: what does not lie where the map has it."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.alignment.closeup import SIZE, strays
from twinlib.alignment.lag_track import Response, measure_lags, plan_dense_windows
from twinlib.alignment.time_map import TimeMap
from twinlib.simulation.settings import Transformer

from .conftest import RATE, Array, channel, circuit, device, filtered, noise, programme, warped

DRY = programme(5.0, seed=2)
WHOLE = [(0, len(DRY))]
STILL = TimeMap.straight(0.0, 0.0, 0, len(DRY))


def response(wet: Array, timemap: TimeMap = STILL, polarity: int = 1) -> Response:
    """The device's, as longer windows tell it in two turns."""
    known = None
    for _ in range(2):
        _, known = measure_lags(
            channel(DRY), channel(wet), plan_dense_windows(0, len(DRY), 4 * SIZE), timemap, known, polarity
        )
    assert known is not None
    return known.coarser(4 * SIZE, SIZE, channel(wet))


def moved(start: float, seconds: float, late: int, polarity: int) -> tuple[Array, int, int]:
    """A take of which some seconds lie so many samples late, and the first and the last of them."""
    first, last = int(start * RATE), int((start + seconds) * RATE)
    wet = device(DRY)
    wet[first:last] = np.roll(wet, late)[first:last]
    return polarity * wet + noise(len(wet), -70), first, last


def share(found: list[tuple[int, int, float]], first: int, last: int) -> float:
    """How much of a stretch was found, and nothing beyond a window on either side."""
    assert found
    assert all(first - 2 * SIZE < low and high < last + 2 * SIZE for low, high, _ in found)
    left_out = np.zeros(len(DRY), bool)
    for low, high, _ in found:
        left_out[low:high] = True
    return float(left_out[first:last].mean())


STRETCH = {
    "start": st.floats(0.5, 3.5),
    "seconds": st.floats(0.5, 1.0),
    "sign": st.sampled_from([1, -1]),
    "polarity": st.sampled_from([1, -1]),
}


@settings(max_examples=12)
@given(late=st.integers(1, 2) | st.integers(12, 800), **STRETCH)
def test_a_stretch_that_lies_elsewhere_is_found(
    start: float, seconds: float, late: int, sign: int, polarity: int
) -> None:
    """Whole samples late or early, for half a second or more: most of it, to a window on either side."""
    wet, first, last = moved(start, seconds, sign * late, polarity)
    assert share(strays(channel(DRY), channel(wet), STILL, polarity, None, WHOLE), first, last) > 0.7


@settings(max_examples=12)
@given(late=st.integers(1, 800), **STRETCH)
def test_the_device_s_response_tells_how_much_later_it_lies(
    start: float, seconds: float, late: int, sign: int, polarity: int
) -> None:
    """To two samples, also where the stretch would spoil a response of its own: three to twelve samples off."""
    wet, first, last = moved(start, seconds, sign * late, polarity)
    found = strays(channel(DRY), channel(wet), STILL, polarity, response(wet, STILL, polarity), WHOLE)
    assert share(found, first, last) > 0.4
    assert any(abs(later - sign * late) <= 2.0 for _, _, later in found)


@pytest.mark.parametrize("drift", [0.0, 100.0])
@pytest.mark.parametrize(
    "played",
    [lambda x: x, lambda x: device(x, 6.0), filtered, lambda x: circuit(Transformer(), x)],
    ids=["wire", "saturation", "filters", "transformer"],
)
def test_nothing_strays_in_a_clean_take(played: Callable[[Array], Array], drift: float) -> None:
    """Nor where it is mute, nor in a stretch that no window fits in."""
    wet = played(DRY)
    wet[RATE : RATE + RATE // 2] = 0.0
    recorded = warped(wet, 0.0, drift, len(DRY)) + noise(len(DRY), -70)
    timemap = TimeMap.straight(0.0, drift, 0, len(DRY))
    for stretches in (WHOLE, [*WHOLE, (RATE, RATE + 100)], [(RATE, RATE + 100)]):
        for known in (response(recorded, timemap), None):
            assert strays(channel(DRY), channel(recorded), timemap, 1, known, stretches) == []
