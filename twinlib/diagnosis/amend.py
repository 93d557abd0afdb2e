"""Amend an alignment: add the findings of the diagnosis and remove those that they explain."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from twinlib.alignment import Alignment
from twinlib.diagnosis.messages import MESSAGES
from twinlib.findings import Finding, verdict


def amend(alignment: Alignment, found: Sequence[Finding], explained: Collection[str] = ()) -> Alignment:
    """Return the alignment with the findings of a diagnosis, and their sentences and verdict.

    Findings of the alignment whose codes are `explained` are removed, with their excluded places.
    """
    rest = remove_findings(alignment, explained)
    findings = (*found, *rest.findings)
    reasons = (*MESSAGES.reasons(found), *rest.reasons)
    return replace(rest, findings=findings, reasons=reasons, verdict=verdict(findings))


def remove_findings(alignment: Alignment, codes: Collection[str]) -> Alignment:
    """Return the alignment without the findings of some codes, their sentences and their excluded places."""
    sentences = iter(alignment.reasons)
    reasons = [next(sentences, "") if finding.severity != "info" else "" for finding in alignment.findings]
    kept = [
        (finding, reason)
        for finding, reason in zip(alignment.findings, reasons, strict=True)
        if finding.code not in codes
    ]
    return replace(
        alignment,
        findings=tuple(finding for finding, _ in kept),
        reasons=tuple(reason for _, reason in kept if reason),
        verdict=verdict(finding for finding, _ in kept),
        excluded=tuple(each for each in alignment.excluded if each.reason not in codes),
    )
