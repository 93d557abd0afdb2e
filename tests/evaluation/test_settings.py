import pytest
from pydantic import ValidationError

from twinlib.evaluation import Evaluation


def test_the_defaults_stand():
    settings = Evaluation()
    assert (settings.linear_taps, settings.preemphasis, settings.clip_seconds) == (512, 0.85, 10.0)
    assert not settings.judge_train
    assert not settings.visqol


@pytest.mark.parametrize(
    "wrong",
    [{"linear_taps": 0}, {"preemphasis": 1.0}, {"clip_seconds": 0.0}, {"clip_seconds": float("nan")}, {"taps": 9}],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Evaluation(**wrong)
