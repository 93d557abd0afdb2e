"""The verdict on a twin in words, and the verdict on each take of its data set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from twinlib.contracts import ALIGNMENT, TAKE, VERDICT, VERDICT_FILE
from twinlib.db import MIN_ESR, power_to_db
from twinlib.evaluation.messages import MESSAGES, PAIR_MESSAGES
from twinlib.files import read_json, sha256_file
from twinlib.findings import Finding, Severity, Verdict, info, refused, suspect, verdict, worst

TwinVerdict = Literal["good", "usable", "not usable"]

WORDS: dict[Verdict, TwinVerdict] = {"ok": "good", "suspect": "usable", "refused": "not usable"}
"""The words for a twin, by the worst severity of its findings."""

GOOD_ESR = 0.01
"""An ESR up to which further training is optional."""

USABLE_ESR, USELESS_ESR = 0.035, 0.3
"""The largest ESR of a good and of a usable twin, as in the trainer of Neural Amp Modeler."""

NEGLIGIBLE_ESR = 1e-4
"""An ESR up to which a twin need not beat the linear filter: a linear device has no distortion to learn."""

MIN_GAIN_DB = 3.0
"""The smallest gain over the linear filter of a good twin."""

FLOOR_FACTOR = 2.0
"""An ESR is at the noise floor up to this multiple of it."""

MAX_NAMES = 5
"""The number of takes that a sentence names."""

MAX_REASONS = 3
"""The number of reasons for the verdict on a take in text."""

VERDICT_KEYS = ("verdict", "reasons", "findings", "takes")
"""The keys of the verdict in metrics.json."""

FALLING = 1.33
"""A validation ESR was still falling if the second half of the training divided it by more than this."""

AUDIBLE_ALIASING_DB = -40.0
"""Aliases relative to the harmonics from which the verdict mentions them."""

_Limits = tuple[tuple[float, float, Severity], ...]

_HARMONICS: _Limits = ((6.0, 0.5, "refused"), (6.0, 0.1, "suspect"), (3.0, 0.25, "suspect"), (1.0, 0.5, "suspect"))
"""The largest deviation in dB, the share of the harmonics that may exceed it, and the severity if more do."""

_PHASES: _Limits = ((60.0, 0.5, "refused"), (60.0, 0.1, "suspect"), (25.0, 0.25, "suspect"), (10.0, 0.5, "suspect"))
"""The same for their phases in degrees: each limit adds about as much error as the limit in dB."""


def judge_takes(
    captures: Mapping[str, Mapping[str, Any]], residuals: Mapping[str, Sequence[Finding]]
) -> dict[str, dict[str, Any]]:
    """Return verdict, reasons and findings of each take: the worst of ingest, alignment and the twin's residual.

    `captures` are those of dataset.json and the probe take (`take_verdicts`), `residuals` the findings of
    `find_outliers` by capture.
    """
    takes = {}
    for name in sorted({*captures, *residuals}):
        capture = captures.get(name, {})
        findings = residuals.get(name, ())
        stages = [stage for stage in ("take", "alignment") if f"{stage}_verdict" in capture]
        messages = PAIR_MESSAGES if is_pair(capture) else MESSAGES
        takes[name] = {
            "verdict": worst([*(capture[f"{stage}_verdict"] for stage in stages), verdict(findings)]),
            "reasons": [
                *(reason for stage in stages for reason in capture[f"{stage}_reasons"]),
                *messages.reasons(findings),
            ],
            "findings": [finding.to_dict() for finding in findings],
        }
    return takes


def is_pair(capture: Mapping[str, Any]) -> bool:
    """Whether a capture in dataset.json is a pair of the user, without a reel."""
    return capture.get("kind") == "pair"


def take_verdicts(take: Path, alignment: Path) -> dict[str, Any]:
    """Return the verdicts and reasons in `take.json` and `alignment.json`, by the keys of dataset.json."""
    stages = {"take": read_json(take, TAKE), "alignment": read_json(alignment, ALIGNMENT)}
    return {f"{stage}_{key}": content[key] for stage, content in stages.items() for key in ("verdict", "reasons")}


def judge_twin(
    metrics: Mapping[str, Any],
    takes: Mapping[str, Mapping[str, Any]],
    improvement: float | None = None,
    of_pairs: bool = False,
) -> dict[str, Any]:
    """Return the verdict on a twin for metrics.json: its word, and the findings with their sentences, worst first.

    `metrics` holds `esr`, `esr_linear` and, if known, `esr_floor`, `harmonics` and `aliasing`; `takes` is the result of
    `judge_takes`, `improvement` that of `late_improvement`. The device is given as takes or as pairs (`of_pairs`).
    Worse values never give a better word.
    """
    messages = PAIR_MESSAGES if of_pairs else MESSAGES
    order: list[Severity] = ["refused", "suspect", "info"]
    findings = sorted(_findings(metrics, takes, improvement), key=lambda finding: order.index(finding.severity))
    return {
        "verdict": WORDS[verdict(findings)],
        "reasons": [messages.sentence(finding) for finding in findings],
        "findings": [finding.to_dict() for finding in findings],
        "takes": dict(takes),
    }


def verdict_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the verdict in metrics.json as text, a line per reason and per suspect take; empty in older files."""
    if "verdict" not in metrics:
        return []
    lines = [f"{metrics['device']}, {metrics['model']}: {metrics['verdict']}"]
    lines += [f"  {reason}" for reason in metrics["reasons"]]
    for name, take in suspect_takes(metrics).items():
        reasons = take["reasons"][:MAX_REASONS]
        more = [f"and {len(take['reasons']) - MAX_REASONS} more"] if len(take["reasons"]) > MAX_REASONS else []
        lines.append(f"  take {name} ({take['verdict']}): {'; '.join([*reasons, *more])}")
    return lines


def suspect_takes(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the takes in metrics.json that are suspect or refused; empty in older files."""
    return {name: take for name, take in metrics.get("takes", {}).items() if take["verdict"] != "ok"}


def verdict_content(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of verdict.json: the verdicts in metrics.json, without the measured speed."""
    return {name: metrics[name] for name in ("device", "model", "twin_sha256", *VERDICT_KEYS)}


def read_verdict(path: Path) -> dict[str, Any]:
    """Return the verdicts in a verdict.json, without the twin's identity; raises `TwinError` if it is unreadable."""
    content = read_json(path, VERDICT)
    return {name: content[name] for name in VERDICT_KEYS}


def read_verdict_of(twin: Path) -> dict[str, Any]:
    """Return the verdicts that the evaluation of a twin left next to its file; empty if it has not been evaluated."""
    path = twin.parent / "evaluation" / VERDICT_FILE
    if not path.is_file() or read_json(path, VERDICT)["twin_sha256"] != sha256_file(twin):
        return {}
    return read_verdict(path)


def without_verdict(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics without the verdict and its findings."""
    return {name: value for name, value in metrics.items() if name not in VERDICT_KEYS}


def _findings(
    metrics: Mapping[str, Any], takes: Mapping[str, Mapping[str, Any]], improvement: float | None
) -> Iterator[Finding]:
    esr, floor = metrics["esr"], metrics.get("esr_floor") or 0.0
    at_floor = esr <= FLOOR_FACTOR * floor
    if at_floor:
        yield info("at-noise-floor", floor_percent=100 * floor)
    else:
        yield from _error_findings(esr, metrics["esr_linear"])
    yield from _harmonic_findings(metrics.get("harmonics") or {})
    yield from _aliasing_findings(metrics.get("aliasing") or {})
    if improvement is not None and improvement > FALLING and not at_floor:
        percent = 100 * (1 - 1 / improvement)
        optional = esr <= GOOD_ESR
        yield info("still-falling", percent=percent) if optional else suspect("still-falling", percent=percent)
    if names := sorted(name for name, take in takes.items() if take["verdict"] != "ok"):
        more = [f"{len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
        listed = ", ".join([*names[:MAX_NAMES], *more])
        yield suspect("suspect-takes", count=len(names), takes=len(takes), names=listed)


def _error_findings(esr: float, linear: float) -> Iterator[Finding]:
    gain_db = power_to_db(linear, MIN_ESR) - power_to_db(esr, MIN_ESR)
    percent = 100 * esr
    if gain_db < MIN_GAIN_DB and esr <= NEGLIGIBLE_ESR:
        yield info("linear-device", esr_percent=percent)
    elif gain_db <= 0.0:
        yield refused("worse-than-linear", esr_percent=percent, linear_percent=100 * linear)
    elif gain_db < MIN_GAIN_DB:
        yield suspect("near-linear", gain_db=gain_db)
    elif esr <= USABLE_ESR:
        yield info("low-error", esr_percent=percent, gain_db=gain_db)
    if esr > USELESS_ESR:
        yield refused("high-error", esr_percent=percent)
    elif esr > USABLE_ESR:
        yield suspect("high-error", esr_percent=percent)


def _harmonic_findings(harmonics: Mapping[str, Any]) -> Iterator[Finding]:
    compared = harmonics.get("compared", 0)
    deviations = [abs(miss["off_db"]) for miss in harmonics.get("misses", [])]
    for limit, off, severity in _exceeded(deviations, compared, _HARMONICS):
        values = {"off": off, "compared": compared, "limit_db": limit, "worst_db": max(deviations)}
        yield Finding("harmonics-off", severity, None, values)
    # Absent from files of older versions.
    degrees = [abs(miss["off_degrees"]) for miss in harmonics.get("phase_misses", [])]
    for limit, off, severity in _exceeded(degrees, compared, _PHASES):
        values = {"off": off, "compared": compared, "limit_degrees": limit, "worst_degrees": max(degrees)}
        yield Finding("phases-off", severity, None, values)


def _aliasing_findings(aliasing: Mapping[str, Any]) -> Iterator[Finding]:
    sines = [sine for sine in aliasing.get("sines", ()) if sine["alias_db"] > AUDIBLE_ALIASING_DB]
    if sines:
        worst_sine = max(sines, key=lambda sine: float(sine["alias_db"]))
        hz, level = worst_sine["hz"], worst_sine["level_dbfs"]
        yield info("aliasing", hz=hz, level_dbfs=level, relative_db=worst_sine["alias_db"])


def _exceeded(deviations: Sequence[float], compared: int, limits: _Limits) -> Iterator[tuple[float, int, Severity]]:
    """Yield the first limit that too many of the compared harmonics exceed, their number, and the severity."""
    for limit, share, severity in limits:
        off = sum(deviation > limit for deviation in deviations)
        if off > share * compared:
            yield limit, off, severity
            return
