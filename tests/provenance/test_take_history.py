"""The versions of a recording."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from twinlib.errors import AuditError, TwinError
from twinlib.provenance.take_history import give_reason, note_take, read_history


def take(sha256: str, verdict: str = "ok", *reasons: str) -> dict[str, Any]:
    return {"path": "takes/a.wav", "sha256": sha256, "frames": 5, "verdict": verdict, "reasons": list(reasons)}


def test_a_new_take_keeps_the_history_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "silk" / "main-01" / "history.json"
    assert read_history(path) == []
    assert note_take(path, take("1", "suspect", "it clips"), date(2026, 1, 2))
    assert not note_take(path, take("1"), date(2026, 1, 3)), "the same take again is no other"
    assert note_take(path, take("2"), date(2026, 2, 3))
    first, second = read_history(path)
    assert (first["sha256"], first["since"], first["reason"]) == ("1", "2026-01-02", "the first take")
    assert (second["sha256"], second["since"]) == ("2", "2026-02-03")
    assert second["reason"] == "the previous take was suspect: it clips"
    give_reason(path, "a fresh tube")
    assert [one["reason"] for one in read_history(path)] == ["the first take", "a fresh tube"]


def test_a_restored_take_is_a_new_version(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for sha256 in ("1", "2", "1"):
        note_take(path, take(sha256), date(2026, 1, 2))
    assert [one["sha256"] for one in read_history(path)] == ["1", "2", "1"]
    assert read_history(path)[-1]["reason"] == "not given"


def test_a_first_take_has_no_predecessor(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    note_take(path, take("1"), date(2026, 1, 2))
    with pytest.raises(AuditError, match="no replacement to explain"):
        give_reason(path, "why not")


def test_an_edited_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    note_take(path, take("1"), date(2026, 1, 2))
    path.write_text(path.read_text().replace("2026-01-02", "2025-01-02"))
    with pytest.raises(TwinError, match="edited or is damaged"):
        read_history(path)
