import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.training.losses import FLOOR, combined, dc, emphasise, esr

PREDICTION = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 4.0]], dtype=torch.float64)


def test_esr_by_hand():
    assert esr(PREDICTION, TARGET).item() == pytest.approx((1 + 4 + 16) / (3 + 16))


def test_emphasis_by_hand():
    assert emphasise(PREDICTION, 0.5).tolist() == [[1.5, 2.0], [0.0, 0.0]]


def test_dc_by_hand():
    means = (3 / 3) ** 2, (-4 / 3) ** 2
    assert dc(PREDICTION, TARGET).item() == pytest.approx(sum(means) / 2 / (19 / 6))


def test_combined_by_hand():
    filtered = esr(emphasise(PREDICTION, 0.85), emphasise(TARGET, 0.85))
    wanted = esr(PREDICTION, TARGET) + 0.5 * filtered + 0.05 * dc(PREDICTION, TARGET)
    assert combined(PREDICTION, TARGET, 0.85, 0.5, 0.05).item() == pytest.approx(wanted.item())
    assert combined(PREDICTION, TARGET, 0.85, 0, 0) == esr(PREDICTION, TARGET)


def test_pooling_is_not_a_mean_of_ratios():
    quiet, loud = torch.full((1, 8), 0.01), torch.full((1, 8), 1.0)
    both = esr(torch.cat([2 * quiet, loud]), torch.cat([quiet, loud]))
    assert both.item() == pytest.approx(0.01**2 / (1 + 0.01**2), rel=1e-4)


@settings(deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_the_level_of_both_does_not_matter(level, seed):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.randn(2, 3, 20, generator=generator, dtype=torch.float64)
    wanted = combined(prediction, target, 0.85, 0.5, 0.05)
    torch.testing.assert_close(combined(level * prediction, level * target, 0.85, 0.5, 0.05), wanted)


def test_silence_is_not_divided_by():
    found = combined(torch.full((2, 9), 0.1), torch.zeros(2, 9), 0.85, 0.5, 0.05)
    assert torch.isfinite(found)
    assert esr(torch.full((2, 9), 0.1), torch.zeros(2, 9)).item() == pytest.approx(0.01 / FLOOR)


def test_a_perfect_prediction_has_no_loss():
    assert combined(TARGET, TARGET, 0.85, 0.5, 0.05) == 0
