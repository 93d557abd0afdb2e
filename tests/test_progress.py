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
    assert lines(monkeypatch, capsys, [1.0, 9.9]) == []


def test_lines_come_every_ten_seconds_and_later_every_thirty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, [5.0 * step for step in range(1, 41)])
    assert [line.split(", ")[1] for line in found] == [f"{t} s" for t in (10, 20, 30, 40, 50, 80, 110, 140, 170, 200)]
    assert found[0] == "train: 2/40 steps, 10 s, 190 s left, note"
    assert found[-1] == "train: 40/40 steps, 200 s, note"
