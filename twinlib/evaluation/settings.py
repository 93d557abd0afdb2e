"""What the user may choose about the evaluation."""

from pydantic import Field

from twinlib.settings import Settings

METRICS = "metrics/1"
"""The contract of metrics.json."""


class Evaluation(Settings):
    """How twins are judged. The validation and the test split always are."""

    judge_train: bool = False
    """Judge the training split too: an error much smaller than that of the test split shows learning by heart."""
    linear_taps: int = Field(default=512, ge=32, le=8192)
    """Length in samples of the best linear filter, the baseline that the twin of a distortion must beat."""
    preemphasis: float = Field(default=0.85, ge=0.0, lt=1.0)
    """Coefficient a of the filter 1 - a z^-1 in front of `esr_preemphasis`, which weighs the highs more as ears do."""
    clip_seconds: float = Field(default=10.0, gt=0.0, le=120.0)
    """Length of the listening clips in seconds."""
    visqol: bool = False
    """Rate the listening excerpt with ViSQOL; needs the extra `perceptual` and a second of CPU for 10 s of audio."""
