"""A recording session: the reels still missing, one after the other, each checked as soon as it is recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from twinlib.audio import Subtype
from twinlib.contracts import RECORDING
from twinlib.errors import CaptureError
from twinlib.files import file_lock, read_json, write_json
from twinlib.findings import Verdict
from twinlib.progress import Progress, no_progress
from twinlib.recording.check import CheckedTake, check_take
from twinlib.recording.passes import LEAD_SECONDS, Pass, record_pass
from twinlib.recording.sound_system import Connection, SoundSystem

SET_ASIDE = "set aside"
"""Folder of the recordings that are not used, beside the takes."""

HEAD_SECONDS = 0.25
"""Start of a stream whose loss is reported; the round trip through a sound server changes by less between streams."""

Decision = Literal["keep", "repeat", "refuse"]


@dataclass(frozen=True)
class Task:
    """A reel to record: its WAV, its layout, and the path of its take."""

    reel: str
    path: Path
    layout: Mapping[str, Any] | None
    take: Path


@dataclass(frozen=True)
class Attempt:
    """A recording of a reel and its check, None if Ctrl-C stopped the pass or the check.

    `lost_seconds` is what the stream lost of its start, silence that came before the reel included, if its round trip
    was that of the level set-up; `head_seconds` is what is missing of the reel itself.
    """

    task: Task
    made: Pass
    checked: CheckedTake | None
    lost_seconds: float = 0.0
    head_seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The verdict of the check; a pass that was stopped is refused."""
        return self.checked.verdict if self.checked is not None else "refused"

    @property
    def faults(self) -> list[str]:
        """The faults of the stream, which another pass may not have."""
        found = []
        if self.head_seconds > 0:
            found.append(f"the stream lost its first {self.lost_seconds:.2f} s, {self.head_seconds:.2f} s of the reel")
        if self.made.stalled is not None:
            found.append(f"the stream stopped on its own at {self.made.stalled:.1f} s")
        if breaks := self.made.breaks_of_reel:
            places = ", ".join(f"{place:.1f}" for place in breaks[:10])
            found.append(f"the driver reports {len(breaks)} interruptions, the first at {places} s")
        if self.checked is not None and self.checked.alignment is not None:
            for each in self.checked.alignment.dropouts:
                kind = "lost" if each.lost_samples > 0 else "repeated"
                found.append(f"{abs(each.lost_samples)} samples {kind} at {each.start:.2f} s")
        return found

    @property
    def notes(self) -> list[str]:
        """What is worth knowing of a take that is kept."""
        notes = list(self.checked.notes) if self.checked is not None else []
        if self.lost_seconds > HEAD_SECONDS and not self.head_seconds:
            notes.append(
                f"the stream lost its first {self.lost_seconds:.2f} s, or had a shorter round trip than in the level "
                "set-up: nothing of the reel is missing"
            )
        return notes

    @property
    def decision(self) -> Decision:
        """Whether to keep the take: a fault of the stream is worth another pass, another reason needs a person."""
        if self.faults:
            return "repeat"
        return "refuse" if self.verdict == "refused" else "keep"


@contextmanager
def lock_takes(folder: Path) -> Iterator[None]:
    """Lock a folder of takes for one session; raises `CaptureError` if another session records into it."""
    path = folder / ".recording.lock"
    with file_lock(path, wait=False) as is_locked:
        if not is_locked:
            raise CaptureError(f"another `twin record` records into {folder}: wait for its end, or stop it by Ctrl-C")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def record_task(
    system: SoundSystem,
    connection: Connection,
    task: Task,
    *,
    subtype: Subtype = "PCM_24",
    channel: int = 1,
    reference_channel: int | None = None,
    latency_seconds: float | None = None,
    lead_seconds: float = LEAD_SECONDS,
    progress: Progress = no_progress,
    check_progress: Progress = no_progress,
) -> Attempt:
    """Record a reel beside its take, and check it; `keep` or `put_aside` moves the file.

    `latency_seconds` is the round trip that the level set-up found, from which a lost start is known.
    """
    out = task.take.with_name(f".{task.take.stem}.recording{task.take.suffix}")
    if out.is_file():
        # Recorded by a session that was killed during the check.
        _set_aside(out, task.take)
    # A negative round trip: the set-up lost its start.
    round_trip = None if latency_seconds is None else max(0.0, latency_seconds)
    made = record_pass(
        system,
        connection,
        task.path,
        out,
        subtype=subtype,
        lead_seconds=lead_seconds,
        latency_seconds=round_trip,
        progress=progress,
    )
    if not made.is_complete:
        return Attempt(task, made, None)
    try:
        checked = check_take(
            out,
            task.path,
            task.layout,
            channel=channel,
            reference_channel=reference_channel,
            progress=check_progress,
        )
    except KeyboardInterrupt:
        return Attempt(task, made, None)
    aligned = checked.alignment
    if aligned is None or aligned.verdict == "refused":
        return Attempt(task, made, checked)
    lag = aligned.lag_samples / aligned.sample_rate
    expected = made.lead_frames / made.sample_rate + (round_trip or 0.0)
    return Attempt(task, made, checked, max(0.0, expected - lag), max(0.0, -lag))


def keep(attempt: Attempt) -> Path:
    """Move an accepted recording to the path of its take; return that.

    Raises `CaptureError` if another take has appeared there, after setting the recording aside.
    """
    take = attempt.task.take
    if take.exists() or take.is_symlink():
        raise CaptureError(
            f"{take} appeared during the recording and is not replaced; the new recording is in {put_aside(attempt)}. "
            "Keep one of the two"
        )
    attempt.made.path.replace(take)
    return take


def put_aside(attempt: Attempt) -> Path:
    """Move a recording that is not used into a folder beside the takes, under a new name; return its path."""
    return _set_aside(attempt.made.path, attempt.task.take)


def _set_aside(recorded: Path, take: Path) -> Path:
    folder = take.parent / SET_ASIDE
    folder.mkdir(exist_ok=True)
    number = 1
    while (path := folder / f"{take.stem} {number}{take.suffix}").exists():
        number += 1
    recorded.replace(path)
    return path


@dataclass(frozen=True)
class LogEntry:
    """How a take was recorded: when, by which interface, and what the driver and the check reported."""

    take: str
    recorded: str
    output: str
    input: str
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    sample_rate: int
    breaks: tuple[float, ...]
    lost_seconds: float
    verdict: Verdict
    reasons: tuple[str, ...]
    levels: Mapping[str, Any] = field(default_factory=dict)


def add_to_log(path: Path, device: str, reel: str, entry: LogEntry) -> None:
    """Add a take to the log of the takes of a device (`recording/1`), in place of an earlier take of the reel."""
    takes = dict(read_json(path, RECORDING)["takes"]) if path.is_file() else {}
    takes[reel] = asdict(entry)
    write_json(path, RECORDING, {"device": device, "takes": takes})
