"""Progress as plain lines."""

import pytest

from twinlib import progress


def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], times: list[float]) -> list[str]:
    """Report one of `len(times)` units at each time, in seconds from the start."""
    clock = iter([0.0, *times])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.show_progress("train", len(times), "steps") as advance:
        for _ in times:
            advance(1, "note")
    return capsys.readouterr().err.splitlines()


def test_short_work_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(monkeypatch, capsys, [1.0, 29.9]) == []


@pytest.mark.parametrize(("variable", "times"), [("", [30, 60, 120, 200]), ("10", [*range(10, 201, 10)])])
def test_lines_come_at_intervals_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, times: list[int]
) -> None:
    if variable:
        monkeypatch.setenv(progress.SECONDS_VARIABLE, variable)
    found = lines(monkeypatch, capsys, [5.0 * step for step in range(1, 41)])
    assert [line.split(", ")[1] for line in found] == [f"{t} s" for t in times]
    assert found[0] == f"train: {times[0] // 5}/40 steps, {times[0]} s, {200 - times[0]} s left, note"
    assert found[-1] == "train: 40/40 steps, 200 s, note"


def test_hours_of_work_print_a_line_every_ten_minutes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, [30.0 * step for step in range(1, 241)])
    times = [int(line.split(", ")[1].removesuffix(" s")) for line in found]
    assert times[:6] == [30, 60, 120, 240, 480, 960]
    assert times[5:] == [*range(960, 7200, 600), 7200]


def test_the_first_percent_gives_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 31.0, 62.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.show_progress("align", 100.0, "%") as advance:
        advance(1e-6)
        advance(20.0)
    found = capsys.readouterr().err.splitlines()
    assert found == ["align: 0/100 %, 31 s", "align: 20/100 %, 62 s, 248 s left"]
