"""What the user knows about a pair replaces what was measured, and what contradicts it is named."""

import json
from dataclasses import replace

import pytest

from tests.dataset.factories import alignment
from twinlib.alignment import Alignment, Excluded
from twinlib.alignment.result import Dropout
from twinlib.capture import Known
from twinlib.diagnosis import apply_known
from twinlib.findings import refused, suspect
from twinlib.resampling.time_map import Piece

REPAIR = ("polarity",)
FRAMES = 50_000


def with_false_step() -> Alignment:
    """A pair with a lost sample that is not there."""
    pieces = (Piece(0, 20_000, (0.0,), (5.2,)), Piece(20_100, FRAMES, (20_100.0,), (4.2,)))
    return alignment(
        FRAMES,
        5.2,
        pieces=pieces,
        track=(),
        dropouts=(Dropout(2.5, 2.6, 1),),
        excluded=(Excluded(20_000, 20_100, "lost-samples"), Excluded(30_000, 30_100, "disturbed")),
        findings=(suspect("lost-samples", samples=1), suspect("disturbed")),
        reasons=("1 sample is missing", "muted"),
        verdict="suspect",
        is_pair=True,
    )


def test_one_clock_has_no_lost_samples_and_no_drift() -> None:
    found = apply_known(with_false_step(), Known(same_clock=True), REPAIR)
    assert [each.reason for each in found.excluded] == ["disturbed"]
    assert found.reasons == ("muted",)
    assert (found.warp, found.applied_lag_samples, found.dropouts) == ("shift", 0.0, ())
    assert found.timemap.wet(40_000.0) == 40_000.0
    assert found.known == Known(same_clock=True)
    assert Alignment.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_given_lag_is_applied_and_a_contradiction_named() -> None:
    drifting = alignment(FRAMES, 5.7, 0.8, is_pair=True)
    for lag, warp in ((0.0, "shift"), (3.25, "sinc")):
        found = apply_known(drifting, Known(lag=lag), REPAIR)
        assert (found.warp, found.timemap.wet(7000.0), found.verdict) == (warp, 7000.0 + lag, "ok")
    found = apply_known(drifting, Known(lag=-500), REPAIR)
    assert found.verdict == "suspect"
    assert "says a lag of -500 samples, but 5.7" in found.reasons[0]


@pytest.mark.parametrize(("lag", "rate"), [(FRAMES, 1), (-FRAMES, 1), (2 * FRAMES, 2), (-1e9, 1), (1e9, 1)])
@pytest.mark.parametrize("accept", [None, "by ear"])
def test_a_lag_beyond_the_wet_file_is_refused_with_the_values_to_set(lag: float, rate: int, accept: str | None) -> None:
    """Also if the pair is accepted, and if the wet file has another rate: the lag is in samples of the dry file."""
    one = alignment(FRAMES, 5.2, wet_frames=FRAMES, is_pair=True)
    one = replace(one, wet_sample_rate=one.sample_rate // rate)
    for measured in (one, replace(one, verdict="refused", findings=(refused("no-match"),))):
        found = apply_known(measured, Known(lag=lag, accept=accept), REPAIR)
        assert found.verdict == "refused"
        assert f"a lag of {lag:g} samples" in found.reasons[-1] + found.reasons[0]
        assert f"set `lag` of the pair to a value from {1 - FRAMES} to {rate * FRAMES - 1}" in " ".join(found.reasons)
        assert found.known == Known(lag=lag, accept=accept)
    for last in (1 - FRAMES, rate * FRAMES - 1):
        assert apply_known(one, Known(lag=last), REPAIR).verdict != "refused"


def test_the_given_polarity_is_applied_if_polarity_is_repaired() -> None:
    found = apply_known(alignment(FRAMES, 0.0), Known(polarity=-1), REPAIR)
    assert (found.polarity, found.applied_polarity, found.verdict) == (-1, -1, "suspect")
    assert "check `polarity`" in found.reasons[0]
    assert apply_known(alignment(FRAMES, 0.0), Known(polarity=-1), ()).applied_polarity == 1
    assert apply_known(alignment(FRAMES, 0.0), Known(polarity=1), REPAIR).verdict == "ok"


def test_a_refused_pair_is_accepted_with_the_reason_on_record() -> None:
    no_match = alignment(
        FRAMES, 0.0, track=(), verdict="refused", findings=(refused("no-match"),), reasons=("nothing was found",)
    )
    known = Known(lag=120, accept="a noise gate: aligned by ear {exactly}")
    found = apply_known(no_match, known, REPAIR)
    assert found.verdict == "suspect"
    assert "accepts it: a noise gate: aligned by ear {exactly}" in found.reasons[0]
    assert found.reasons[1] == "nothing was found"
    assert {each.severity for each in found.findings} == {"suspect"}
    assert (found.known, found.timemap.wet(100.0)) == (known, 220.0)
    assert apply_known(no_match, Known(lag=120), REPAIR).verdict == "refused"


def test_a_usable_pair_needs_no_acceptance() -> None:
    found = alignment(FRAMES, 0.0)
    assert apply_known(found, Known(accept="by ear"), REPAIR) == replace(found, known=Known(accept="by ear"))
