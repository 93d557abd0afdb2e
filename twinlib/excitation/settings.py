"""Section `excitations` of the configuration."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from twinlib.contracts import SplitName
from twinlib.section import Section

MAX_HOURS = 1000.0
"""Duration of an excitation that nobody records: six weeks."""


class Split(Section):
    """Shares of the music for training, validation and test, and the unit of the assignment."""

    train: float = Field(default=0.8, gt=0, le=1)
    """Share of slices and artists for training."""

    valid: float = Field(default=0.1, ge=0, lt=1)
    """Share for early stopping and selection of the weights."""

    test: float = Field(default=0.1, ge=0, lt=1)
    """Share for the evaluation of the finished twin only."""

    by: Literal["artist", "track"] = "artist"
    """Assign all tracks of an artist to one split (`artist`), or each track separately (`track`)."""

    salt: str | None = None
    """Salt of the hash that assigns artists to splits; set it for another assignment. By default the first of `twin`,
    `twin-2`, `twin-3` and so on with which no split is empty; `excitation.json` records it."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, valid and test must add up to 1, not {total:g}")
        return self

    @property
    def shares(self) -> dict[SplitName, float]:
        """The splits with a share above 0, in the order of their blocks on a reel."""
        every: dict[SplitName, float] = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: share for name, share in every.items() if share > 0}


class Excitation(Section):
    """Content of the reels of an excitation. Once recorded, an excitation is immutable."""

    seed: int = Field(ge=0)
    """Seed of all random choices: the same seed, settings and corpus give the same bytes."""

    sample_rate: int = Field(default=44100, ge=8000, le=768000)
    """Sample rate of the reels in Hz; sources at other rates are resampled."""

    bit_depth: Literal[16, 24, 32] = 24
    """Bits per sample of the reels; 32 is floating point."""

    channels: Literal[1, 2] = 1
    """Number of channels of the reels."""

    mono_from: Literal["left", "right", "mid"] = "mid"
    """Channel of stereo sources on a mono reel: `left`, `right`, or the mean of both (`mid`)."""

    slices: int = Field(ge=1)
    """Total number of slices on all reels."""

    slice_samples: int = Field(default=10096, ge=64)
    """Length of a slice in samples of the reel, including crossfades."""

    crossfade_samples: int = Field(default=3000, ge=0)
    """Length of the crossfade between adjacent slices in samples; at most half a slice."""

    reel_minutes: float = Field(default=10, gt=0)
    """Maximum duration of a reel in minutes, recorded in one pass."""

    level_db: tuple[float, float] = (-24.0, 0.0)
    """Range in dB of the gain of a slice, drawn uniformly, because distortion depends on level. 0 dB is the level of
    the source; the gain is reduced where the slice would exceed full scale."""

    silence_dbfs: float = Field(default=-60.0, lt=0)
    """Slices with an rms below this level in dBFS, before gain, are redrawn."""

    sweeps: float = Field(default=0.0, ge=0, le=0.5)
    """Share of training slices that are sine sweeps instead of music, such as 0.04. Music lacks loud high-frequency
    tones; a twin trained without sweeps has errors of several dB on such tones. Sweeps are never used for
    evaluation."""

    tones: float = Field(default=0.0, ge=0, le=0.5)
    """Share of training slices that are steady sines, such as 0.15, each over several slices. From them a twin learns
    harmonics far below the level of the music, at frequencies from 40 Hz to 8 kHz and levels from -40 to -1 dBFS;
    training then uses one of them in every step. Tones are never used for evaluation."""

    guard_seconds: float = Field(default=0.5, ge=0.5, le=60)
    """Seconds of digital silence between splits on a reel; longer than the memory of any device, so that splits cannot
    leak into each other."""

    split: Split = Split()
    """Shares of the reel for training, validation and test."""

    witness: bool = True
    """Repeat the same two seconds of noise at the start, in the middle and at the end of every reel, and every few
    minutes. The repeats in a take reveal changes of level, drive or tone of the device during the recording, and its
    noise floor. Excitations that were recorded without them remain so."""

    probe_reel: bool = False
    """Also make a probe reel: three minutes of test signals, recorded like any reel, to measure harmonics, responses
    and noise floor of the device. You can add it later: no other reel depends on it."""

    @property
    def planned(self) -> dict[str, Any]:
        """Settings that determine the music reels, as JSON; immutable once recorded."""
        content = self.model_dump(mode="json", exclude={"probe_reel"})
        # Records of older versions have neither witness nor tones: those without stay the same.
        return {key: value for key, value in content.items() if key not in ("witness", "tones") or value}

    @classmethod
    def from_record(cls, planned: Mapping[str, Any]) -> Self:
        """Return the settings in `planned` form of a recorded excitation; raises `ValidationError`."""
        return cls.model_validate({"witness": False, **planned} if isinstance(planned, Mapping) else planned)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if 2 * self.crossfade_samples > self.slice_samples:
            raise ValueError(
                f"crossfade_samples ({self.crossfade_samples}) must be at most half of slice_samples "
                f"({self.slice_samples})"
            )
        hours = self.slices * (self.slice_samples - self.crossfade_samples) / self.sample_rate / 3600
        if hours > MAX_HOURS:
            raise ValueError(
                f"{self.slices} slices of {self.slice_samples} samples last {hours:.0f} hours: the limit is "
                f"{MAX_HOURS:.0f}; lower `slices`"
            )
        low, high = self.level_db
        if not -120 <= low <= high <= 40:
            raise ValueError(
                f"level_db must go from a lower to a higher gain within -120 to 40 dB, not {low} to {high}"
            )
        return self
