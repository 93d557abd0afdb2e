import pytest
from pydantic import ValidationError

from twinlib.evaluation import Evaluation


def test_defaults():
    settings = Evaluation()
    assert (settings.linear_taps, settings.preemphasis, settings.clip_seconds) == (None, 0.85, 10.0)
    assert not settings.judge_train
    assert not settings.visqol


@pytest.mark.parametrize(
    "wrong",
    [{"linear_taps": 0}, {"preemphasis": 1.0}, {"clip_seconds": 0.0}, {"clip_seconds": float("nan")}, {"taps": 9}],
)
def test_invalid_settings_raise(wrong):
    with pytest.raises(ValidationError):
        Evaluation(**wrong)


def test_filter_length_follows_the_response_unless_set():
    assert Evaluation().taps == 512
    assert Evaluation(linear_taps=100).for_response(900).taps == 100
    for samples, taps in ((1, 128), (129, 192), (640, 640), (641, 704), (99999, 2048)):
        assert Evaluation().for_response(samples).taps == taps
