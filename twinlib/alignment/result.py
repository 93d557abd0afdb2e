"""The result of an alignment, the contract `alignment/2`, and its construction from what was measured."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twinlib.alignment.messages import MESSAGES, PAIR_MESSAGES
from twinlib.capture import Known
from twinlib.contracts import ALIGNMENT
from twinlib.errors import AlignmentError
from twinlib.findings import Finding, Verdict, verdict
from twinlib.intervals import Range
from twinlib.resampling import Channel, Piece, TimeMap

RENAMED = {"off-the-line": "misaligned", "unlike": "disturbed", "not-a-number": "non-finite"}
"""Current codes of exclusions by the reasons in files of older versions."""

Warp = Literal["sinc", "shift"]
Repair = Literal["polarity", "gain", "dc"]


@dataclass(frozen=True)
class Window:
    """One measurement of the lag: `position` on the dry clock, `lag` and `residual` (lag minus fit) in samples.

    If the line is that of the clicks, both exclude the constant by which the device delays programme more than clicks.
    `weight` is the inverse variance in 1/samples²; 0 marks a window without a delay, whose `lag` is that of the fit.
    """

    position: float
    lag: float
    weight: float
    residual: float


@dataclass(frozen=True)
class Dropout:
    """A span in seconds of the wet file in which samples were lost (`lost_samples` < 0: repeated)."""

    start: float
    stop: float
    lost_samples: int


@dataclass(frozen=True)
class Excluded:
    """Dry samples [start, stop) without a usable wet signal; `reason` is the code that flags segments."""

    start: int
    stop: int
    reason: str


@dataclass(frozen=True)
class Reference:
    """The loop-back channel (from 0) used as the dry signal, its polarity, and its gain relative to the dry file."""

    channel: int
    polarity: Literal[1, -1]
    gain_db: float


@dataclass(frozen=True)
class Witness:
    """The features of the repeated excerpt in a take, by which takes of one device are compared.

    `levels_dbfs` are the levels of the warped signal by step and frequency band of the excerpt, as the mean over its
    repeats in their most frequent state; `noise_dbfs` are those of the silence before them, by band.
    """

    levels_dbfs: tuple[tuple[float, ...], ...]
    noise_dbfs: tuple[float, ...]


@dataclass(frozen=True)
class Alignment:
    """The lag, drift, polarity, gain and faults of a capture, the warp that corrects them, and the verdict.

    Lags are in samples at the dry rate: positive if the wet signal is late. Ranges are half-open; `wet_range` and
    `wet_frames` are in samples of the file, at `wet_sample_rate`. The measured quantities:

    - `lag_samples`, `drift_ppm`: the line of the first piece, wet index = lag_samples + (1 + drift_ppm * 1e-6) * dry
      index, without a curve; `drift_error_ppm` is its standard error.
    - `gain_db`: the least-squares gain from 200 Hz to 16 kHz.
    - `residual_rms_samples`: the scatter of the windows about the pieces, without the phase of the device and, if the
      line is that of the clicks, without a constant. `wander_rms_samples`: the rms of the curve about the line.
    - `confidence`: the share of inliers among the audible windows.
    - `noise_floor_dbfs`: the noise of the take between repeats of the same excerpt, None if nothing is repeated;
      `witness`: the features of that excerpt.

    The warp follows `pieces`, the lag over the dry clock: a line or a curve, and a new piece after each dropout.
    `applied_lag_samples` and `applied_drift_ppm` describe the first piece, an integer without drift for `shift`. The
    warp subtracts `applied_dc`, then multiplies by `applied_polarity` and `applied_gain`.

    `findings` are the results of all checks, `reasons` the sentences of those that change the verdict. `is_pair` marks
    a capture without a reel, and `known` is what the list of pairs says about it.
    """

    sample_rate: int
    wet_sample_rate: int
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
    wander_rms_samples: float
    confidence: float
    dropouts: tuple[Dropout, ...]
    excluded: tuple[Excluded, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    guard_samples: int
    reference: Reference | None
    warp: Warp
    applied_lag_samples: float
    applied_drift_ppm: float
    applied_polarity: Literal[1, -1]
    applied_gain: float
    applied_dc: float
    pieces: tuple[Piece, ...]
    track: tuple[Window, ...]
    findings: tuple[Finding, ...] = ()
    noise_floor_dbfs: float | None = None
    witness: Witness | None = None
    is_pair: bool = False
    known: Known | None = None

    @property
    def timemap(self) -> TimeMap:
        """The lag at every dry position that the warp applies."""
        return TimeMap(self.pieces)

    def lags(self, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the lag in samples that the warp applies at each dry position."""
        return self.timemap.lags(positions)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `twinlib.files.write_json(path, ALIGNMENT, ...)`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Alignment":
        """Return the alignment from the result of `to_dict`; raises `AlignmentError` if keys are missing or unknown."""
        try:
            reference = content["reference"]
            parts = {
                "track": tuple(Window(**window) for window in content["track"]),
                "dropouts": tuple(Dropout(**dropout) for dropout in content["dropouts"]),
                "excluded": tuple(
                    Excluded(**{**excluded, "reason": RENAMED.get(excluded["reason"], excluded["reason"])})
                    for excluded in content["excluded"]
                ),
                "pieces": tuple(
                    Piece(**{**piece, "positions": tuple(piece["positions"]), "lags": tuple(piece["lags"])})
                    for piece in content["pieces"]
                ),
                "reference": Reference(**reference) if reference is not None else None,
                "reasons": tuple(content["reasons"]),
                # Absent from files of older versions.
                "findings": tuple(Finding.from_dict(finding) for finding in content.get("findings", ())),
                "witness": _witness(content.get("witness")),
                "dry_range": tuple(content["dry_range"]),
                "wet_range": tuple(content["wet_range"]),
                "known": Known(**content["known"]) if content.get("known") is not None else None,
            }
            return cls(**{**content, **parts})
        except (KeyError, TypeError) as error:
            raise AlignmentError(f"this file does not follow the contract {ALIGNMENT} ({error}): align again") from None


def _witness(content: dict[str, Any] | None) -> Witness | None:
    if content is None:
        return None
    return Witness(tuple(tuple(row) for row in content["levels_dbfs"]), tuple(content["noise_dbfs"]))


@dataclass(frozen=True)
class Measurement:
    """The measured clock, level and quality of a capture; the defaults are those of a refused one."""

    lag_samples: float = 0.0
    drift_ppm: float = 0.0
    drift_error_ppm: float | None = None
    polarity: Literal[1, -1] = 1
    gain_db: float = 0.0
    residual_rms_samples: float | None = None
    wander_rms_samples: float = 0.0
    confidence: float = 0.0
    reference: Reference | None = None
    track: tuple[Window, ...] = ()


def build_alignment(
    dry: Channel,
    wet: Channel,
    measurement: Measurement,
    findings: Sequence[Finding],
    pieces: tuple[Piece, ...],
    *,
    guard_samples: int,
    repair: Collection[Repair],
    applied_gain: float,
    applied_dc: float,
    warp: Warp = "sinc",
    applied_line: tuple[float, float] | None = None,
    dropouts: Sequence[Dropout] = (),
    excluded: Sequence[Excluded] = (),
    is_pair: bool = False,
) -> Alignment:
    """Build the contract `alignment/2` of any capture; `applied_line` is lag and drift, as measured by default."""
    info = wet.reader.info
    applied_lag, applied_drift_ppm = applied_line or (measurement.lag_samples, measurement.drift_ppm)
    return Alignment(
        sample_rate=dry.rate,
        wet_sample_rate=info.sample_rate,
        dry_frames=dry.reader.info.frames,
        wet_frames=info.frames,
        dry_range=(dry.start, dry.stop),
        wet_range=_wet_range(wet),
        dropouts=tuple(dropouts),
        excluded=tuple(sorted(excluded, key=lambda each: (each.start, each.stop, each.reason))),
        verdict=verdict(findings),
        reasons=(PAIR_MESSAGES if is_pair else MESSAGES).reasons(findings),
        guard_samples=guard_samples,
        warp=warp,
        applied_lag_samples=applied_lag,
        applied_drift_ppm=applied_drift_ppm,
        applied_polarity=-1 if "polarity" in repair and measurement.polarity < 0 else 1,
        applied_gain=applied_gain,
        applied_dc=applied_dc,
        pieces=pieces,
        findings=tuple(findings),
        is_pair=is_pair,
        **vars(measurement),
    )


def _wet_range(wet: Channel) -> Range:
    info = wet.reader.info
    if info.sample_rate == wet.rate:
        return wet.start, wet.stop
    stop = -(-wet.stop * info.sample_rate // wet.rate)
    return wet.start * info.sample_rate // wet.rate, min(info.frames, stop)
