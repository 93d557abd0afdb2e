"""Alignments as JSON."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.alignment.result import Alignment, Dropout, Excluded, Reference, Window
from twinlib.errors import AlignmentError
from twinlib.findings import Finding, Span, info, suspect
from twinlib.resampling.time_map import Piece

from .conftest import alignment, pieces

numbers = st.floats(-1e9, 1e9, allow_nan=False)
ranges = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))
polarities = st.sampled_from([1, -1])


@given(
    parts=pieces(),
    dropouts=st.lists(st.builds(Dropout, numbers, numbers, st.integers(-5000, 5000)), max_size=3),
    excluded=st.lists(st.builds(Excluded, st.integers(0), st.integers(0), st.text(max_size=9)), max_size=3),
    reference=st.none() | st.builds(Reference, st.integers(0, 7), polarities, numbers),
    track=st.lists(st.builds(Window, numbers, numbers, numbers, numbers), max_size=3),
    error=st.none() | numbers,
    ends=ranges,
    reasons=st.lists(st.text(max_size=20), max_size=3),
    findings=st.lists(st.sampled_from([info("a", count=3), suspect("b", Span("wet", 0.25, 1.5), share=0.1)])),
)
def test_json_keeps_the_whole_alignment(
    parts: tuple[Piece, ...],
    dropouts: list[Dropout],
    excluded: list[Excluded],
    reference: Reference | None,
    track: list[Window],
    error: float | None,
    ends: tuple[int, int],
    reasons: list[str],
    findings: list[Finding],
) -> None:
    """Exactly, including pieces, exclusions, findings and the loop-back channel."""
    found = alignment(
        9000,
        1.5,
        pieces=parts,
        dropouts=tuple(dropouts),
        excluded=tuple(excluded),
        reference=reference,
        track=tuple(track),
        drift_error_ppm=error,
        residual_rms_samples=error,
        wet_range=ends,
        reasons=tuple(reasons),
        findings=tuple(findings),
    )
    assert Alignment.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_missing_and_unknown_keys_are_refused() -> None:
    whole = alignment(9000, 1.5, reference=Reference(1, 1, 0.0)).to_dict()
    for name in {field.name for field in dataclasses.fields(Alignment)} - {
        "findings",
        "noise_floor_dbfs",
        "witness",
        "is_pair",
        "known",
    }:
        with pytest.raises(AlignmentError, match="align again"):
            Alignment.from_dict({key: value for key, value in whole.items() if key != name})
    for name in ("track", "dropouts", "excluded", "pieces", "reference", "findings", "witness"):
        for wrong in (3, [{"colour": 1}]):
            with pytest.raises(AlignmentError, match="align again"):
                Alignment.from_dict({**whole, name: wrong})
    with pytest.raises(AlignmentError, match="align again"):
        Alignment.from_dict({**whole, "colour": 1})


def test_files_of_older_versions_are_read() -> None:
    """Older files have no findings and use other codes for some exclusions."""
    found = alignment(9000, 1.5, verdict="suspect", reasons=("a sentence",))
    old = {key: value for key, value in found.to_dict().items() if key != "findings"}
    names = ("off-the-line", "unlike", "not-a-number", "lost-samples")
    read = Alignment.from_dict({**old, "excluded": [{"start": 1, "stop": 2, "reason": name} for name in names]})
    assert [one.reason for one in read.excluded] == ["misaligned", "disturbed", "non-finite", "lost-samples"]
    assert (read.verdict, read.reasons, read.findings) == ("suspect", ("a sentence",), ())
