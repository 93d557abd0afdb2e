"""The history of the takes of a capture: dates, verdicts, and the reasons for replacing a take."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from twinlib.contracts import TAKE_HISTORY
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json, write_json
from twinlib.provenance.record import checksum_of

FILE = "history.json"
"""Name of the file, in the folder of `take.json`."""


def note_take(path: Path, take: Mapping[str, Any], day: date) -> bool:
    """Append a take (as in `take/1`) to the history of its capture; return False if it equals the last take.

    The history is not an output of a stage, because Snakemake deletes outputs before it reruns a stage. The initial
    reason for a replacement is the verdict of the previous take; `give_reason` replaces it.
    """
    takes = read_history(path)
    if takes and takes[-1]["sha256"] == take["sha256"]:
        return False
    reason = "the first take"
    if takes:
        wrong = "; ".join(takes[-1]["reasons"])
        reason = f"the previous take was {takes[-1]['verdict']}: {wrong}" if wrong else "not given"
    entry = {key: take[key] for key in ("path", "sha256", "frames", "verdict", "reasons")}
    _write(path, [*takes, {**entry, "since": day.isoformat(), "reason": reason}])
    return True


def give_reason(path: Path, reason: str) -> None:
    """Set the reason for the last replacement of a take. Raises `AuditError` if no take was replaced."""
    takes = read_history(path)
    if len(takes) < 2:
        raise AuditError(f"{path.parent.name} has had only one take: there is no replacement to explain")
    _write(path, [*takes[:-1], {**takes[-1], "reason": reason}])


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the takes of a capture in order; empty without a history.

    Each has `path`, `sha256`, `frames`, `verdict`, `reasons` (of the verdict), `since` (day of the first ingest) and
    `reason` (for replacing the previous take). Raises `TwinError` if the file was edited or is damaged.
    """
    if not path.is_file():
        return []
    content = read_json(path, TAKE_HISTORY)
    if content.get("sum") != checksum_of(content):
        raise TwinError(f"{path} was edited or is damaged: restore it, or delete it to start a new history")
    takes: list[dict[str, Any]] = content["takes"]
    return takes


def _write(path: Path, takes: list[dict[str, Any]]) -> None:
    content = {"takes": takes}
    write_json(path, TAKE_HISTORY, {**content, "sum": checksum_of(content)})
