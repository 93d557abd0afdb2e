"""The versions of a recording: which takes a capture has had, since when, and why one gave way to the next."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from twinlib.contracts import TAKE_HISTORY
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json, write_json
from twinlib.provenance.record import sum_of

FILE = "history.json"
"""The name of the file, beside `take.json`."""


def note_take(path: Path, take: Mapping[str, Any], day: date) -> bool:
    """Add a take (as in `take/1`) to the history of its capture if it is another than the last; says whether it was.

    The history is no output of a stage, which would be deleted before the stage runs again: it grows. The reason that
    stands there at first is what was wrong with the take before; `give_reason` puts another in its place.
    """
    takes = read_history(path)
    if takes and takes[-1]["sha256"] == take["sha256"]:
        return False
    reason = "the first take"
    if takes:
        wrong = "; ".join(takes[-1]["reasons"])
        reason = f"the one before was {takes[-1]['verdict']}: {wrong}" if wrong else "not given"
    told = {key: take[key] for key in ("path", "sha256", "frames", "verdict", "reasons")}
    _write(path, [*takes, {**told, "since": day.isoformat(), "reason": reason}])
    return True


def give_reason(path: Path, reason: str) -> None:
    """Say why the last take replaced the one before. Raises `AuditError` if it replaced none."""
    takes = read_history(path)
    if len(takes) < 2:
        raise AuditError(f"{path.parent.name} has had one take only, which replaced nothing")
    _write(path, [*takes[:-1], {**takes[-1], "reason": reason}])


def read_history(path: Path) -> list[dict[str, Any]]:
    """The takes of a capture, the first one first; none if nothing was noted.

    Each has `path`, `sha256`, `frames`, `verdict`, `reasons` (of the verdict), `since` (the day on which it was first
    ingested) and `reason` (why it replaced the one before). Raises `TwinError` if the file was edited or is damaged.
    """
    if not path.is_file():
        return []
    content = read_json(path, TAKE_HISTORY)
    if content.get("sum") != sum_of(content):
        raise TwinError(f"{path} was edited or is damaged: put it back, or delete it to begin a new history")
    takes: list[dict[str, Any]] = content["takes"]
    return takes


def _write(path: Path, takes: list[dict[str, Any]]) -> None:
    content = {"takes": takes}
    write_json(path, TAKE_HISTORY, {**content, "sum": sum_of(content)})
