"""Settings of the simulated circuits and of the simulated recorder behind them."""

from typing import Annotated, Literal

from pydantic import Field

from twinlib.section import Section


class DiodeClipper(Section):
    """The clipping stage of a tube-screamer pedal: symmetric, odd harmonics, a mid hump (Yeh, Abel & Smith 2007)."""

    circuit: Literal["diode_clipper"] = "diode_clipper"
    """The simulated circuit."""
    drive: float = Field(default=0.5, ge=0, le=1)
    """The drive pot, from 0 (21 dB of gain above the corner frequency) to 1 (41 dB)."""


class Transformer(Section):
    """An input transformer. The core saturates with flux, so bass distorts first; it adds some even harmonics."""

    circuit: Literal["transformer"] = "transformer"
    """The simulated circuit."""
    drive: float = Field(default=0.5, ge=0, le=1)
    """How early the core saturates, from 0 (clean) to 1 (a small core)."""


Circuit = DiodeClipper | Transformer
"""The settings of a simulated circuit."""


class Recorder(Section):
    """Imperfections of a simulated recording: offset, clock drift, noise, quantisation."""

    offset_seconds: float | None = Field(default=None, ge=0, le=3600)
    """Seconds of noise before the reel starts. Default: 0.05 to 1.5, drawn from the seed."""
    lag_fraction: float | None = Field(default=None, ge=0, lt=1)
    """The fractional part of the lag in samples. Default: drawn from the seed."""
    drift_ppm: float = Field(default=0.0, ge=-1000, le=1000)
    """How much faster the recording clock runs than the playback clock, in ppm. Positive makes the take longer."""
    invert: bool = False
    """Whether to invert the polarity."""
    gain_db: float = Field(default=0.0, ge=-60, le=60)
    """The gain of the recording chain in dB. Samples beyond full scale are clipped."""
    noise_dbfs: float | None = Field(default=-90.0, ge=-200, le=0)
    """The rms level of white noise in dBFS; null for none."""
    hum_dbfs: float | None = Field(default=None, ge=-200, le=0)
    """The peak level of mains hum in dBFS; null for none."""
    hum_hz: float = Field(default=50.0, gt=0, le=1000)
    """The frequency of the hum."""
    bit_depth: Literal[16, 24, 32] = 24
    """Bits of the converter; 32 is floating point."""
    tail_seconds: float = Field(default=0.5, ge=0, le=3600)
    """Seconds recorded after the end of the reel."""
    seed: int = Field(default=0, ge=0)
    """The seed of all random numbers, combined with the name of the reel."""


class SimulatedClipper(DiodeClipper):
    """A diode clipper followed by a recorder."""

    recorder: Recorder = Recorder()
    """Imperfections of the recording."""


class SimulatedTransformer(Transformer):
    """A transformer followed by a recorder."""

    recorder: Recorder = Recorder()
    """Imperfections of the recording."""


Simulate = Annotated[SimulatedClipper | SimulatedTransformer, Field(discriminator="circuit")]
"""A simulated device and its recorder: `{circuit: diode_clipper, drive: 0.6, recorder: {drift_ppm: 12}}`."""
