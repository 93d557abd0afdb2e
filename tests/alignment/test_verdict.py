"""Findings of whole alignments."""

import json

import numpy as np

from twinlib.alignment import Alignment, align
from twinlib.alignment.messages import MESSAGES
from twinlib.findings import Span, verdict

from .conftest import RATE, Write, programme, reel


def test_faults_give_findings_with_spans_and_values(write: Write) -> None:
    """Lost samples, corrupt samples and a muted part are located in the wet file, excluded and explained."""
    dry, clicks = reel(8.0)
    lost, muted, bad = 4 * RATE, 6 * RATE, 7 * RATE
    wet = np.concatenate((np.zeros(500), dry))
    wet[muted : muted + 4000] = 0.0
    wet[bad : bad + 3] = 1e10
    wet = np.concatenate((wet[:lost], wet[lost + 64 :]))
    found = align(write("dry.wav", dry), write("wet.wav", wet), clicks=clicks)
    assert found.verdict == verdict(found.findings) == "suspect"
    assert found.reasons == MESSAGES.reasons(found.findings)
    findings = {finding.code: finding for finding in found.findings}
    assert findings.keys() == {"lost-samples", "disturbed", "non-finite"}
    assert findings["lost-samples"].values == {"samples": 64}
    assert findings["non-finite"].values == {"count": 1}
    places = {"lost-samples": lost, "disturbed": muted - 64, "non-finite": bad - 64}
    for code, place in places.items():
        span = findings[code].span
        assert isinstance(span, Span)
        assert span.start - 0.02 < place / RATE < span.stop + 0.02
        assert code in {excluded.reason for excluded in found.excluded}
    assert Alignment.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_a_clean_take_has_no_findings(write: Write) -> None:
    dry = programme(8.0)
    found = align(write("dry.wav", dry), write("wet.wav", dry))
    assert (found.verdict, found.findings, found.reasons) == ("ok", (), ())
