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
    sentences = iter(alignment.reasons)
    findings, reasons = list(found), list(MESSAGES.reasons(found))
    for finding in alignment.findings:
        reason = next(sentences, "") if finding.severity != "info" else ""
        if finding.code not in explained:
            findings.append(finding)
            reasons += [reason] if reason else []
    return replace(
        alignment,
        findings=tuple(findings),
        reasons=tuple(reasons),
        verdict=verdict(findings),
        excluded=tuple(each for each in alignment.excluded if each.reason not in explained),
    )
