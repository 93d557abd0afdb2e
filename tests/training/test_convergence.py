"""The estimate whether a training had converged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.training.convergence import MIN_VALIDATIONS, late_improvement


def curve(errors, rates=None, seed: int = 0) -> pd.DataFrame:
    steps = 500 * np.arange(1, len(errors) + 1)
    return pd.DataFrame(
        {"seed": seed, "step": steps, "learning_rate": 0.01 if rates is None else rates, "valid_esr": errors}
    )


@given(st.floats(0.0, 2.0), st.integers(MIN_VALIDATIONS, 60))
def test_power_law_improves_by_the_power_of_two(power: float, count: int) -> None:
    count += count % 2
    found = late_improvement(curve(np.arange(1, count + 1) ** -power))
    assert found == pytest.approx(2.0**power)


@given(st.lists(st.floats(1e-6, 1.0), min_size=MIN_VALIDATIONS, max_size=30))
def test_plateau_of_any_beginning_is_converged(beginning: list[float]) -> None:
    plateau = [min(beginning)] * (len(beginning) + 1)
    assert late_improvement(curve([*beginning, *plateau])) == 1.0


def test_decay_of_the_rate_is_not_mistaken_for_convergence_in_progress() -> None:
    flat, decay = [0.01] * 6, [0.006, 0.004, 0.003, 0.003]
    rates = [0.01] * 6 + [0.007, 0.005, 0.002, 0.0]
    assert late_improvement(curve(flat + decay, rates)) == 1.0
    falling = [0.32, 0.16, 0.08, 0.04, 0.02, 0.01]
    assert late_improvement(curve(falling + decay, rates)) == pytest.approx(8.0)
    # With a decay from the first step, only more than the decay itself counts.
    decaying = np.linspace(0.01, 0.0, 8)
    assert late_improvement(curve([0.03] * 4 + [0.02, 0.015, 0.012, 0.01], decaying)) == 1.0
    assert late_improvement(curve(0.5 ** np.arange(8), decaying)) == pytest.approx(16 / 3)


def test_best_seed_counts() -> None:
    falling, flat = curve([0.8, 0.4, 0.2, 0.1], seed=1), curve([0.01] * 4, seed=2)
    assert late_improvement(pd.concat([falling, flat], ignore_index=True)) == 1.0
    assert late_improvement(pd.concat([falling, flat.assign(valid_esr=0.5)], ignore_index=True)) == pytest.approx(4.0)


@pytest.mark.parametrize("errors", [[], [0.1], [0.2, 0.1, 0.05], [np.nan] * 6, [0.0] * 6])
def test_few_or_no_validations_give_no_estimate(errors: list[float]) -> None:
    assert late_improvement(curve(errors)) is None
