"""The verdict on a twin and on its takes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finding_codes import used_codes
from twinlib import evaluation
from twinlib.contracts import ALIGNMENT, TAKE
from twinlib.evaluation.messages import MESSAGES
from twinlib.evaluation.verdict import WORDS, judge_takes, judge_twin, suspect_takes, take_verdicts, verdict_lines
from twinlib.files import write_json
from twinlib.findings import Span, suspect, worst

OK = {"take_verdict": "ok", "take_reasons": [], "alignment_verdict": "ok", "alignment_reasons": []}
METRICS: dict[str, Any] = {"device": "amp", "model": "small", "esr": 0.002, "esr_linear": 0.2}
TAKES = judge_takes({"one": OK, "two": OK}, {})
RANKS = list(WORDS.values())


def harmonics(*deviations: float, compared: int = 10, degrees: Sequence[float] = ()) -> dict[str, Any]:
    misses = {"misses": [{"off_db": off} for off in deviations], "phase_misses": [{"off_degrees": d} for d in degrees]}
    return {"compared": compared, **misses}


def aliasing(*levels: float) -> dict[str, Any]:
    return {"sines": [{"hz": 1000 * k, "level_dbfs": -12.0, "alias_db": db} for k, db in enumerate(levels, 1)]}


def judged(improvement: float | None = None, takes: dict[str, Any] = TAKES, **metrics: Any) -> dict[str, Any]:
    return judge_twin({**METRICS, **metrics}, takes, improvement)


def codes(found: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in found["findings"]]


def test_every_code_has_a_sentence() -> None:
    folder = Path(evaluation.__file__).parent
    assert used_codes(sorted(folder.glob("*.py"))) == MESSAGES.codes


def test_the_probe_take_is_judged_by_its_own_files(tmp_path: Path) -> None:
    write_json(tmp_path / "take.json", TAKE, {"sha256": "0" * 64, "verdict": "ok", "reasons": [], "findings": []})
    write_json(tmp_path / "alignment.json", ALIGNMENT, {"verdict": "suspect", "reasons": ["it drifts"], "findings": []})
    probe = take_verdicts(tmp_path / "take.json", tmp_path / "alignment.json")
    takes = judge_takes({"one": OK, "main-probe": probe}, {})
    assert takes["main-probe"] == {"verdict": "suspect", "reasons": ["it drifts"], "findings": []}
    assert verdict_lines({**METRICS, **judged(takes=takes)})[-1] == "  take main-probe (suspect): it drifts"


SUSPECT_TAKES = judge_takes(
    {"one": OK, "two": {**OK, "take_verdict": "suspect", "take_reasons": ["it is clipped"]}}, {}
)


@pytest.mark.parametrize(
    ("found", "word", "sentence"),
    [
        (judged(), "good", "0.2 % of the device's energy, 20.0 dB less than that of the best linear filter"),
        (judged(esr=1e-3, esr_floor=9e-4), "good", "at the noise floor of the device (0.09 %"),
        (judged(esr=0.2, esr_floor=0.11), "good", "at the noise floor of the device (11 %"),
        (judged(esr=5e-5, esr_linear=1e-6), "good", "a linear filter does as well"),
        (judged(esr=0.25), "not usable", "(25 % of the device's energy) is not below that of the best linear filter"),
        (judged(esr=0.15), "usable", "the error is only 1.2 dB below that of the best linear filter"),
        (judged(esr=0.05), "usable", "the error has 5 % of the device's energy: train longer"),
        (judged(esr=0.35, esr_linear=0.9), "not usable", "the error has 35 % of the device's energy: train longer"),
        (judged(harmonics=harmonics(7, -2)), "good", "0.2 %"),
        (judged(harmonics=harmonics(7, -8, 2)), "usable", "2 of 10 harmonics are off by more than 6 dB"),
        (judged(harmonics=harmonics(*[9] * 6)), "not usable", "6 of 10 harmonics are off by more than 6 dB"),
        (judged(harmonics=harmonics(*[4] * 3)), "usable", "3 of 10 harmonics are off by more than 3 dB"),
        (judged(harmonics=harmonics(*[2] * 6)), "usable", "6 of 10 harmonics are off by more than 1 dB"),
        (judged(harmonics=harmonics(degrees=[90])), "good", "0.2 %"),
        (judged(harmonics=harmonics(degrees=[90, -70, 11])), "usable", "2 of 10 harmonics are off by more than 60 deg"),
        (judged(harmonics=harmonics(degrees=[-70] * 6)), "not usable", "(largest deviation 70 degrees)"),
        (judged(harmonics=harmonics(degrees=[30] * 3)), "usable", "the phases of 3 of 10 harmonics are off by more"),
        (judged(harmonics=harmonics(degrees=[12] * 6)), "usable", "6 of 10 harmonics are off by more than 10 degrees"),
        (judged(aliasing=aliasing(-90, -38)), "good", "the aliases of a sine of 2000 Hz at -12 dBFS reach -38 dB"),
        (judged(2.0, esr=0.02), "usable", "still falling when the budget ended: the second half"),
        (judged(2.0), "good", "lowered it by 50 %; train longer (`training.steps`"),
        (judged(1.1, esr=0.02), "good", "2 %"),
        (judged(takes=SUSPECT_TAKES), "usable", "1 of 2 takes are suspect or refused (two)"),
    ],
)
def test_planted_values_give_word_and_sentence(found: dict[str, Any], word: str, sentence: str) -> None:
    assert found["verdict"] == word
    assert any(sentence in reason for reason in found["reasons"]), found["reasons"]
    json.dumps(found, allow_nan=False)


def test_reasons_start_with_the_worst() -> None:
    found = judged(3.0, SUSPECT_TAKES, esr=0.5, harmonics=harmonics(*[2] * 6))
    assert codes(found) == ["worse-than-linear", "high-error", "harmonics-off", "still-falling", "suspect-takes"]


errors = st.floats(1e-7, 2.0)
misses = st.lists(st.floats(-30, 30).filter(lambda off: abs(off) > 1), max_size=10)
verdicts = st.lists(st.sampled_from(["ok", "suspect", "refused"]), min_size=3, max_size=3)


@given(errors, errors, errors, errors, misses, misses, st.floats(1, 5), st.floats(1, 5), verdicts, verdicts, errors)
def test_worse_values_never_give_a_better_word(
    esr, other_esr, linear, other_linear, first, second, improvement, other_improvement, takes, other_takes, floor
) -> None:
    def rank(esr, linear, misses, improvement, takes) -> int:
        judged_takes = {str(k): {"verdict": verdict, "reasons": []} for k, verdict in enumerate(takes)}
        metrics = {
            "esr": esr,
            "esr_linear": linear,
            "esr_floor": floor,
            "harmonics": harmonics(*misses, degrees=[12 * off for off in misses]),
        }
        return RANKS.index(judge_twin(metrics, judged_takes, improvement)["verdict"])

    better = rank(min(esr, other_esr), max(linear, other_linear), first, min(improvement, other_improvement), takes)
    added = [*first, *second][:10]
    worse_takes = [worst(pair) for pair in zip(takes, other_takes, strict=True)]
    worse = rank(
        max(esr, other_esr), min(linear, other_linear), added, max(improvement, other_improvement), worse_takes
    )
    assert worse >= better


@given(st.lists(st.sampled_from(["ok", "suspect", "refused"]), min_size=2, max_size=2), st.booleans())
def test_verdict_on_a_take_is_the_worst_of_all_stages(stages: list[Any], outlier: bool) -> None:
    capture = {
        "take_verdict": stages[0],
        "take_reasons": ["ingest"],
        "alignment_verdict": stages[1],
        "alignment_reasons": ["alignment"],
    }
    finding = suspect("outlier-stretch", Span("one", 1.0, 3.5), excess_db=12.0, esr_percent=5.0)
    take = judge_takes({"one": capture, "two": OK}, {"one": [finding]} if outlier else {})["one"]
    assert take["verdict"] == worst([*stages, "suspect" if outlier else "ok"])
    assert take["reasons"][:2] == ["ingest", "alignment"]
    assert [reason.partition(" the")[0] for reason in take["reasons"][2:]] == ["from 1.0 to 3.5 s"] * outlier


def test_lines_name_the_suspect_takes() -> None:
    many = {f"take {k}": {**OK, "alignment_verdict": "suspect", "alignment_reasons": list("abcde")} for k in range(7)}
    metrics = {**METRICS, **judged(takes=judge_takes(many, {}))}
    lines = verdict_lines(metrics)
    assert lines[0] == "amp, small: usable"
    assert "7 of 7 takes are suspect or refused (take 0, take 1, take 2, take 3, take 4, 2 more)" in lines[1]
    assert lines[-1] == "  take take 6 (suspect): a; b; c; and 2 more"
    assert len(suspect_takes(metrics)) == 7


def test_metrics_of_older_versions_have_no_verdict() -> None:
    assert verdict_lines(METRICS) == []
    assert suspect_takes(METRICS) == {}


def test_the_sentences_of_pairs_ask_for_no_tones_and_no_takes() -> None:
    pair = {**OK, "kind": "pair"}
    aliasing = {"sines": [{"hz": 5000.0, "level_dbfs": 0.0, "alias_db": -10.0}]}
    finding = suspect("outlier-take", excess_db=20.0, esr_percent=50.0)
    for capture, of_pairs in ((OK, False), (pair, True)):
        takes = judge_takes({"one": capture, "two": capture}, {"one": [finding]})
        content = judge_twin({**METRICS, "esr": 0.5, "aliasing": aliasing}, takes, None, of_pairs)
        text = "; ".join([*content["reasons"], *takes["one"]["reasons"]])
        assert ("tones" in text) == ("take" in text) == (not of_pairs)
        assert ("pair" in text) == of_pairs
