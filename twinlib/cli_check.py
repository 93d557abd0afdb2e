"""The command `twin check`: a take, the takes of a configuration, or a folder of recordings."""

# Evaluated annotations would import pandas and numba for every command.
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twinlib import excitation, recording, reports
from twinlib.audio import read_info
from twinlib.cli_options import (
    Commands,
    RecordedDevice,
    add_alignment_options,
    add_device,
    check_output,
    load_device,
    load_devices,
    refuse_options,
    run_command,
)
from twinlib.cli_tables import alignment_table, print_content, without_track
from twinlib.errors import AudioError, TwinError
from twinlib.progress import show_progress

_LEVELS = ("peak_dbfs", "rms_dbfs", "noise_floor_dbfs")


def add_check(commands: Commands) -> None:
    """Add the command `twin check`."""
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
    add_device(command)
    command.add_argument("--link", action="store_true", help="link the files of a folder instead of copying them")
    add_alignment_options(command, "take")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(action=_check)


def _check(args: argparse.Namespace) -> None:
    if args.take is None:
        _check_all(args)
    elif args.take.is_dir():
        _check_folder(args)
    else:
        _check_file(args)


def _check_file(args: argparse.Namespace) -> None:
    refuse_options(args, ("link",), f"{args.take} is a single take, which stays where it is")
    info = read_info(args.take)
    channel, reference = args.channel, args.reference_channel
    if args.reel is not None and (args.reel.is_file() or args.reel.suffix):
        reel = args.reel
    else:
        device = load_device(args.config, args.device)
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


def _channels(args: argparse.Namespace, device: RecordedDevice) -> tuple[int, int | None]:
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
    refuse_options(
        args, ("reel", "channel", "reference_channel", "plot", "link"), "without TAKE, the configuration applies"
    )
    refused, content = 0, {}
    for device in load_devices(args.config, args.device):
        for reel, take in device.existing.items():
            settings = device.settings
            checked = _run_check(take, device.captures[reel].dry, settings.channel, settings.reference_channel)
            refused += checked.verdict == "refused"
            content[f"{device.name}/{reel}"] = _content(checked)
            if not args.json:
                _print_checked(take, checked)
        if not args.json:
            _print_missing(device, args.config)
    if args.json:
        print(json.dumps(content, indent=1))
    if refused:
        raise TwinError(f"{refused} of {len(content)} takes are not usable")


def _print_missing(device: RecordedDevice, config: Path) -> None:
    missing = [reel for reel, _ in device.captures.missing]
    unmade = [reel for reel in missing if not device.reels[reel].is_file()]
    if len(unmade) < len(missing):
        print(device.captures.waiting)
    if unmade:
        print(f"{device.name} lacks the reels {', '.join(unmade)}: make them by `{run_command(config, 'excitation')}`")


def _identify(take: Path, device: RecordedDevice, channel: int) -> recording.Identified:
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
    refuse_options(args, ("reel", "plot"), f"{args.take} is a folder, not a single take")
    device = load_device(args.config, args.device)
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
    after = load_device(args.config, device.name)
    takes, misnamed = after.existing | used, recording.find_misnamed(found, after.existing)
    # As the workflow sees it, which goes by names alone.
    missing = [reel for reel in after.reels if reel not in after.existing or reel in misnamed]
    if args.json:
        content = _folder_content(placements, found, unreadable, checked)
        print(json.dumps({**content, "ambiguous": after.captures.ambiguous, "missing": missing}, indent=1))
    else:
        print(*lines, sep="\n")
        for reel, result in checked.items():
            _print_checked(takes[reel], result)
        for line in after.captures.ambiguous.values():
            print(line)
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
    }
