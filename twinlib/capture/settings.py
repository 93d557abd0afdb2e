"""The configuration of devices: what was recorded through them, or what simulates them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from twinlib.settings import Settings


class DiodeClipper(Settings):
    """The clipping stage of a tube-screamer pedal: symmetric, odd harmonics, a mid hump (Yeh, Abel & Smith 2007)."""

    circuit: Literal["diode_clipper"] = "diode_clipper"
    """Which circuit is simulated."""
    drive: float = Field(default=0.5, ge=0, le=1)
    """The drive pot, 0 (gain 21 dB above the corner) to 1 (41 dB)."""


class Transformer(Settings):
    """An input transformer: its core saturates with flux, so bass distorts first; some even harmonics."""

    circuit: Literal["transformer"] = "transformer"
    """Which circuit is simulated."""
    drive: float = Field(default=0.5, ge=0, le=1)
    """How near the core is to saturation, 0 (clean) to 1 (a small core)."""


Circuit = DiodeClipper | Transformer
"""A simulated device."""


class Recorder(Settings):
    """What a real recording adds to the device: where it starts, whose clock it runs on, noise, bits."""

    offset_seconds: float | None = Field(default=None, ge=0, le=3600)
    """Seconds of noise before the reel starts; by default 0.05 to 1.5, drawn from the seed."""
    lag_fraction: float | None = Field(default=None, ge=0, lt=1)
    """The fraction of a sample by which it is late besides; by default drawn from the seed."""
    drift_ppm: float = Field(default=0.0, ge=-1000, le=1000)
    """How much faster the recording clock runs than the playing one, in ppm: > 0 makes the take longer."""
    invert: bool = False
    """Whether the polarity is inverted."""
    gain_db: float = Field(default=0.0, ge=-60, le=60)
    """The gain of the recording chain in dB; what passes full scale is clipped."""
    noise_dbfs: float | None = Field(default=-90.0, ge=-200, le=0)
    """The rms of white noise in dBFS; null for none."""
    hum_dbfs: float | None = Field(default=None, ge=-200, le=0)
    """The peak of mains hum in dBFS; null for none."""
    hum_hz: float = Field(default=50.0, gt=0, le=1000)
    """The frequency of the hum."""
    bit_depth: Literal[16, 24, 32] = 24
    """Bits of the converter; 32 is floating point."""
    tail_seconds: float = Field(default=0.5, ge=0, le=3600)
    """Seconds recorded after the reel has ended."""
    seed: int = Field(default=0, ge=0)
    """The seed of all that is random; the reel's name is mixed into it."""


class SimulatedClipper(DiodeClipper):
    """A diode clipper and the recorder behind it."""

    recorder: Recorder = Recorder()
    """What the recording adds."""


class SimulatedTransformer(Transformer):
    """A transformer and the recorder behind it."""

    recorder: Recorder = Recorder()
    """What the recording adds."""


Simulate = Annotated[SimulatedClipper | SimulatedTransformer, Field(discriminator="circuit")]
"""A simulated device and its recorder: `{circuit: diode_clipper, drive: 0.6, recorder: {drift_ppm: 12}}`."""


class Device(Settings):
    """A device: exactly one of `takes`, `pairs` and `simulate` says where its wet signals come from."""

    excitation: str | None = None
    """The name of the excitation whose reels were played; for `takes` and `simulate`."""
    takes: str | None = None
    """The recordings of the reels, with `{reel}` where the reel's name stands: `recordings/silk/{reel}.wav`."""
    pairs: Path | None = None
    """A TSV of dry/wet couples that are no reels of ours: capture, dry, wet, and optionally split, channel, ..."""
    simulate: Simulate | None = None
    """A simulated device, for trying the road without hardware; everything made from it is marked simulated."""
    settings: dict[str, str | int | float | bool] = {}
    """The position of the device's knobs while it was recorded, by name; kept with every segment."""
    channel: int = Field(default=1, ge=1)
    """Which channel of the wet files is used, counted from 1."""
    reference_channel: int | None = Field(default=None, ge=1)
    """The channel of the wet files, counted from 1, that recorded the dry signal beside the device, by a second cable
    from the interface's output to its input (a loop-back): it then stands for the dry signal. Null if there is none."""
    repair: list[Literal["polarity", "gain", "dc"]] = ["polarity"]
    """What alignment undoes in the wet signal; the rest is left to the twin. Hum is measured and said, never taken
    away, for music lies under it. In the take of a probe reel, the gain and DC of the takes of music are undone."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("takes", "pairs", "simulate") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of takes, pairs and simulate, not {' and '.join(given) or 'none'}")
        if self.pairs is not None and self.excitation is not None:
            raise ValueError("pairs belong to no excitation: remove `excitation`, or give `takes`")
        if self.pairs is None and self.excitation is None:
            raise ValueError(f"{given[0]} need the name of the excitation whose reels were played: add `excitation`")
        if self.takes is not None and self.takes.replace("{reel}", "").count("{") + self.takes.count("}") != (
            self.takes.count("{reel}")
        ):
            raise ValueError(f"takes is {self.takes!r}: {{reel}} is the only thing that may stand in braces")
        if self.takes is not None and "{reel}" not in self.takes:
            raise ValueError(f"takes is {self.takes!r}: put {{reel}} where the reel's name stands in the file name")
        return self

    @model_validator(mode="after")
    def _reference_beside_it(self) -> Self:
        if self.reference_channel is None:
            return self
        if self.simulate is not None:
            raise ValueError("a simulated device has no loop-back cable: remove `reference_channel`")
        if self.reference_channel == self.channel:
            raise ValueError(
                f"reference_channel is {self.reference_channel}, which is the device's own `channel` too: name the "
                "channel that recorded the dry signal"
            )
        return self
