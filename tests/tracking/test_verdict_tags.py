"""The verdict on a twin and its takes as tags of its run."""

from twinlib.tracking.twin import verdict_tags

METRICS = {
    "device": "amp",
    "verdict": "usable",
    "reasons": ["the error is high", "1 of 3 takes are suspect"],
    "takes": {
        "one": {"verdict": "ok", "reasons": []},
        "two": {"verdict": "suspect", "reasons": ["it is clipped", "from 1.0 to 3.5 s"]},
        "three": {"verdict": "refused", "reasons": ["silent"]},
    },
}


def test_tags_hold_the_verdict_and_the_takes_with_findings() -> None:
    assert verdict_tags(METRICS) == {
        "verdict": "usable",
        "verdict.reasons": "the error is high; 1 of 3 takes are suspect",
        "takes.verdict": "refused",
        "takes.suspect": "two: it is clipped, from 1.0 to 3.5 s; three: silent",
    }


def test_tags_are_cut_to_the_limit_of_the_store_and_empty_ones_left_out() -> None:
    takes = {f"take {k}": {"verdict": "suspect", "reasons": ["x" * 100]} for k in range(100)}
    assert len(verdict_tags({**METRICS, "takes": takes})["takes.suspect"]) == 5000
    assert "takes.suspect" not in verdict_tags({**METRICS, "takes": {"one": METRICS["takes"]["one"]}})
    assert verdict_tags({"esr": 0.1}) == {}, "metrics of older versions"
