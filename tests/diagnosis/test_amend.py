"""Amending an alignment keeps findings, reasons, exclusions and verdict consistent."""

from dataclasses import replace

from tests.alignment.conftest import alignment
from twinlib.alignment import Excluded
from twinlib.diagnosis.amend import amend, excuse
from twinlib.diagnosis.causes import merge_repeats
from twinlib.diagnosis.messages import MESSAGES
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


def test_the_witness_gives_the_cause_and_the_programme_the_place() -> None:
    place, between = Span("wet", 14.0, 14.5), Span("wet", 3.0, 25.0)
    programme = suspect("level-changed", place, seconds=14.2, change_db=5.1)
    merged = merge_repeats([programme], [suspect("witness-drive", between, change_db=6.0)])
    assert merged == [suspect("drive-changed", place, seconds=14.2, change_db=6.0)]
    assert "distortion changes at 14.2 s of the wet file" in MESSAGES.sentence(merged[0])


def test_changes_that_only_one_of_both_shows_are_kept() -> None:
    programme = suspect("tone-changed", Span("wet", 40.0, 40.5), seconds=40.2)
    repeat = suspect("witness-level", Span("wet", 3.0, 25.0), change_db=-1.0)
    assert merge_repeats([programme], [repeat]) == [programme, repeat]
    assert merge_repeats([info("gate")], [repeat]) == [info("gate"), repeat]
    assert merge_repeats([], [repeat]) == [repeat]


def test_excused_findings_become_notes() -> None:
    early, late = suspect("disturbed", Span("wet", 0.05, 0.1)), suspect("disturbed", Span("wet", 3.0, 3.1))
    found = replace(
        alignment(44100, 0.0),
        findings=(info("note"), early, suspect("noisy", share=0.2), late),
        reasons=("early", "noisy", "late"),
        excluded=(Excluded(100, 200, "disturbed"),),
        verdict="suspect",
    )
    excused = excuse(found, [early])
    assert excused.reasons == ("noisy", "late")
    assert excused.findings == (info("note"), replace(early, severity="info"), found.findings[2], late)
    assert (excused.excluded, excused.verdict) == (found.excluded, "suspect")
    assert excuse(found, []) == found
