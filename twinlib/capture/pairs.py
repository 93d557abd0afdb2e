"""The list of pairs: dry and wet files that do not come from a reel."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from twinlib.audio import read_info
from twinlib.errors import CaptureError
from twinlib.parsing import describe_error, read_text
from twinlib.section import require_plain

COLUMNS = (
    "capture", "dry", "wet", "split", "channel", "start", "stop", "clip_samples", "reference_channel", "lag",
    "same_clock", "polarity", "accept",
)  # fmt: skip

MAX_CAPTURE = 100
"""Longest name of a capture: file names of at most 255 bytes are made of it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RESERVED = re.compile(r"shards|.*\.(json|parquet)", re.IGNORECASE)
"""Files in the folder of a device, in which each capture has a folder."""


@dataclass(frozen=True)
class Known:
    """What the user knows about a pair; None if unknown.

    `lag` is that of the wet file in samples of the dry file. `same_clock` is True if both files were made on one clock,
    so that there is no drift. `polarity` is 1 or -1. `accept` is the reason to use the pair even if it is refused.
    """

    lag: float | None = None
    same_clock: bool | None = None
    polarity: Literal[1, -1] | None = None
    accept: str | None = None


@dataclass(frozen=True)
class Pair:
    """A dry and a wet file, or a range [start, stop) of the dry file with the matching part of the wet one.

    `channel` of the wet file and `reference_channel`, the optional loop-back of the dry signal, count from 1.
    `start` and `stop` are samples of the dry file; a `stop` of None is its end. `clip_samples` is the length of the
    concatenated clips: no context crosses a clip border. A pair with `split` None is divided into train,
    valid and test.
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
    known: Known = Known()


def read_pairs(tsv: Path, channel: int = 1, reference_channel: int | None = None) -> list[Pair]:
    """Read a tab-separated list of pairs, in its order; lines that start with `#` are comments.

    Columns capture, dry and wet are required; all others may be missing or empty. `channel` and `reference_channel`
    are the defaults of pairs without their own. Raises `CaptureError` with file, line and remedy.
    """
    try:
        lines = read_text(tsv).splitlines()
    except FileNotFoundError:
        raise CaptureError(f"{tsv} does not exist: create it, or correct `pairs` in the configuration") from None
    except (OSError, ValueError) as error:
        raise CaptureError(f"{tsv} is not readable text ({describe_error(error)}): save it as UTF-8") from None
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not numbered:
        raise CaptureError(f"{tsv} is empty: its first line must name the columns capture, dry and wet")
    rows = [[cell.strip() for cell in line.split("\t")] for _, line in numbered]
    header = rows[0]
    _check_header(tsv, numbered[0][0], header)
    pairs: list[Pair] = []
    seen: dict[str, int] = {}
    for (number, _), row in zip(numbered[1:], rows[1:], strict=True):
        if len(row) > len(header):
            raise CaptureError(f"{tsv}, line {number}: {len(row)} fields but {len(header)} columns: remove tabs")
        cells = dict(zip(header, row, strict=False))
        pair = _pair(f"{tsv}, line {number}", cells, channel, reference_channel)
        # Some file systems do not distinguish capitals.
        if pair.capture.lower() in seen:
            line = seen[pair.capture.lower()]
            raise CaptureError(
                f"{tsv}, line {number}: the capture {pair.capture} is already in line {line}: rename one"
            )
        seen[pair.capture.lower()] = number
        pairs.append(pair)
    if not pairs:
        raise CaptureError(f"{tsv} has a header but no pairs: add a line for each pair")
    return pairs


def _check_header(tsv: Path, number: int, header: list[str]) -> None:
    for name in ("capture", "dry", "wet"):
        if name not in header:
            raise CaptureError(f"{tsv}, line {number}: no column {name}: separate columns by tabs, not spaces")
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            problem = "unknown" if name not in COLUMNS else "given twice"
            raise CaptureError(f"{tsv}, line {number}: column {name!r} is {problem}: columns are {', '.join(COLUMNS)}")


def _pair(where: str, cells: dict[str, str], channel: int, reference_channel: int | None) -> Pair:
    for name in ("capture", "dry", "wet"):
        if not cells.get(name):
            raise CaptureError(f"{where}: {name} is empty: every pair needs one")
    capture = cells["capture"]
    if not _NAME.fullmatch(capture):
        raise CaptureError(f"{where}: the capture {capture[:100]!r} may contain only letters, digits, _ . and -")
    if len(capture) > MAX_CAPTURE:
        raise CaptureError(f"{where}: the capture {capture[:20]}... is longer than {MAX_CAPTURE} letters: shorten it")
    if _RESERVED.fullmatch(capture):
        raise CaptureError(f"{where}: the capture {capture} has the name of a file of the workflow: rename it")
    try:
        dry, wet = (require_plain(Path(cells[name])) for name in ("dry", "wet"))
    except ValueError as error:
        raise CaptureError(f"{where}: {error}") from None
    split = cells.get("split") or None
    if split not in (None, "train", "valid", "test"):
        raise CaptureError(f"{where}: the split {split!r} must be train, valid or test, or empty")
    start = _number(where, cells, "start", 0) or 0
    stop = _number(where, cells, "stop", 1)
    if stop is not None and stop <= start:
        raise CaptureError(f"{where}: stop {stop} is not greater than start {start}")
    channel = _number(where, cells, "channel", 1) or channel
    reference_channel = _number(where, cells, "reference_channel", 1) or reference_channel
    if reference_channel == channel:
        raise CaptureError(
            f"{where}: channel {channel} cannot be both the device's and the loop-back's: correct `channel` or "
            "`reference_channel`"
        )
    return Pair(
        capture=capture,
        dry=dry,
        wet=wet,
        split=split,  # type: ignore[arg-type]
        channel=channel,
        start=start,
        stop=stop,
        clip_samples=_number(where, cells, "clip_samples", 1),
        reference_channel=reference_channel,
        known=_known(where, cells),
    )


def _known(where: str, cells: dict[str, str]) -> Known:
    lag, same_clock, polarity = (cells.get(name, "") for name in ("lag", "same_clock", "polarity"))
    if lag and not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]*)?", lag):
        raise CaptureError(f"{where}: lag is {lag!r}: give samples, such as 0 or 213.5")
    if same_clock not in ("", "yes", "no"):
        raise CaptureError(f"{where}: same_clock is {same_clock!r}: it must be yes or no, or empty")
    if polarity not in ("", "1", "+1", "-1"):
        raise CaptureError(f"{where}: polarity is {polarity!r}: it must be 1 or -1, or empty")
    if lag and same_clock == "no":
        raise CaptureError(f"{where}: a `lag` holds only for files on one clock: leave it empty, or same_clock")
    return Known(
        lag=float(lag) if lag else None,
        same_clock=same_clock == "yes" if same_clock else None,
        polarity=None if not polarity else -1 if polarity == "-1" else 1,
        accept=cells.get("accept") or None,
    )


def _number(where: str, cells: dict[str, str], name: str, minimum: int) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) < minimum:
        raise CaptureError(
            f"{where}: {name} is {text[:40]!r}: it must be an integer of up to 15 digits, at least {minimum}"
        )
    return int(text)


def aligned_range(pairs: Iterable[Pair], pair: Pair) -> tuple[int, int | None]:
    """Return the range [start, stop) of the dry file that all pairs of the same files and channels use together.

    They are aligned on this range, so that all have the same lag. A stop of None is the end of the file.
    """
    files = (pair.dry, pair.wet, pair.channel, pair.reference_channel)
    same = [each for each in pairs if (each.dry, each.wet, each.channel, each.reference_channel) == files]
    stops = [each.stop for each in same if each.stop is not None]
    return min(each.start for each in same), max(stops) if len(stops) == len(same) else None


def used_range(dry: Path, pair: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Return the range [start, stop) of the dry file of a pair; None for the whole file and for takes of a reel.

    `pair` holds `start` and `stop`; a `stop` of None is the end of the dry file.
    """
    if pair is None or (pair["start"] == 0 and pair["stop"] is None):
        return None
    return pair["start"], pair["stop"] or read_info(dry).frames
