"""Settings of the evaluation."""

from pydantic import Field

from twinlib.section import Section

PROBE_FIGURES = (
    "harmonics", "phases", "distortion", "response", "compression", "loops", "intermodulation", "aliasing",
)  # fmt: skip
"""The figures of a probe reel: their file names without `.svg`."""


DEFAULT_TAPS = 512
"""The length of the linear filter if the device's response has not been measured."""

MIN_TAPS, MAX_TAPS = 128, 2048
"""The bounds of a length that follows from a measured response; 2048 taps take a minute to solve."""


class Evaluation(Section):
    """Evaluation of twins, always on the validation and test splits."""

    judge_train: bool = False
    """Evaluate the training split too: an error far below that of the test split indicates overfitting."""
    linear_taps: int | None = Field(default=None, ge=32, le=8192)
    """Length in samples of the best linear filter, the baseline that the twin of a distortion must beat. Null: the
    length of the device's linear response on the probe reel, or 512 without a probe reel."""
    preemphasis: float = Field(default=0.85, ge=0.0, lt=1.0)
    """Coefficient a of the filter 1 - a z^-1 before `esr_preemphasis`, which weights high frequencies like the ear."""
    clip_seconds: float = Field(default=10.0, gt=0.0, le=120.0)
    """Length of the listening clips in seconds."""
    visqol: bool = False
    """Rate the listening excerpt with ViSQOL. Needs the extra `perceptual` and 1 s of CPU time per 10 s of audio."""

    @property
    def taps(self) -> int:
        """The length of the best linear filter in samples."""
        return self.linear_taps or DEFAULT_TAPS

    def for_response(self, samples: int) -> "Evaluation":
        """Return these settings for a device with a linear response of `samples`; an explicit `linear_taps` stays."""
        if self.linear_taps is not None:
            return self
        return self.model_copy(update={"linear_taps": min(max(64 * -(-samples // 64), MIN_TAPS), MAX_TAPS)})
