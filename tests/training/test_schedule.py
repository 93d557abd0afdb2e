import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.training.schedule import rate_factor


@pytest.mark.parametrize(
    ("step", "fraction", "factor"),
    [
        (0, 0.0, 1 / 21),
        (9, 0.001, 10 / 21),
        (20, 0.01, 1),
        (500, 0.6, 1),
        (800, 0.8, 0.5),
        (1000, 1.0, 0),
        (1000, 1.2, 0),
    ],
)
def test_rate_factor_values(step, fraction, factor):
    assert rate_factor(step, fraction, 20, 0.4) == pytest.approx(factor)


def test_rate_is_constant_without_warmup_and_decay():
    assert rate_factor(0, 0.0, 0, 0.0) == rate_factor(10, 1.0, 0, 0.0) == 1


@settings(deadline=None)
@given(st.integers(0, 5000), st.floats(0, 1), st.floats(0, 1), st.integers(0, 50), st.floats(0, 1))
def test_rate_factor_is_in_0_to_1_and_never_rises_after_the_warmup(step, first, second, warmup, decay):
    earlier, later = sorted((first, second))
    before = rate_factor(step + warmup, earlier, warmup, decay)
    after = rate_factor(step + warmup + 1, later, warmup, decay)
    assert 0 <= after <= before <= 1
