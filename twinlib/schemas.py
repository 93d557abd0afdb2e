"""Types of the keys of JSON files by contract, as far as their readers need them; additional keys are allowed.

Files of earlier versions lack some of them: a required key has been in every version of its contract.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Required

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from twinlib import contracts
from twinlib.contracts import SplitName
from twinlib.findings import Severity, Verdict

Bounds = Annotated[list[int], Field(min_length=2, max_length=2)]
"""First and last sample, or start and stop."""

SectionKind = Literal["marker", "silence", "sweep", "sine", "smpte", "ccif", "multitone", "ramp", "burst", "music"]
"""Kinds of sections of a probe reel."""


class Span(TypedDict, total=False):
    """A range in a file."""

    file: Required[str]
    start: Required[float]
    stop: Required[float]
    unit: Literal["seconds", "samples"]


class Finding(TypedDict):
    """The result of a check."""

    code: str
    severity: Severity
    span: Span | None
    values: dict[str, int | float | str]


class Judged(TypedDict, total=False):
    """What a verdict is based on."""

    verdict: Required[Verdict]
    reasons: Required[list[str]]
    findings: list[Finding]


class Window(TypedDict):
    """A measurement of the lag."""

    position: float
    lag: float
    weight: float
    residual: float


class Dropout(TypedDict):
    """Lost or repeated samples."""

    start: float
    stop: float
    lost_samples: int


class Excluded(TypedDict):
    """Dry samples without a usable wet signal."""

    start: int
    stop: int
    reason: str


class Piece(TypedDict):
    """The lag over a range of dry samples."""

    start: int
    stop: int
    positions: list[float]
    lags: list[float]


class Reference(TypedDict):
    """The loop-back channel."""

    channel: int
    polarity: Literal[1, -1]
    gain_db: float


class Witness(TypedDict):
    """The features of the repeated excerpt."""

    levels_dbfs: list[list[float]]
    noise_dbfs: list[float]


class Known(TypedDict, total=False):
    """What the list of pairs says about a capture."""

    lag: float | None
    same_clock: bool | None
    polarity: Literal[1, -1] | None
    accept: str | None


class Alignment(Judged, total=False):
    """`alignment/2`; `Alignment.from_dict` finds missing keys."""

    sample_rate: int
    wet_sample_rate: int
    dry_frames: int
    wet_frames: int
    dry_range: Bounds
    wet_range: Bounds
    lag_samples: float
    drift_ppm: float
    drift_error_ppm: float | None
    polarity: Literal[1, -1]
    gain_db: float
    residual_rms_samples: float | None
    wander_rms_samples: float
    confidence: float
    dropouts: list[Dropout]
    excluded: list[Excluded]
    guard_samples: int
    reference: Reference | None
    warp: Literal["sinc", "shift"]
    applied_lag_samples: float
    applied_drift_ppm: float
    applied_polarity: Literal[1, -1]
    applied_gain: float
    applied_dc: float
    pieces: list[Piece]
    track: list[Window]
    noise_floor_dbfs: float | None
    witness: Witness | None
    is_pair: bool
    known: Known | None


class ComparedCapture(Judged, total=False):
    """A capture beside the others of its device."""

    shift: Required[float | None]


class Captures(TypedDict):
    """`captures/1`."""

    device: str
    captures: dict[str, ComparedCapture]


class Clips(TypedDict, total=False):
    """`clips/1`."""

    seconds: float
    gain: float
    gain_db: float
    sample_rate: Required[int]
    excerpts: int
    pieces: Required[list["ClipPiece"]]


class ClipPiece(TypedDict):
    """The place of an excerpt in the clips and in its shard."""

    start: int
    stop: int
    shard: str
    shard_start: int


class Amount(TypedDict):
    """A number of segments and their length."""

    segments: int
    seconds: float
    hours: float


class DatasetCapture(TypedDict, total=False):
    """A capture in a dataset."""

    kind: str
    take_verdict: Verdict
    take_reasons: list[str]
    alignment_verdict: Verdict
    alignment_reasons: list[str]
    accepted: str | None
    noise_floor_dbfs: float | None
    simulated: bool
    usable: Amount
    all: Amount


class Dataset(TypedDict, total=False):
    """`dataset/1`."""

    device: Required[str]
    sample_rate: Required[int]
    segment_samples: Required[int]
    guard_samples: Required[int]
    simulated: bool
    splits: dict[SplitName, Amount]
    captures: dict[str, DatasetCapture]
    missing_captures: list[str]
    excluded: dict[str, Any]
    divided_artists: dict[str, list[str]]
    licences: dict[str, Amount]
    sums: dict[str, dict[str, str] | str]
    digest: Required[str]


class DeviceCard(TypedDict):
    """`device-card/1`."""

    device: str
    card: dict[str, str | float | None]


class RecordedTake(TypedDict, total=False):
    """How a take was recorded."""

    take: Required[str]
    verdict: Required[Verdict]
    reasons: Required[list[str]]
    breaks: Required[list[float]]


class Recording(TypedDict):
    """`recording/1`."""

    device: str
    takes: dict[str, RecordedTake]


class Block(TypedDict):
    """Consecutive slices of one split."""

    split: SplitName
    start: int
    stop: int
    slices: int


class Reel(TypedDict, total=False):
    """The layout of a reel."""

    frames: int
    clicks: list[int]
    click_frames: int
    programme: Bounds
    blocks: list[Block]
    witness: list[Bounds]


class Excitation(TypedDict, total=False):
    """`excitation/1`."""

    name: str
    settings: dict[str, Any]
    sample_rate: int
    reels: dict[str, Reel]
    tracks: dict[SplitName, list[str]]
    seconds: dict[SplitName, float]
    left_out: list[dict[str, str]]
    redrawn_silent: dict[str, int]


class ExcerptPart(TypedDict, total=False):
    """A part of the excerpt of a probe reel."""

    track_id: Required[str]
    artist: str
    licence: str
    source: str
    source_sha256: str
    source_start: int
    source_stop: int
    frames: int


class Probe(TypedDict, total=False):
    """`probe/1`."""

    name: str
    sample_rate: Required[int]
    reels: Required[dict[str, Reel]]
    sections: Required[list["Section"]]
    excerpt: Required[list[ExcerptPart]]


class Section(TypedDict, total=False):
    """A section of a probe reel."""

    kind: Required[SectionKind]
    start: Required[int]
    stop: Required[int]
    level_dbfs: float | None
    tones: list["Tone"]
    window: Bounds | None
    low_hz: float | None
    high_hz: float | None
    constant: float | None
    frames: int | None
    from_dbfs: float | None
    steps: list[list[float]]
    number: int | None


class Tone(TypedDict, total=False):
    """A sine of a section."""

    cycles: int
    hz: float
    dbfs: float
    phase: float


class Index(TypedDict, total=False):
    """`index/1`."""

    tracks: int
    artists: int
    artist_families: int
    sources: int
    hours: float
    hours_by_kind: dict[str, float]
    hours_by_licence: dict[str, float]
    excluded: list["ExcludedTrack"]
    excluded_not_in_corpus: list[str]
    partly_excluded: list[str]
    joined_artists: dict[str, list[str]]
    near_names: list["NearNames"]
    passed_over: dict[str, int]
    lossy: dict[str, int]
    problems: list["Problem"]


class ExcludedTrack(TypedDict):
    """A track that the configuration leaves out."""

    track_id: str
    reason: str


class NearNames(TypedDict):
    """Similar names of artists."""

    names: list[str]
    reason: Literal["folder", "name", "spelling", "words"]


class Problem(TypedDict):
    """A file of the corpus that cannot be used."""

    file: str
    reason: str


class Leaks(TypedDict, total=False):
    """`leaks/1`."""

    leaks: Required[list[dict[str, Any]]]
    checked: dict[str, Any]
    aliases: dict[str, list[str]]
    joined_artists: dict[str, list[str]]
    divided_artists: list[dict[str, Any]]
    near_names: list[NearNames]


class Linear(TypedDict):
    """`linear/1`."""

    sample_rate: int
    fir: list[float]


class Measurements(TypedDict, total=False):
    """`measurements/1`."""

    device: dict[str, Any]
    twin: dict[str, Any]


class Metrics(TypedDict, total=False):
    """`metrics/1`."""

    device: Required[str]
    model: Required[str]
    sample_rate: int
    parameters: int
    receptive_field: int
    linear_taps: int
    dataset: str
    twin_sha256: str
    realtime_factor: float | None
    seconds: float
    esr: float | None
    esr_db: float | None
    esr_preemphasis: float | None
    esr_dry: float | None
    esr_gain: float | None
    esr_linear: float | None
    gain_over_linear_db: float | None
    mr_stft: float | None
    log_mel_db: float | None
    mae: float | None
    dc: float | None
    dc_device: float | None
    lufs_difference_db: float | None
    lufs_short_term_difference_db: float | None
    true_peak_difference_db: float | None
    crest_difference_db: float | None
    splits: dict[str, dict[str, Any]]
    by_track: list[dict[str, Any]]
    by_level: list[dict[str, Any]]
    esr_over_time: dict[str, Any]
    aliasing: dict[str, Any]
    harmonics: dict[str, Any]
    impulse_samples: int
    esr_floor: float
    music_withdrawn: list[str]
    visqol: float | None
    verdict: str
    reasons: list[str]
    findings: list[Finding]
    takes: dict[str, Judged]


class Music(TypedDict, total=False):
    """`music/1`."""

    seconds: float
    gain: float
    gain_db: float
    sample_rate: int
    reel: Required[str]
    reel_start: Required[int]
    reel_stop: Required[int]
    withdrawn: list[str]


class Record(TypedDict, total=False):
    """`record/1`."""

    program: Required[str]
    params: Required[dict[str, str]]
    inputs: Required[dict[str, str]]
    outputs: Required[dict[str, str]]
    code: Required[str]
    upstream: dict[str, str]
    link: str
    environment: dict[str, Any]
    git: dict[str, str | bool]
    started: str
    seconds: float
    sum: str


class Run(TypedDict, total=False):
    """`run/1`; without a `run_id` while the server did not answer, or before the run with this `token` is created."""

    run_id: Required[str | None]
    identity: str
    experiment: str
    last_steps: dict[str, int]
    token: str


class SimulatedTake(TypedDict, total=False):
    """`simulated-take/1`."""

    lag_samples: float
    drift_ppm: float
    polarity: Literal[1, -1]
    gain_db: float
    frames: int


class Store(TypedDict):
    """`store/1`."""

    experiments: dict[str, str]


class ClippedRun(TypedDict):
    """Consecutive clipped samples."""

    start: int
    samples: int
    seconds: float


class Take(Judged, total=False):
    """`take/1`."""

    path: str
    sha256: Required[str]
    format: str
    subtype: str
    sample_rate: int
    channels: int
    channel: int
    frames: int
    seconds: float
    bit_depth: int | None
    peak_dbfs: float
    peaks_dbfs: list[float]
    rms_dbfs: float
    dc: float
    noise_floor_dbfs: float
    snr_db: float
    clips: int
    clipped_samples: int
    clipped: list[ClippedRun]
    simulated: bool
    hum_hz: float | None
    hum_dbfs: float | None
    settings: dict[str, str | int | float | bool]
    header: Literal["complete", "unfinished", "truncated"]
    notes: list[str]
    kind: Literal["take", "pair", "simulated"]
    dry_sha256: str


class PastTake(TypedDict, total=False):
    """A take in the history of a capture."""

    path: Required[str]
    sha256: Required[str]
    frames: int
    verdict: Verdict
    reasons: list[str]
    since: Required[str]
    reason: str | None


class TakeHistory(TypedDict):
    """`take-history/1`."""

    takes: list[PastTake]
    sum: str


class TwinVerdict(TypedDict, total=False):
    """`verdict/1`."""

    device: str
    model: str
    twin_sha256: Required[str]
    verdict: Required[str]
    reasons: Required[list[str]]
    findings: Required[list[Finding]]
    takes: Required[dict[str, Judged]]


class Worker(TypedDict, total=False):
    """`worker/1`."""

    identity: Required[str]
    finished: str


JSON: Mapping[str, Any] = {
    contracts.ALIGNMENT: Alignment,
    contracts.CAPTURES: Captures,
    contracts.CLIPS: Clips,
    contracts.DATASET: Dataset,
    contracts.DEVICE_CARD: DeviceCard,
    contracts.EXCITATION: Excitation,
    contracts.INDEX: Index,
    contracts.LEAKS: Leaks,
    contracts.LINEAR: Linear,
    contracts.MEASUREMENTS: Measurements,
    contracts.METRICS: Metrics,
    contracts.MUSIC: Music,
    contracts.PROBE: Probe,
    contracts.RECORD: Record,
    contracts.RECORDING: Recording,
    contracts.RUN: Run,
    contracts.SIMULATED_TAKE: SimulatedTake,
    contracts.STORE: Store,
    contracts.TAKE: Take,
    contracts.TAKE_HISTORY: TakeHistory,
    contracts.VERDICT: TwinVerdict,
    contracts.WORKER: Worker,
}
"""The keys of JSON files by contract. Numbers are finite; an integer stands for any number."""


def check_json(contract: str, content: Any) -> str | None:
    """Return the first key of a JSON object that does not fit its contract, with the reason; None if all fit."""
    if contract not in JSON:
        return None
    try:
        _adapter(contract).validate_python(content, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, problem["loc"]))[:200]
        return f"{key}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
    return None


@cache
def _adapter(contract: str) -> TypeAdapter[Any]:
    return TypeAdapter(JSON[contract])
