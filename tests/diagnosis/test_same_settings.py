"""Takes of one device are compared by their witness."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.dataset.factories import alignment
from tests.diagnosis.test_witness import DRY, RATE, clipper, compare, low_pass
from twinlib.alignment import Alignment
from twinlib.diagnosis.messages import MESSAGES
from twinlib.diagnosis.same_settings import compare_settings


def takes(wets: Sequence[np.ndarray], applied_gain: float = 1.0) -> dict[str, Alignment]:
    reports = [compare(wet, noise=3e-4, seed=number) for number, wet in enumerate(wets)]
    return {
        f"main-{number:02d}": alignment(
            len(DRY), 0.0, sample_rate=RATE, witness=report.witness, applied_gain=applied_gain
        )
        for number, report in enumerate(reports, 1)
    }


SAME = clipper()(DRY)
OTHERS = {
    "level-outlier": 10 ** (1 / 20) * SAME,
    "drive-outlier": clipper(6)(DRY),
    "tone-outlier": low_pass(2000)(SAME),
}


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("place", [0, 2])
def test_the_take_with_other_settings_is_named(code: str, place: int) -> None:
    wets = [SAME, SAME, SAME]
    wets[place] = OTHERS[code]
    ((name, finding),) = compare_settings(takes(wets))
    assert (name, finding.code, finding.severity) == (f"main-{place + 1:02d}", code, "suspect")
    assert "main-02" in MESSAGES.sentence(finding)


def test_takes_with_the_same_settings_are_alike() -> None:
    assert compare_settings(takes([SAME, SAME])) == []
    assert compare_settings(takes([SAME])) == []
    assert compare_settings({"main-01": alignment(9000), "main-02": alignment(9000)}) == []


def test_levels_that_the_alignment_corrects_do_not_count() -> None:
    assert compare_settings(takes([SAME, SAME, OTHERS["level-outlier"]], applied_gain=0.9)) == []
    ((name, _),) = compare_settings(takes([SAME, SAME, OTHERS["tone-outlier"]], applied_gain=0.9))
    assert name == "main-03"


def test_of_two_takes_the_second_differs_from_the_first() -> None:
    ((name, finding),) = compare_settings(takes([SAME, OTHERS["level-outlier"]]))
    assert (name, finding.values["others"]) == ("main-02", "main-01")
    assert finding.values["change_db"] == pytest.approx(1.0, abs=0.1)
