import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinlib.alignment import anchors
from twinlib.alignment.align import align
from twinlib.alignment.anchors import Found, find_clicks, match, waveform
from twinlib.alignment.signals import Channel
from twinlib.audio import Reader

from .conftest import CLICK, RATE, Write, click, device, noise, programme, reel, warped


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(-1200, 1200), level=st.floats(0.01, 1.0), sign=st.sampled_from([1, -1]))
def test_a_click_is_found_at_any_border_of_the_stream(write: Write, offset: int, level: float, sign: int) -> None:
    wet = noise(2 * anchors.SIZE, -60)
    place = anchors.SIZE - 3 * CLICK + offset
    wet[place : place + CLICK] += sign * level * click()
    with Reader(write("wet.wav", wet)) as reader:
        found = find_clicks(Channel(reader, 0, 0, len(wet)), click().astype(np.float32), RATE)
    assert found[0].place == pytest.approx(place, abs=0.2)
    assert np.sign(found[0].correlation) == sign


def test_loud_music_does_not_outshine_the_clicks(write: Write) -> None:
    dry, clicks = reel(8.0)
    music = 1.8 * programme(4.0, seed=8)
    wet = np.concatenate((music, device(0.05 * warped(dry, 0.5, 0.0), 3.0)))
    with Reader(write("dry.wav", dry)) as reader, Reader(write("wet.wav", wet)) as other:
        shape = waveform(Channel(reader, 0, 0, len(dry)), clicks[0], RATE)
        assert abs(len(shape) - CLICK) < 3
        found = find_clicks(Channel(other, 0, 0, len(wet)), shape, RATE)
    best = match(clicks, found, 50.0)
    assert best is not None
    assert best.missing == ()
    assert best.line.lag == pytest.approx(len(music) + 0.5, abs=0.3)


def test_the_clicks_must_stand_as_far_apart_as_on_the_reel() -> None:
    clicks = (1000, 500_000)
    pair = [Found(2000.0, -0.9), Found(501_010.0, -0.8)]
    best = match(clicks, [Found(300_000.0, 0.7), *pair], 50.0)
    assert best is not None
    assert (best.polarity, best.missing) == (-1, ())
    assert best.line.drift_ppm == pytest.approx(10 / 499_000 * 1e6, rel=1e-6)
    alone = match(clicks, [pair[0], Found(401_000.0, -0.9)], 50.0)
    assert alone is not None
    assert alone.missing == (500_000,)
    opposite = match(clicks, [pair[0], Found(501_000.0, 0.8)], 50.0)
    assert opposite is not None
    assert len(opposite.missing) == 1
    assert match(clicks, [Found(2000.0, 0.2)], 50.0) is None


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(write: Write, tmp_path: Path) -> None:
    peaks = []
    for seconds in (20, 80):
        part, clicks = reel(6.0)
        music = part[clicks[0] + CLICK : clicks[1]]
        count = seconds * RATE // len(music)
        dry = np.concatenate((part[: clicks[0] + CLICK], np.tile(music, count), part[clicks[1] :]))
        both = [clicks[0], clicks[0] + CLICK + count * len(music)]
        path, wet = write("dry.wav", dry), write("wet.wav", np.concatenate((np.zeros(777), dry)))
        tracemalloc.start()
        assert align(path, wet, clicks=both).applied_lag_samples == 777
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
