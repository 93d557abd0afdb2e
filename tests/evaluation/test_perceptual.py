import importlib.util
import sys

import numpy as np
import pytest

from tests.evaluation.factories import music
from twinlib.errors import ConfigError
from twinlib.evaluation.perceptual import load_visqol

RATE = 44100


def test_missing_package_raises(monkeypatch):
    monkeypatch.setitem(sys.modules, "visqol", None)
    with pytest.raises(ConfigError, match=r"perceptual.*evaluation\.visqol: false"):
        load_visqol()


@pytest.mark.slow
def test_rating_decreases_with_noise():
    if importlib.util.find_spec("visqol") is None:
        pytest.skip("the extra `perceptual` is not installed; `.ci/run` does it")
    rate, device = load_visqol(), music(3 * RATE, level=0.5)
    noise = 0.02 * np.random.default_rng(1).standard_normal(len(device)).astype(np.float32)
    best, good, bad = (rate(device, device + gain * noise, RATE) for gain in (0, 0.02, 1))
    assert best == pytest.approx(4.732, abs=1e-3)
    assert best > good > bad > 1.0
    # ViSQOL normalises levels.
    assert rate(device, 0.5 * device, RATE) == pytest.approx(best, abs=1e-3)
    assert rate(device[: RATE - 1], device[: RATE - 1], RATE) is None
