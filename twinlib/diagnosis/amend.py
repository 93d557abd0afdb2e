"""Amend an alignment: add the findings of the diagnosis and remove those that they explain."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from twinlib.alignment import Alignment, Excluded
from twinlib.diagnosis.messages import MESSAGES
from twinlib.findings import Finding, Span, verdict

MAX_FALSE_STEP = 3
"""Samples by which the phase of a device changes with its tone."""

STEP_CODES = frozenset({"lost-samples", "repeated-samples"})
"""Codes of the places at a step."""

PLACE_CODES = frozenset({"disturbed", "not-recognised"})
"""Codes of findings on one excluded place."""

STEP_SECONDS = 1.0
"""Distance of a change of the device from the step of the lag that it causes."""


def without_false_steps(alignment: Alignment, found: Sequence[Finding]) -> Alignment:
    """Return the alignment without the steps of the lag that a change of the device explains.

    The phase of a device changes with its tone, so that the lag seems to change by a few samples there. The parts on
    both sides of such a step keep the lag of the first.
    """
    places = [finding.span for finding in found if finding.span is not None]
    pieces = list(alignment.pieces)
    dropouts, findings, reasons = list(alignment.dropouts), list(alignment.findings), list(alignment.reasons)
    excluded = list(alignment.excluded)
    for number, dropout in reversed(list(enumerate(alignment.dropouts))):
        near = [p for p in places if p.start - STEP_SECONDS < dropout.stop and dropout.start < p.stop + STEP_SECONDS]
        if not near or abs(dropout.lost_samples) > MAX_FALSE_STEP or len(pieces) != len(dropouts) + 1:
            continue
        for later in range(number + 1, len(pieces)):
            lags = tuple(lag + dropout.lost_samples for lag in pieces[later].lags)
            pieces[later] = replace(pieces[later], lags=lags)
        joined = replace(pieces[number], stop=pieces[number + 1].stop)
        between = pieces[number].stop, pieces[number + 1].start
        pieces[number : number + 2] = [joined]
        del dropouts[number]
        lost = [
            f for f in findings if f.span is not None and (f.span.start, f.span.stop) == (dropout.start, dropout.stop)
        ]
        for finding in lost:
            if finding.severity != "info":
                del reasons[[f for f in findings if f.severity != "info"].index(finding)]
            findings.remove(finding)
        excluded = [
            each
            for each in excluded
            if each.reason not in STEP_CODES or each.stop < between[0] or each.start > between[1]
        ]
    return replace(
        alignment,
        pieces=tuple(pieces),
        dropouts=tuple(dropouts),
        findings=tuple(findings),
        reasons=tuple(reasons),
        excluded=tuple(excluded),
    )


def amend(alignment: Alignment, found: Sequence[Finding], explained: Collection[str] = ()) -> Alignment:
    """Return the alignment with the findings of a diagnosis, and their sentences and verdict.

    Findings of the alignment whose codes are `explained` are removed, with their excluded places.
    """
    rest = remove_findings(alignment, explained)
    findings = (*found, *rest.findings)
    reasons = (*MESSAGES.reasons(found), *rest.reasons)
    return replace(rest, findings=findings, reasons=reasons, verdict=verdict(findings))


def describe_notes(alignment: Alignment) -> tuple[str, ...]:
    """Return the sentences of the findings of a diagnosis that do not change the verdict."""
    return MESSAGES.notes(finding for finding in alignment.findings if finding.code in MESSAGES.codes)


def excuse(alignment: Alignment, excused: Collection[Finding]) -> Alignment:
    """Return the alignment with some of its findings on places as notes. The places stay excluded."""
    sentences = iter(alignment.reasons)
    findings, reasons = [], []
    for finding in alignment.findings:
        sentence = next(sentences, "") if finding.severity != "info" else ""
        if finding in excused:
            finding, sentence = replace(finding, severity="info"), ""
        findings.append(finding)
        reasons += [sentence] if sentence else []
    return replace(alignment, findings=tuple(findings), reasons=tuple(reasons), verdict=verdict(findings))


def exclude(alignment: Alignment, spans: Sequence[Span], reason: str) -> Alignment:
    """Return the alignment with spans of the wet file excluded, in place of the findings within them."""
    if not spans:
        return alignment
    time_map, rate = alignment.timemap, alignment.sample_rate
    places = []
    for span in spans:
        start, stop = (time_map.dry(place * rate) for place in (span.start, span.stop))
        low, high = max(alignment.dry_range[0], int(start)), min(alignment.dry_range[1], int(stop) + 1)
        places.append(Excluded(low, high, reason))
    kept = _keep(alignment, lambda finding: finding.code == reason or not _is_within(finding, spans))
    return replace(kept, excluded=(*alignment.excluded, *places))


def _is_within(finding: Finding, spans: Sequence[Span]) -> bool:
    """Whether a finding on an excluded place is within one of the spans."""
    here = finding.span
    if here is None or finding.code not in PLACE_CODES:
        return False
    return any(span.start <= here.start and here.stop <= span.stop for span in spans)


def remove_findings(alignment: Alignment, codes: Collection[str]) -> Alignment:
    """Return the alignment without the findings of some codes, their sentences, excluded places and dropouts."""
    return replace(
        _keep(alignment, lambda finding: finding.code not in codes),
        excluded=tuple(each for each in alignment.excluded if each.reason not in codes),
        dropouts=() if STEP_CODES.issubset(codes) else alignment.dropouts,
    )


def remove_places(alignment: Alignment, findings: Collection[Finding]) -> Alignment:
    """Return the alignment without some findings on excluded places, their sentences and these places."""
    time_map, rate = alignment.timemap, alignment.sample_rate

    def is_kept(place: Excluded) -> bool:
        middle = time_map.wet(0.5 * (place.start + place.stop)) / rate
        return not any(
            finding.code == place.reason
            and finding.span is not None
            and finding.span.start < middle < finding.span.stop
            for finding in findings
        )

    return replace(
        _keep(alignment, lambda finding: finding not in findings),
        excluded=tuple(place for place in alignment.excluded if is_kept(place)),
    )


def _keep(alignment: Alignment, is_kept: Callable[[Finding], bool]) -> Alignment:
    """Return the alignment with some of its findings and their sentences, and the verdict of these."""
    sentences = iter(alignment.reasons)
    reasons = [next(sentences, "") if finding.severity != "info" else "" for finding in alignment.findings]
    kept = [pair for pair in zip(alignment.findings, reasons, strict=True) if is_kept(pair[0])]
    return replace(
        alignment,
        findings=tuple(finding for finding, _ in kept),
        reasons=tuple(reason for _, reason in kept if reason),
        verdict=verdict(finding for finding, _ in kept),
    )
