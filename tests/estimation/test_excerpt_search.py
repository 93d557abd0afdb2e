"""Search for excerpts at any lag."""

import numpy as np
import pytest

from tests.alignment.conftest import channel, noise, rush
from twinlib.estimation.excerpt_search import find_candidates, loudest_excerpts, read_excerpts

DRY = rush(6.0, seed=3)
SIZE = 16384


@pytest.mark.parametrize("lag", [-20_000, 0, 70_001])
@pytest.mark.parametrize("sign", [1, -1])
def test_each_excerpt_is_found_at_its_lag(lag: int, sign: int) -> None:
    wet = noise(len(DRY) + 80_000, -60)
    cut = max(0, -lag)
    wet[max(0, lag) : max(0, lag) + len(DRY) - cut] += sign * DRY[cut:]
    dry = channel(DRY)
    starts = [start for start in loudest_excerpts(dry, SIZE) if start >= cut]
    found = find_candidates(read_excerpts(dry, starts, SIZE), channel(wet), None)
    for number in range(len(starts)):
        best = max((each for each in found if each.excerpt == number), key=lambda each: each.prominence)
        assert abs(best.lag - lag) <= 2
        assert best.sign == sign


def test_noise_and_silence_contain_no_excerpt() -> None:
    excerpts = read_excerpts(channel(DRY), [50_000, 150_000], SIZE)
    assert not find_candidates(excerpts, channel(noise(len(DRY), -20)), None)
    assert not find_candidates(excerpts, channel(np.zeros(len(DRY))), None)
    assert not loudest_excerpts(channel(np.zeros(len(DRY))), SIZE)
