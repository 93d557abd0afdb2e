"""The command `twin record`: a recording session at a terminal."""

# Evaluated annotations would import pandas and numba for every command.
from __future__ import annotations

import argparse
import datetime
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from twinlib import capture, recording
from twinlib.audio import Subtype, read_info
from twinlib.cli_options import (
    Commands,
    RecordedDevice,
    add_device,
    check_output,
    load_device,
    refuse_options,
    run_command,
)
from twinlib.errors import TwinError
from twinlib.progress import show_progress

_SUBTYPES: dict[str, Subtype] = {"24": "PCM_24", "float": "FLOAT"}

_TAKES = (".wav", ".flac")

MAX_ATTEMPTS = 3
"""Passes of a reel without a person to decide."""


def add_record(commands: Commands) -> None:
    """Add the command `twin record`."""
    command = commands.add_parser(
        "record",
        help="play the missing reels and record the device",
        description="Play each reel that has no take yet through a device and record it, after a set-up of the levels. "
        "Each take is checked at once. Ctrl-C stops; the same command continues with the next missing reel. With FILE "
        "and --out: play and record one file, without a configuration.",
    )
    command.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a file to play, such as a reel")
    command.add_argument("--out", type=Path, metavar="TAKE", help="the recording of FILE")
    add_device(command)
    command.add_argument("--reel", nargs="+", metavar="REEL", help="only these reels (default: all without a take)")
    command.add_argument("--list", action="store_true", help="list the audio interfaces")
    command.add_argument("--dry-run", action="store_true", help="list what would be recorded; play nothing")
    command.add_argument("--output", type=_address, metavar="INTERFACE", help="number or name (default: the system's)")
    command.add_argument("--input", type=_address, metavar="INTERFACE", help="number or name (default: the system's)")
    command.add_argument("--outputs", type=int, nargs="+", default=[1], metavar="N", help="channels to play on (1)")
    command.add_argument(
        "--inputs",
        type=int,
        nargs="+",
        metavar="N",
        help="channels to record, in the order of the channels of the take: that of `channel` in the configuration is "
        "the device, that of `reference_channel` the loop-back (default: 1, 2 and so on)",
    )
    command.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: that of the reels, if possible)")
    command.add_argument(
        "--latency",
        type=float,
        metavar="S",
        help="latency in seconds (default: 0.2, or what the driver proposes if longer)",
    )
    command.add_argument("--bits", choices=list(_SUBTYPES), default="24", help="24-bit or floating-point takes (24)")
    command.set_defaults(action=_record)


def _address(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _record(args: argparse.Namespace) -> None:
    if args.list:
        _list_interfaces(recording.portaudio_system())
        return
    if (args.file is None) != (args.out is None):
        raise TwinError("give both FILE and --out TAKE to record one file, or neither to record the reels of a device")
    if args.file is not None:
        _record_file(args)
        return
    device = load_device(args.config, args.device)
    tasks = _tasks(device, args.reel)
    for task in tasks:
        print(f"{task.reel}: {read_info(task.path).seconds / 60:.1f} minutes -> {task.take}")
        if task.reel in device.captures.ambiguous:
            print(f"  note: {device.captures.ambiguous[task.reel]}. Otherwise it is recorded again")
    if not tasks:
        print(f"all reels of {device.name} have takes: run `{run_command(args.config)}`")
    if args.dry_run or not tasks:
        return
    settings, system = device.settings, recording.portaudio_system()
    connection = _connect(args, system, tasks, settings.channel, settings.reference_channel)
    card = _find_card(device, system, connection)
    log = capture.card_path(str(settings.takes), device.name).with_name(f"{device.name}.recording.json")
    session = _Session(
        device.name, system, connection, _SUBTYPES[args.bits], settings.channel, settings.reference_channel, log
    )
    with _locked(tasks):
        session.set_up_levels(card.get("input_level_dbu"))
        for number, task in enumerate(tasks, 1):
            print(f"reel {number} of {len(tasks)}: {task.reel}")
            session.record(task)
    recorded = [task.reel for task in tasks]
    rest = [reel for reel, _ in device.captures.missing if reel not in recorded]
    following = f"still without a take: {', '.join(rest)}" if rest else f"run `{run_command(args.config)}`"
    print(f"every reel asked for is recorded; {following}")


def _list_interfaces(system: recording.SoundSystem) -> None:
    interfaces = system.list_interfaces()
    if not interfaces:
        raise TwinError(
            "PortAudio finds no interface: plug it in, switch it on, and check its driver; or record in your audio "
            "program and run `twin check FOLDER`"
        )
    for each in interfaces:
        default = ", ".join(
            word for word, is_it in (("output", each.is_default_output), ("input", each.is_default_input)) if is_it
        )
        print(
            f"{each.number:3d}  {each.name}: {each.outputs} outputs, {each.inputs} inputs, {each.sample_rate} Hz"
            + (f" (default {default})" if default else "")
        )


def _record_file(args: argparse.Namespace) -> None:
    """Play one file and record it, without a configuration and without a log."""
    refuse_options(args, ("reel", "device"), "FILE is recorded without a configuration")
    check_output(args.out, _TAKES, args.file)
    if args.out.exists():
        raise TwinError(f"{args.out} exists: choose another name, or move it away")
    read_info(args.file)
    layout, note = recording.read_layout(args.file)
    if note:
        print(f"note: {note}", file=sys.stderr)
    task = recording.Task(args.file.stem, args.file, layout, args.out)
    if args.dry_run:
        print(f"{args.file}: {read_info(args.file).seconds / 60:.1f} minutes -> {args.out}")
        return
    system = recording.portaudio_system()
    session = _Session("", system, _connect(args, system, [task], 1, None), _SUBTYPES[args.bits])
    with _locked([task]):
        session.set_up_levels(None)
        session.record(task)


@contextmanager
def _locked(tasks: list[recording.Task]) -> Iterator[None]:
    """Lock the folders of the takes for this session."""
    with ExitStack() as locks:
        for folder in dict.fromkeys(task.take.parent for task in tasks):
            locks.enter_context(recording.lock_takes(folder))
        yield


def _tasks(device: RecordedDevice, reels: list[str] | None) -> list[recording.Task]:
    """Return the reels to record: the given ones, which must have no take, or all that are missing."""
    for reel in reels or []:
        if reel not in device.reels:
            raise TwinError(f"{device.name} has no reel {reel}; its reels: {', '.join(device.reels)}")
        if reel in device.existing:
            raise TwinError(f"{device.existing[reel]} is the take of {reel}: to record it again, move that file away")
    tasks = []
    for reel, take in device.captures.missing:
        if reels is None or reel in reels:
            if take.suffix.lower() not in _TAKES:
                raise TwinError(f"{take} cannot be recorded: let `takes` of {device.name} end in .wav or .flac")
            layout, _ = recording.read_layout(device.reels[reel])
            tasks.append(recording.Task(reel, device.reels[reel], layout, take))
    return tasks


def _connect(
    args: argparse.Namespace,
    system: recording.SoundSystem,
    tasks: list[recording.Task],
    channel: int,
    reference_channel: int | None,
) -> recording.Connection:
    needed = max(channel, reference_channel or 1)
    inputs = tuple(args.inputs or range(1, needed + 1))
    if len(inputs) < needed:
        raise TwinError(f"the device uses channel {needed} of its takes: give {needed} channels by --inputs")
    if min(*inputs, *args.outputs) < 1:
        raise TwinError("channels are counted from 1")
    rate = args.rate if args.rate is not None else read_info(tasks[0].path).sample_rate
    wanted = recording.Connection(args.output, args.input, tuple(args.outputs), inputs, rate, args.latency)
    found = system.find_rate(wanted)
    if args.rate is not None and found != args.rate:
        raise TwinError(f"the interface does not run at {args.rate} Hz, but at {found} Hz: leave --rate out")
    if found != rate:
        print(f"note: the interface runs at {found} Hz: the reels are resampled, and the takes again by the workflow")
    return replace(wanted, sample_rate=found)


def _find_card(
    device: RecordedDevice, system: recording.SoundSystem, connection: recording.Connection
) -> dict[str, Any]:
    """Return the card of the device; ask for it once, if there is a person to ask."""
    takes = str(device.settings.takes)
    path = capture.card_path(takes, device.name)
    if not path.is_file() and sys.stdin.isatty():
        print(f"A few questions on the device, once; Enter leaves one open. The answers go into {path}.")
        interface = recording.find_input(system.list_interfaces(), connection.input)
        name = interface.name if interface is not None else ""
        card = recording.ask_card(_ask_text, device.name, device.settings.card, name)
        recording.write_card(path, device.name, card)
    return capture.merge_card(takes, device.name, device.settings.card).given


def _ask_text(question: str, default: str) -> str:
    try:
        return input(f"{question}{f' [{default}]' if default else ''}: ") or default
    except EOFError:
        raise TwinError(
            "stopped before the recording: the card of the device is not written. Run again and answer its questions; "
            "Enter leaves one open"
        ) from None


def _ask(question: str, default: str) -> str:
    """Return the first letter of an answer in lower case; the default without a person to ask."""
    if not sys.stdin.isatty():
        return default
    try:
        return input(f"{question} ").strip().lower()[:1] or default
    except EOFError:
        return default


@dataclass
class _Session:
    """A recording session at a terminal; `log` is the file that lists the takes, None for no log."""

    device: str
    system: recording.SoundSystem
    connection: recording.Connection
    subtype: Subtype
    channel: int = 1
    reference_channel: int | None = None
    log: Path | None = None
    levels: recording.Levels | None = None

    def set_up_levels(self, input_level_dbu: float | None) -> None:
        """Measure the levels, again after each correction."""
        print("Level set-up: a short tone and noise are played. Turn your monitors down.")
        _ask("Enter to play it.", "")
        while True:
            with show_progress("levels", 9, "s") as done:
                self.levels = recording.measure_levels(
                    self.system,
                    self.connection,
                    channel=self.channel,
                    reference_channel=self.reference_channel,
                    progress=done,
                )
            print(self.levels.describe(input_level_dbu))
            for problem in self.levels.problems:
                print(f"  {problem}")
            if self.levels.is_usable:
                if _ask("Record (Enter), or measure again (m)?", "r") != "m":
                    return
            elif _ask("Measure again (Enter), or stop (q)?", "m" if sys.stdin.isatty() else "q") == "q":
                raise TwinError("nothing was recorded: " + "; ".join(self.levels.problems))

    def record(self, task: recording.Task) -> None:
        """Record a reel until a take is kept."""
        lead = recording.LEAD_SECONDS
        for attempt_number in itertools.count(1):
            attempt = self._attempt(task, lead)
            if attempt.checked is None:
                print(f"stopped: what was recorded is in {recording.put_aside(attempt)}; finished takes are kept")
                raise KeyboardInterrupt
            for line in (*attempt.faults, *attempt.checked.reasons):
                print(f"  {line}")
            choice = "k" if attempt.decision == "keep" else "r"
            # Another pass helps only against faults of the stream.
            is_last = attempt.decision == "refuse" or attempt_number >= MAX_ATTEMPTS
            if choice == "r" and is_last and not sys.stdin.isatty():
                choice = "q" if attempt.verdict == "refused" else "k"
            if attempt.verdict != "ok" or attempt.faults:
                words = "repeat (r), stop (q)" if attempt.verdict == "refused" else "keep (k), repeat (r), stop (q)"
                choice = _ask(f"{task.reel} is {attempt.verdict}: {words}? [{choice}]", choice)
            if choice == "k" and attempt.verdict != "refused":
                take = recording.keep(attempt)
                self._log(attempt)
                print(f"{take}: {attempt.verdict}")
                for note in attempt.notes:
                    print(f"  note: {note}")
                return
            print(f"  not used; it is in {recording.put_aside(attempt)}")
            if choice == "q":
                raise TwinError(f"{task.reel} has no take yet; finished takes are kept: run again to continue")
            # A stream that lost its start may lose as much again.
            lead += attempt.lost_seconds

    def _attempt(self, task: recording.Task, lead: float) -> recording.Attempt:
        if sys.stdin.isatty():
            for seconds in (3, 2, 1):
                print(f"{seconds} ...", flush=True)
                time.sleep(1)
        latency = self.levels.latency_seconds if self.levels else None
        total = read_info(task.path).seconds + lead + recording.TAIL_SECONDS + max(0.0, latency or 0.0)
        with show_progress(f"record {task.reel}", total, "s") as recorded, show_progress("check", 100, "%") as checked:
            return recording.record_task(
                self.system,
                self.connection,
                task,
                subtype=self.subtype,
                channel=self.channel,
                reference_channel=self.reference_channel,
                latency_seconds=latency,
                lead_seconds=lead,
                progress=recorded,
                check_progress=checked,
            )

    def _log(self, attempt: recording.Attempt) -> None:
        if self.log is None:
            return
        connection = self.connection
        entry = recording.LogEntry(
            take=str(attempt.task.take),
            recorded=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            output=str(connection.output if connection.output is not None else "default"),
            input=str(connection.input if connection.input is not None else "default"),
            outputs=connection.outputs,
            inputs=connection.inputs,
            sample_rate=connection.sample_rate,
            breaks=attempt.made.breaks,
            lost_seconds=round(attempt.lost_seconds, 3),
            verdict=attempt.verdict,
            reasons=attempt.checked.reasons if attempt.checked else (),
            levels=asdict(self.levels) if self.levels else {},
        )
        recording.add_to_log(self.log, self.device, attempt.task.reel, entry)
