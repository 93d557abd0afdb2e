"""One entry of the section `excitations` of the configuration."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from twinlib.contracts import SplitName
from twinlib.section import Section


class Split(Section):
    """Which share of the music trains, validates and tests, and what must never be in two of them."""

    train: float = Field(default=0.8, gt=0, le=1)
    """Share of the slices, and of the artists, that the network learns from."""

    valid: float = Field(default=0.1, ge=0, lt=1)
    """Share that decides when to stop and which weights to keep."""

    test: float = Field(default=0.1, ge=0, lt=1)
    """Share that is only ever used to judge the finished twin."""

    by: Literal["artist", "track"] = "artist"
    """What stays whole: all tracks of an artist go to one split (default), or just each track."""

    salt: str = "twin"
    """Any word; another one deals the artists out differently."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, valid and test must add up to 1, not {total:g}")
        return self

    @property
    def shares(self) -> dict[SplitName, float]:
        """The share of every split that has one, in the order in which they stand on a reel."""
        every: dict[SplitName, float] = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: share for name, share in every.items() if share > 0}


class Excitation(Section):
    """What the reels of one excitation are made of; once recorded, its name stands for these settings for ever."""

    seed: int = Field(ge=0)
    """Seed of everything that is drawn: the same seed, settings and corpus give the same bytes."""

    sample_rate: int = Field(default=44100, ge=8000, le=768000)
    """Sample rate of the reels in Hz; sources of another rate are resampled."""

    bit_depth: Literal[16, 24, 32] = 24
    """Bits a sample of the reels; 32 is floating point."""

    channels: Literal[1, 2] = 1
    """Channels of the reels."""

    mono_from: Literal["left", "right", "mid"] = "mid"
    """What a mono reel takes from a stereo source: one side, or the mean of both."""

    slices: int = Field(ge=1)
    """Number of slices on all reels together."""

    slice_samples: int = Field(default=10096, ge=64)
    """Length of a slice in samples of the reel, its crossfades included."""

    crossfade_samples: int = Field(default=3000, ge=0)
    """Length in samples of the crossfade between neighbouring slices; at most half a slice."""

    reel_minutes: float = Field(default=10, gt=0)
    """Longest duration of a reel in minutes: what a person records in one go."""

    level_db: tuple[float, float] = (-24.0, 0.0)
    """Range in dB from which the gain of each slice is drawn, uniformly: distortion depends on level. 0 dB is the
    level of the recording; near full scale the gain is lowered."""

    silence_dbfs: float = Field(default=-60.0, lt=0)
    """A slice whose rms lies below this level in dBFS, before its gain, is drawn again."""

    sweeps: float = Field(default=0.0, ge=0, le=0.5)
    """Share of the training slices that are sine sweeps instead of music, such as 0.04: music has no loud high tones,
    and a twin that never heard them is off there by many dB. Nothing is judged on sweeps."""

    guard_seconds: float = Field(default=0.5, ge=0.5, le=60)
    """Seconds of digital silence between the splits on a reel: no device remembers the other split for so long."""

    split: Split = Split()
    """Which share of the reel trains, validates and tests."""

    probe_reel: bool = False
    """Make a probe reel too: three minutes of measuring signals, recorded like any reel, for harmonics, responses and
    the noise floor of the device. It may be asked for later: no other reel depends on it."""

    @property
    def planned(self) -> dict[str, Any]:
        """The settings that decide what is on the music's reels, as JSON; once recorded, they cannot change."""
        return self.model_dump(mode="json", exclude={"probe_reel"})

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if 2 * self.crossfade_samples > self.slice_samples:
            raise ValueError(
                f"crossfade_samples ({self.crossfade_samples}) must be at most half of slice_samples "
                f"({self.slice_samples})"
            )
        low, high = self.level_db
        if not -120 <= low <= high <= 40:
            raise ValueError(
                f"level_db must go from a lower to a higher gain within -120 to 40 dB, not {low} to {high}"
            )
        return self
