"""The commands `twin check` and `twin record`, and the options of the commands that align."""

# Evaluated annotations would import pandas and numba for every command.
from __future__ import annotations

import argparse
import datetime
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib import capture, excitation, recording, reports
from twinlib.audio import Subtype, read_info
from twinlib.cli_tables import alignment_table, print_content, without_track
from twinlib.errors import AudioError, TwinError
from twinlib.progress import show_progress

if TYPE_CHECKING:
    from twinlib.config import Device

Commands = Any
"""What `argparse` returns for subcommands; its type is private."""

_CONFIG = Path("config/config.yaml")
_SUBTYPES: dict[str, Subtype] = {"24": "PCM_24", "float": "FLOAT"}

_TAKES = (".wav", ".flac")

MAX_ATTEMPTS = 3
"""Passes of a reel without a person to decide."""

_LEVELS = ("peak_dbfs", "rms_dbfs", "noise_floor_dbfs")


def add_recording(commands: Commands) -> None:
    """Add the commands of a recording session."""
    command = commands.add_parser(
        "check",
        help="check whether recordings are usable",
        description="Check a recording. Of a folder: find out which file holds which reel, put each where the "
        "configuration wants it (the files themselves stay as they are), and check it. Without TAKE: check all takes "
        "of the configuration.",
    )
    command.add_argument("take", type=Path, nargs="?", help="the recording, or a folder of recordings")
    command.add_argument(
        "--reel", type=Path, help="the played reel: its file or name (default: found out by the content of the take)"
    )
    _add_device(command)
    command.add_argument("--link", action="store_true", help="link the files of a folder instead of copying them")
    add_alignment_options(command, "take")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(action=_check)

    _add_record(commands)


def add_alignment_options(command: argparse.ArgumentParser, wet: str) -> None:
    """Add the options of the commands that align; `channel` is None for the default."""
    command.add_argument("--channel", type=int, help=f"channel of the {wet}, counted from 1 (default 1)")
    command.add_argument(
        "--reference-channel",
        type=int,
        metavar="N",
        help="channel that recorded the dry signal through a loop-back cable, counted from 1",
    )
    command.add_argument("--plot", type=Path, help="plot lag over time and excluded ranges as SVG")


def check_output(path: Path | None, suffixes: tuple[str, ...], *inputs: Path) -> None:
    """Raise `TwinError` if an output has an unsupported format or would overwrite an input."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise TwinError(f"{path}: unsupported format, use {' or '.join(suffixes)}")
    if path.resolve() in [each.resolve() for each in inputs]:
        raise TwinError(f"{path} is one of the input files: choose another name for the output")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", metavar="NAME", help="device of the configuration (default: the only one)")
    command.add_argument("--config", type=Path, default=_CONFIG, help=f"the configuration (default: {_CONFIG})")


@dataclass(frozen=True)
class _Recorded:
    """A device that is recorded from reels: its settings, its captures, and the reels that exist, by name."""

    name: str
    settings: Device
    captures: capture.DeviceCaptures

    @property
    def reels(self) -> dict[str, Path]:
        """The files of the reels."""
        return {name: each.dry for name, each in self.captures.captures.items()}

    @property
    def existing(self) -> dict[str, Path]:
        """The takes that are there."""
        missing = dict(self.captures.missing)
        return {name: each.wet for name, each in self.captures.captures.items() if name not in missing}


def _load_devices(path: Path, name: str | None) -> list[_Recorded]:
    """Return the devices of a configuration that are recorded from reels, or the named one."""
    # Imported here to save a second in the other commands.
    from twinlib.config import load_config

    settings = load_config(path)
    devices = {key: device for key, device in settings.devices.items() if device.takes is not None}
    if name is not None and name not in devices:
        known = ", ".join(devices) or "none"
        raise TwinError(f"{path} has no device {name} with `takes`; devices with takes: {known}")
    if not devices:
        raise TwinError(f"{path} has no device with `takes`: add one, see config/README.md")
    captures = capture.find_captures(Path(settings.results), devices, settings.excitations)
    return [_Recorded(key, devices[key], captures[key]) for key in devices if name in (None, key)]


def _load_device(path: Path, name: str | None) -> _Recorded:
    """Return one device that is recorded from reels, all of which have been made."""
    found = _load_devices(path, name)
    if len(found) > 1:
        raise TwinError(f"{path} has several devices with takes: choose one by --device: {_names(found)}")
    for reel, file in found[0].reels.items():
        if not file.is_file():
            raise TwinError(f"{file} does not exist: make the reel {reel} by `snakemake excitation --cores 2`")
    return found[0]


def _names(devices: Iterable[_Recorded]) -> str:
    return ", ".join(device.name for device in devices)


def _refuse_options(args: argparse.Namespace, names: tuple[str, ...], reason: str) -> None:
    """Raise `TwinError` if one of these options is given."""
    values = {name: getattr(args, name) for name in names}
    # Not a test of truth: 0 is a value.
    given = [
        f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and value is not False
    ]
    if given:
        raise TwinError(f"{reason}: leave out {' and '.join(given)}")


def _check(args: argparse.Namespace) -> None:
    if args.take is None:
        _check_all(args)
    elif args.take.is_dir():
        _check_folder(args)
    else:
        _check_file(args)


def _check_file(args: argparse.Namespace) -> None:
    _refuse_options(args, ("link",), f"{args.take} is a single take, which stays where it is")
    info = read_info(args.take)
    channel, reference = args.channel, args.reference_channel
    if args.reel is not None and (args.reel.is_file() or args.reel.suffix):
        reel = args.reel
    else:
        device = _load_device(args.config, args.device)
        channel, reference = _channels(args, device)
        name = str(args.reel) if args.reel is not None else _only_reel(_identify(args.take, device, channel))
        reel = device.captures[name].dry
        if args.reel is None:
            print(f"note: {args.take} holds the reel {name}", file=sys.stderr)
    check_output(args.plot, (".svg",), args.take, reel)
    checked = _run_check(info.path, reel, 1 if channel is None else channel, reference)
    if args.plot and checked.alignment is not None:
        reports.plot_alignment(checked.alignment, args.plot)
    if args.json:
        print_content(_content(checked), True)
    else:
        _print_checked(args.take, checked)
        take, found = checked.take, checked.alignment
        shown = {name.removesuffix("_dbfs").replace("_", " "): f"{getattr(take, name):.1f} dBFS" for name in _LEVELS}
        if take.hum_hz is not None:
            shown["hum"] = f"{take.hum_hz:.2f} Hz, {take.hum_dbfs:.1f} dBFS"
        shown |= {key: value for key, value in (alignment_table(found) if found else {}).items() if key != "verdict"}
        print_content(shown, False)
    if checked.verdict == "refused":
        raise TwinError(f"{args.take} is not usable")


def _channels(args: argparse.Namespace, device: _Recorded) -> tuple[int, int | None]:
    """Return the channel and the reference channel of takes of a device, as given or as configured."""
    settings = device.settings
    return (
        settings.channel if args.channel is None else args.channel,
        settings.reference_channel if args.reference_channel is None else args.reference_channel,
    )


def _run_check(take: Path, reel: Path, channel: int, reference_channel: int | None) -> recording.CheckedTake:
    layout, note = recording.read_layout(reel)
    if note:
        print(f"note: {note}", file=sys.stderr)
    with show_progress(f"check {take}", 100, "%") as done:
        return recording.check_take(
            take, reel, layout, channel=channel, reference_channel=reference_channel, progress=done
        )


def _content(checked: recording.CheckedTake) -> dict[str, Any]:
    content: dict[str, Any] = {"verdict": checked.verdict, "reasons": list(checked.reasons)}
    content["take"] = checked.take.to_dict()
    if checked.alignment is not None:
        content["alignment"] = without_track(checked.alignment)
    return content


def _print_checked(path: Path, checked: recording.CheckedTake) -> None:
    print(f"{path}: {checked.verdict}")
    for line in (*checked.reasons, *(f"note: {note}" for note in checked.notes)):
        print(f"  {line}")


def _check_all(args: argparse.Namespace) -> None:
    """Check all takes of a configuration."""
    _refuse_options(
        args, ("reel", "channel", "reference_channel", "plot", "link"), "without TAKE, the configuration applies"
    )
    refused, content = 0, {}
    for device in _load_devices(args.config, args.device):
        for reel, take in device.existing.items():
            settings = device.settings
            checked = _run_check(take, device.captures[reel].dry, settings.channel, settings.reference_channel)
            refused += checked.verdict == "refused"
            content[f"{device.name}/{reel}"] = _content(checked)
            if not args.json:
                _print_checked(take, checked)
        if device.captures.missing and not args.json:
            print(device.captures.waiting)
    if args.json:
        print(json.dumps(content, indent=1))
    if refused:
        raise TwinError(f"{refused} of {len(content)} takes are not usable")


def _identify(take: Path, device: _Recorded, channel: int) -> recording.Identified:
    reels = [recording.read_known_reel(name, path) for name, path in device.reels.items()]
    with show_progress(f"search {take}", read_info(take).frames, "samples") as done:
        return recording.identify_reels(take, reels, channel=channel, progress=done)


def _only_reel(found: recording.Identified) -> str:
    names = [part.reel for part in found.parts]
    if len(names) == 1:
        return names[0]
    if names:
        raise TwinError(f"{found.path} holds several reels ({', '.join(names)}): `twin check FOLDER` cuts it")
    raise TwinError(f"{found.path} {recording.describe_unknown(found)}")


def _check_folder(args: argparse.Namespace) -> None:
    """Put the recordings of a folder where the configuration wants them, and check them."""
    _refuse_options(args, ("reel", "plot"), f"{args.take} is a folder, not a single take")
    device = _load_device(args.config, args.device)
    channel, reference = _channels(args, device)
    found, unreadable = [], []
    for path in excitation.list_sounds(args.take):
        try:
            found.append(_identify(path, device, channel))
        except AudioError as error:
            unreadable.append(str(error))
    placements = recording.plan_placements(found, str(device.settings.takes), device.existing)
    for each in placements:
        if each.state == "placed":
            with show_progress(f"write {each.take}", read_info(each.source).frames, "samples") as done:
                recording.place(each, args.link, done)
    lines = [*recording.describe_placements(found, placements, device.existing, args.link), *unreadable]
    used = {each.part.reel: each.take for each in placements if each.state in ("placed", "there")}
    checked = {reel: _run_check(take, device.captures[reel].dry, channel, reference) for reel, take in used.items()}
    takes = device.existing | used
    missing = [reel for reel in device.reels if reel not in takes]
    if args.json:
        print(json.dumps(_folder_content(placements, found, unreadable, checked, missing), indent=1))
    else:
        print(*lines, sep="\n")
        for reel, result in checked.items():
            _print_checked(takes[reel], result)
        print(f"missing: {', '.join(missing)}" if missing else "every reel has a take")
    refused = [reel for reel, result in checked.items() if result.verdict == "refused"]
    if refused:
        raise TwinError(f"the takes of {', '.join(refused)} are not usable")
    if not placements:
        raise TwinError(f"{args.take} holds no recording of a reel of {device.name}")


def _folder_content(
    placements: Iterable[recording.Placement],
    found: Iterable[recording.Identified],
    unreadable: list[str],
    checked: dict[str, recording.CheckedTake],
    missing: list[str],
) -> dict[str, Any]:
    return {
        "takes": [
            {
                "file": str(each.source),
                "reel": each.part.reel,
                "start": each.part.start,
                "take": str(each.take),
                "state": each.state,
                "span": each.span,
                **({"verdict": checked[each.part.reel].verdict} if each.state in ("placed", "there") else {}),
            }
            for each in placements
        ],
        "unknown": [str(file.path) for file in found if not file.parts],
        "unreadable": unreadable,
        "missing": missing,
    }


def _add_record(commands: Commands) -> None:
    command = commands.add_parser(
        "record",
        help="play the missing reels and record the device",
        description="Play each reel that has no take yet through a device and record it, after a set-up of the levels. "
        "Each take is checked at once. Ctrl-C stops; the same command continues with the next missing reel. With FILE "
        "and --out: play and record one file, without a configuration.",
    )
    command.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a file to play, such as a reel")
    command.add_argument("--out", type=Path, metavar="TAKE", help="the recording of FILE")
    _add_device(command)
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
    command.add_argument("--latency", type=float, metavar="S", help="latency in seconds (default: the driver's)")
    command.add_argument("--bits", choices=list(_SUBTYPES), default="24", help="24-bit or floating-point takes (24)")
    command.set_defaults(action=_record)


def _address(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _record(args: argparse.Namespace) -> None:
    if args.list:
        for each in recording.portaudio_system().list_interfaces():
            default = ", ".join(
                word for word, is_it in (("output", each.is_default_output), ("input", each.is_default_input)) if is_it
            )
            print(
                f"{each.number:3d}  {each.name}: {each.outputs} outputs, {each.inputs} inputs, {each.sample_rate} Hz"
                + (f" (default {default})" if default else "")
            )
        return
    if (args.file is None) != (args.out is None):
        raise TwinError("give both FILE and --out TAKE to record one file, or neither to record the reels of a device")
    if args.file is not None:
        _record_file(args)
        return
    device = _load_device(args.config, args.device)
    tasks = _tasks(device, args.reel)
    for task in tasks:
        print(f"{task.reel}: {read_info(task.path).seconds / 60:.1f} minutes -> {task.take}")
    if not tasks:
        print(f"all reels of {device.name} have takes: run `snakemake --cores 2`")
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
    print("every reel asked for is recorded: run `snakemake --cores 2`")


def _record_file(args: argparse.Namespace) -> None:
    """Play one file and record it, without a configuration and without a log."""
    _refuse_options(args, ("reel", "device"), "FILE is recorded without a configuration")
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


def _tasks(device: _Recorded, reels: list[str] | None) -> list[recording.Task]:
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


def _find_card(device: _Recorded, system: recording.SoundSystem, connection: recording.Connection) -> dict[str, Any]:
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
        total = read_info(task.path).seconds + lead + recording.TAIL_SECONDS
        with show_progress(f"record {task.reel}", total, "s") as recorded, show_progress("check", 100, "%") as checked:
            return recording.record_task(
                self.system,
                self.connection,
                task,
                subtype=self.subtype,
                channel=self.channel,
                reference_channel=self.reference_channel,
                latency_seconds=self.levels.latency_seconds if self.levels else None,
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
