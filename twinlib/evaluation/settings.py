"""What the user may choose about the evaluation."""

from pydantic import Field

from twinlib.section import Section

PROBE_FIGURES = (
    "harmonics", "phases", "distortion", "response", "compression", "loops", "intermodulation", "aliasing",
)  # fmt: skip
"""The figures of a probe reel, by the names of their files without `.svg`."""


USUAL_TAPS = 512
"""The length of the linear filter where nothing is known of the device's response."""

LEAST_TAPS, MOST_TAPS = 128, 2048
"""The bounds of the length that follows from a response: the longer one costs a minute in solving."""


class Evaluation(Section):
    """How twins are judged. The validation and the test split always are."""

    judge_train: bool = False
    """Judge the training split too: an error much smaller than that of the test split shows learning by heart."""
    linear_taps: int | None = Field(default=None, ge=32, le=8192)
    """Length in samples of the best linear filter, the baseline that the twin of a distortion must beat; null: as long
    as the device's linear response on the probe reel, and 512 where none was recorded."""
    preemphasis: float = Field(default=0.85, ge=0.0, lt=1.0)
    """Coefficient a of the filter 1 - a z^-1 in front of `esr_preemphasis`, which weighs the highs more as ears do."""
    clip_seconds: float = Field(default=10.0, gt=0.0, le=120.0)
    """Length of the listening clips in seconds."""
    visqol: bool = False
    """Rate the listening excerpt with ViSQOL; needs the extra `perceptual` and a second of CPU for 10 s of audio."""

    @property
    def taps(self) -> int:
        """The length of the best linear filter in samples."""
        return self.linear_taps or USUAL_TAPS

    def for_response(self, samples: int) -> "Evaluation":
        """These settings for a device whose linear response lasts so many samples; a length asked for stays."""
        if self.linear_taps is not None:
            return self
        return self.model_copy(update={"linear_taps": min(max(64 * -(-samples // 64), LEAST_TAPS), MOST_TAPS)})
