import tracemalloc

import numpy as np
import pytest

from twinlib.alignment.locate import match_clicks
from twinlib.alignment.pipeline import align
from twinlib.estimation.matched_filter import ClickPeak

from .conftest import CLICK, RATE, Write, reel


def test_the_spacing_of_the_clicks_must_match_the_reel() -> None:
    clicks = (1000, 500_000)
    pair = [ClickPeak(2000.0, -0.9), ClickPeak(501_010.0, -0.8)]
    best = match_clicks(clicks, [ClickPeak(300_000.0, 0.7), *pair], 50.0)
    assert best is not None
    assert (best.polarity, set(best.positions)) == (-1, set(clicks))
    assert best.line.drift_ppm == pytest.approx(10 / 499_000 * 1e6, rel=1e-6)
    alone = match_clicks(clicks, [pair[0], ClickPeak(401_000.0, -0.9)], 50.0)
    assert alone is not None
    assert set(alone.positions) == {1000}
    opposite = match_clicks(clicks, [pair[0], ClickPeak(501_000.0, 0.8)], 50.0)
    assert opposite is not None
    assert len(opposite.positions) == 1
    assert match_clicks(clicks, [ClickPeak(2000.0, 0.2)], 50.0) is None


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinlib.resampling.channel._CACHED_SAMPLES", 1 << 19)  # less than the shorter file
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
