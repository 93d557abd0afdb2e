"""The list of dry/wet couples that did not come from a reel of ours."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twinlib.audio import read_info
from twinlib.errors import CaptureError

COLUMNS = ("capture", "dry", "wet", "split", "channel", "start", "stop", "clip_samples", "reference_channel")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Pair:
    """A dry and a wet file, or a range of the dry one and what answers to it.

    `channel` of the wet file counts from 1, as does `reference_channel`, the one that recorded the dry signal beside
    the device, if there is one. [start, stop) are samples of the dry file, `stop` None is its end.
    `clip_samples`: after every so many samples from `start` stands a clip border that no context may cross.
    `split` None: the pair is cut into train, valid and test when segments are made.
    """

    capture: str
    dry: Path
    wet: Path
    split: Literal["train", "valid", "test"] | None = None
    channel: int = 1
    start: int = 0
    stop: int | None = None
    clip_samples: int | None = None
    reference_channel: int | None = None


def read_pairs(tsv: Path, channel: int = 1, reference_channel: int | None = None) -> list[Pair]:
    """Read a tab-separated list of pairs, in its order; `#` starts a comment line, paths are as written.

    Columns capture, dry and wet are required, all others may be missing or empty; `channel` and `reference_channel`
    are those of pairs that name none. Raises `CaptureError` naming file, line and remedy.
    """
    try:
        lines = tsv.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise CaptureError(f"{tsv} does not exist: make it, or correct `pairs` in the configuration") from None
    except (OSError, ValueError) as error:
        raise CaptureError(f"{tsv} is not readable text ({error}): save it as UTF-8") from None
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not numbered:
        raise CaptureError(f"{tsv} is empty: its first line must name the columns capture, dry and wet")
    rows = list(csv.reader((line for _, line in numbered), delimiter="\t", quoting=csv.QUOTE_NONE))
    header = [name.strip() for name in rows[0]]
    _check_header(tsv, numbered[0][0], header)
    pairs: list[Pair] = []
    seen: dict[str, int] = {}
    for (number, _), row in zip(numbered[1:], rows[1:], strict=True):
        if len(row) > len(header):
            raise CaptureError(f"{tsv}, line {number}: {len(row)} fields but {len(header)} columns: remove tabs")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        pair = _pair(f"{tsv}, line {number}", cells, channel, reference_channel)
        if pair.capture in seen:
            raise CaptureError(
                f"{tsv}, line {number}: the capture {pair.capture} was named in line {seen[pair.capture]}: rename one"
            )
        seen[pair.capture] = number
        pairs.append(pair)
    if not pairs:
        raise CaptureError(f"{tsv} names columns but no pair: add a line for each")
    return pairs


def _check_header(tsv: Path, number: int, header: list[str]) -> None:
    for name in ("capture", "dry", "wet"):
        if name not in header:
            raise CaptureError(f"{tsv}, line {number}: no column {name}: columns are separated by tabs, not spaces")
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            why = "unknown" if name not in COLUMNS else "given twice"
            raise CaptureError(f"{tsv}, line {number}: column {name!r} is {why}: columns are {', '.join(COLUMNS)}")


def _pair(where: str, cells: dict[str, str], channel: int, reference_channel: int | None) -> Pair:
    for name in ("capture", "dry", "wet"):
        if not cells.get(name):
            raise CaptureError(f"{where}: {name} is empty: every pair needs it")
    if not _NAME.fullmatch(cells["capture"]) or set(cells["capture"]) == {"."}:
        raise CaptureError(f"{where}: the capture {cells['capture']!r} may hold letters, digits, _ . and - only")
    split = cells.get("split") or None
    if split not in (None, "train", "valid", "test"):
        raise CaptureError(f"{where}: the split {split!r} must be train, valid or test, or empty")
    start = _number(where, cells, "start", 0) or 0
    stop = _number(where, cells, "stop", 1)
    if stop is not None and stop <= start:
        raise CaptureError(f"{where}: stop {stop} does not lie after start {start}")
    channel = _number(where, cells, "channel", 1) or channel
    reference_channel = _number(where, cells, "reference_channel", 1) or reference_channel
    if reference_channel == channel:
        raise CaptureError(
            f"{where}: the channel {channel} cannot be the device's and the loop-back's: correct `channel` or "
            "`reference_channel`"
        )
    return Pair(
        capture=cells["capture"],
        dry=Path(cells["dry"]),
        wet=Path(cells["wet"]),
        split=split,  # type: ignore[arg-type]
        channel=channel,
        start=start,
        stop=stop,
        clip_samples=_number(where, cells, "clip_samples", 1),
        reference_channel=reference_channel,
    )


def _number(where: str, cells: dict[str, str], name: str, least: int) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise CaptureError(f"{where}: {name} is {text!r}: it must be a whole number, at least {least}")
    return int(text)


def used_range(dry: Path, part: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """The samples [start, stop) of the dry file that a pair uses; None for all of it, and for a capture of a reel.

    `part` holds `start` and `stop` of the pair; a `stop` of None is the end of the dry file.
    """
    if part is None or (part["start"] == 0 and part["stop"] is None):
        return None
    return part["start"], part["stop"] or read_info(dry).frames
