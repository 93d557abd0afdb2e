"""Findings: JSON, verdicts and messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.findings import Finding, Messages, Severity, Span, info, refused, suspect, verdict

numbers = st.floats(allow_nan=False, allow_infinity=False)
spans = st.builds(Span, st.text(), numbers, numbers, st.sampled_from(["seconds", "samples"]))
values = st.dictionaries(st.text(), st.integers() | numbers | st.text(), max_size=3)


@given(st.builds(Finding, st.text(), st.sampled_from(["info", "suspect", "refused"]), st.none() | spans, values))
def test_json_keeps_the_whole_finding(finding: Finding) -> None:
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict(), allow_nan=False))) == finding


@pytest.mark.parametrize(
    ("severities", "expected"),
    [
        ([], "ok"),
        (["info"], "ok"),
        (["info", "suspect"], "suspect"),
        (["refused", "suspect"], "refused"),
        (["refused", "info"], "refused"),
    ],
)
def test_the_verdict_is_the_worst_severity(severities: list[Severity], expected: str) -> None:
    assert verdict(Finding("code", severity) for severity in severities) == expected


def test_messages_use_values_spans_and_plurals() -> None:
    messages = Messages({"lost": "{n} {n:sample was|samples were} lost in {start:.1f}-{stop:.1f} s of {file}"})
    span = Span("take.wav", 1.0, 2.0)
    assert messages.sentence(suspect("lost", span, n=1)) == "1 sample was lost in 1.0-2.0 s of take.wav"
    assert messages.reasons([info("lost", span, n=1), refused("lost", span, n=2)]) == (
        "2 samples were lost in 1.0-2.0 s of take.wav",
    )


def test_a_finding_without_a_message_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        Messages({}).sentence(suspect("unknown"))
    with pytest.raises(KeyError):
        Messages({"lost": "{samples} lost"}).sentence(suspect("lost"))


def test_a_table_with_other_sentences_has_the_same_codes() -> None:
    messages = Messages({"lost": "record again", "late": "{n} late"})
    variant = messages.replace({"lost": "export again"})
    assert variant.codes == messages.codes
    assert variant.reasons([suspect("lost"), suspect("late", n=3)]) == ("export again", "3 late")
    assert messages.sentence(suspect("lost")) == "record again"
    with pytest.raises(KeyError, match="other"):
        messages.replace({"other": "a sentence"})
