"""Amending an alignment keeps findings, reasons, exclusions and verdict consistent."""

from dataclasses import replace

from tests.alignment.conftest import alignment
from twinlib.alignment import Excluded
from twinlib.diagnosis.amend import amend
from twinlib.findings import Span, info, suspect


def test_explained_findings_leave_with_their_reasons_and_places() -> None:
    found = replace(
        alignment(44100, 0.0),
        findings=(info("note"), suspect("disturbed", Span("wet", 1.0, 2.0)), suspect("noisy", share=0.2)),
        reasons=("the wet file does not follow", "noise"),
        excluded=(Excluded(0, 10, "disturbed"), Excluded(20, 30, "non-finite")),
        verdict="suspect",
    )
    amended = amend(found, [], {"disturbed"})
    assert [each.code for each in amended.findings] == ["note", "noisy"]
    assert amended.reasons == ("noise",)
    assert amended.excluded == (Excluded(20, 30, "non-finite"),)
    assert amended.verdict == "suspect"
    assert amend(amended, [], {"noisy"}).verdict == "ok"
    assert amend(found, []) == found
