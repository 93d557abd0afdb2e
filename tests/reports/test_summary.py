from twinlib.reports.summary import format_summary

METRICS = {
    "device": "silk",
    "model": "small",
    "esr": 0.0012345,
    "esr_db": -29.085,
    "esr_linear": 0.025,
    "gain_over_linear_db": 13.06,
    "realtime_factor": 17.64,
}


def test_table_content_and_alignment():
    other = {**METRICS, "esr_floor": 2.6e-5, "device": "a much longer name", "esr": 2e-7, "gain_over_linear_db": -1.5}
    text = format_summary([METRICS, other])
    head, rule, first, second, *_ = text.splitlines()
    for word in ("0.123 %", "-29.1 dB", "2.50 %", "+13.1 dB", "17.6 x"):
        assert word in first
    assert "0.0000200 %" in second
    assert "-1.5 dB" in second
    # The floor is next to the error; a dash without a probe reel.
    assert [line.split("dB")[1].split()[0] for line in (head, first, second)] == ["floor", "-", "0.00260"]
    assert head.index("floor") + len("floor") == second.index("0.00260 %") + len("0.00260 %")
    assert set(rule) == {"-"}
    # Columns are aligned.
    assert len(head) == len(first) == len(second)
    assert head.index("model") == first.index("small")


def test_rows_keep_the_given_order():
    rows = [{**METRICS, "device": name} for name in ("b", "a", "c")]
    assert [line[0] for line in format_summary(rows).splitlines()[2:5]] == ["b", "a", "c"]


FULL = {
    **METRICS,
    "verdict": "usable",
    "reasons": ["3 of 10 harmonics are off by more than 3 dB", "1 of 2 takes is suspect"],
    "takes": {"one": {"verdict": "ok", "reasons": []}, "two": {"verdict": "suspect", "reasons": ["it is clipped"]}},
    "harmonics": {"compared": 10, "within": 7, "worst_db": 4.04},
}


def test_long_reasons_are_wrapped():
    reason = "a long reason, " * 20 + "to its end"
    lines = format_summary([{**FULL, "reasons": [reason]}]).splitlines()
    assert max(map(len, lines)) <= 160
    assert " ".join(line.strip() for line in lines[1:3]) == reason
    assert lines[2].startswith("    ")


def test_verdicts_are_above_the_table_and_in_it():
    lines = format_summary([FULL, METRICS]).splitlines()
    assert lines[0] == "silk, small: usable"
    assert lines[1:4] == [f"  {reason}" for reason in FULL["reasons"]] + ["  take two (suspect): it is clipped"]
    head, first, second = lines[5], lines[7], lines[8]
    for heading, text, missing in (
        ("verdict", "usable", "-"),
        ("harmonics", "7 of 10, 4.0 dB", "-"),
        ("takes", "1 of 2 ok", "-"),
    ):
        assert text in first
        end = head.index(heading) + len(heading)
        # Text is aligned left, numbers right.
        place = head.index(heading) if heading == "verdict" else max(end, first.index(text) + len(text)) - 1
        assert second[place] == missing
