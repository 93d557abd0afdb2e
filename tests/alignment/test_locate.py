import tracemalloc

import numpy as np
import pytest

from twinlib.alignment.pipeline import align

from .conftest import CLICK, RATE, Write, reel


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinlib.resampling.channel._CACHED_SAMPLES", 1 << 19)  # less than the shorter file
    monkeypatch.setattr("twinlib.alignment.residual._CHUNK", 8 << 16)
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
