import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.db import amp_to_db, db_to_amp, db_to_power, power_to_db


def test_known_values() -> None:
    assert power_to_db(0.1) == pytest.approx(-10)
    assert amp_to_db(0.1) == pytest.approx(-20)
    assert db_to_power(3.0) == pytest.approx(1.9953, abs=1e-4)
    assert db_to_amp(6.0) == pytest.approx(1.9953, abs=1e-4)


@given(st.floats(-200, 200))
def test_conversions_are_inverse(db: float) -> None:
    assert power_to_db(db_to_power(db)) == pytest.approx(db, abs=1e-9)
    assert amp_to_db(db_to_amp(db)) == pytest.approx(db, abs=1e-9)
    assert amp_to_db(db_to_amp(np.array([db]))) == pytest.approx(db, abs=1e-9)


def test_zero_has_the_level_of_the_floor() -> None:
    assert power_to_db(0.0) == amp_to_db(0.0) == pytest.approx(-240)
    assert power_to_db(np.zeros(2), 1e-20) == pytest.approx(-200)
    assert amp_to_db(0.0, 1e-3) == pytest.approx(-60)
