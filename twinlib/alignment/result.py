"""What an alignment says of a capture: the contract alignment/1."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from twinlib.errors import AlignmentError

CONTRACT = "alignment/1"
"""The contract of alignment.json."""

Verdict = Literal["ok", "suspect", "refused"]
Warp = Literal["sinc", "shift"]


@dataclass(frozen=True)
class Window:
    """One measurement of the lag: `position` on the dry clock, `lag` and `residual` (lag minus line) in samples.

    Both lack the constant by which the device delays the programme more than a click, where the line is the clicks'.
    `weight` is the inverse variance in 1/samples²; 0 says that dry and wet do not belong together here, and then
    `lag` is the line's.
    """

    position: float
    lag: float
    weight: float
    residual: float


@dataclass(frozen=True)
class Dropout:
    """A place, in seconds of the wet file, between two windows where samples were lost (< 0: repeated)."""

    start: float
    stop: float
    lost_samples: int


@dataclass(frozen=True)
class Alignment:
    """Where the wet signal of a capture lies on the clock of its dry signal, and whether that can be trusted.

    wet index = lag_samples + (1 + drift_ppm * 1e-6) * dry index, in samples at the dry rate (+ = wet late, wet
    longer). `applied_*` is what the warp uses: equal to the measured line for `sinc`, a whole lag without drift for
    `shift`. `gain_db` is the best linear gain from 200 Hz to 8 kHz. `residual_rms_samples` is what the windows
    scatter about the line after the device's own phase is removed, and where the line is that of a reel's clicks, one
    constant. `confidence` is the share of the windows that
    agree with the line. Ranges are half-open, in samples of their own file.
    """

    sample_rate: int
    dry_frames: int
    wet_frames: int
    dry_range: tuple[int, int]
    wet_range: tuple[int, int]
    lag_samples: float
    drift_ppm: float
    drift_error_ppm: float | None
    polarity: Literal[1, -1]
    gain_db: float
    residual_rms_samples: float | None
    confidence: float
    dropouts: tuple[Dropout, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    guard_samples: int
    warp: Warp
    applied_lag_samples: float
    applied_drift_ppm: float
    track: tuple[Window, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `twinlib.files.write_json(path, CONTRACT, ...)`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Alignment":
        """The alignment that `to_dict` gave; raises `AlignmentError` where keys are missing or unknown."""
        try:
            lists = {
                "track": tuple(Window(**window) for window in content["track"]),
                "dropouts": tuple(Dropout(**dropout) for dropout in content["dropouts"]),
                "reasons": tuple(content["reasons"]),
                "dry_range": tuple(content["dry_range"]),
                "wet_range": tuple(content["wet_range"]),
            }
            return cls(**{**content, **lists})
        except (KeyError, TypeError) as error:
            raise AlignmentError(f"this is no alignment of contract {CONTRACT} ({error}): align again") from None
