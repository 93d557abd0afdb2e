"""The `twin` command: train, align, check, render, evaluate, export, audit."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from twinlib import alignment, capture, evaluation, model, project, provenance, recording, reports
from twinlib.audio import BLOCK, Subtype, Writer, read_info
from twinlib.audit import add_audit
from twinlib.cli_check import add_check
from twinlib.cli_options import add_alignment_options, check_output
from twinlib.cli_record import add_record
from twinlib.cli_runtime import run
from twinlib.cli_tables import alignment_table, print_content, without_track
from twinlib.contracts import TWIN_FILE
from twinlib.errors import TwinError
from twinlib.progress import show_progress
from twinlib.version import library_version

if TYPE_CHECKING:
    from twinlib.alignment import Alignment

_SUBTYPES: dict[str, Subtype] = {"24": "PCM_24", "float": "FLOAT"}


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 refused with a reason, 2 usage error."""
    args = make_parser().parse_args()
    action: Callable[[argparse.Namespace], None] = args.action
    run(lambda: action(args))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; `action` of its result is the function to call."""
    parser = argparse.ArgumentParser(
        prog="twin",
        description="Digital twins of analog devices. Run `twin COMMAND --help` for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"twinlib {library_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "train", help="train a twin from pairs of files", description="Train a twin from pairs of dry and wet files."
    )
    command.add_argument(
        "files", type=Path, nargs="*", metavar="DRY WET", help="the played file and the recorded file of each pair"
    )
    command.add_argument(
        "--take", type=Path, action="append", default=[], help="the recording of a reel; repeat it for more takes"
    )
    command.add_argument(
        "--reel",
        type=Path,
        action="append",
        default=[],
        help="the reel of the take, in the folder in which it was made; its splits are used",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the project (default: twin-NAME, after the first wet file)"
    )
    command.add_argument("--preset", choices=list(model.PRESETS), default="small", help="the network (default: small)")
    command.add_argument(
        "--minutes", type=_minutes, default=5.0, help="training budget in minutes of CPU time (default: 5)"
    )
    command.set_defaults(action=partial(_train, command.error))

    command = commands.add_parser("init", help="write a commented configuration into a folder")
    command.add_argument("folder", type=Path, nargs="?", default=Path(), help="default: the current folder")
    command.add_argument("--pairs", action="store_true", help="for pairs of files instead of a corpus of music")
    command.set_defaults(action=_init)

    command = commands.add_parser(
        "align", help="measure lag, drift, polarity and dropouts of a wet file against its dry file"
    )
    command.add_argument("dry", type=Path, help="the played file")
    command.add_argument("wet", type=Path, help="the recorded file")
    add_alignment_options(command, "wet file")
    command.add_argument("--out", type=Path, help="write the aligned wet signal as WAV (float) or FLAC (24 bit)")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(action=_align)

    add_check(commands)
    add_record(commands)

    command = commands.add_parser("render", help="play a file through a twin")
    command.add_argument("twin", type=Path, help="a twin.safetensors or its folder")
    command.add_argument("dry", type=Path, help="a mono or stereo sound file of any length")
    command.add_argument("out", type=Path, help="output file: .wav or .flac")
    command.add_argument(
        "--bits",
        choices=list(_SUBTYPES),
        help="24-bit or floating-point output (default: float for .wav, 24 for .flac)",
    )
    command.set_defaults(action=_render)

    command = commands.add_parser("evaluate", help="measure the error of a twin on a pair of files")
    command.add_argument("twin", type=Path, help="a twin.safetensors or its folder")
    command.add_argument("dry", type=Path, help="the played file")
    command.add_argument("wet", type=Path, help="the recorded file; it is aligned first")
    command.add_argument("--channel", type=int, default=1, help="channel of the wet file, counted from 1 (default 1)")
    command.add_argument("--json", action="store_true", help="print the metrics as JSON")
    command.set_defaults(action=_evaluate)

    command = commands.add_parser("export", help="export a twin for a plug-in (.nam) or ONNX Runtime (.onnx)")
    command.add_argument("twin", type=Path, help="a twin.safetensors or its folder")
    command.add_argument("out", type=Path, help="output file: .nam or .onnx")
    command.add_argument(
        "--nam-version",
        choices=["0.5", "0.7"],
        help="version of the .nam file: 0.5 for plug-ins before 2025, 0.7 for the Python trainer of Neural Amp Modeler "
        "(default: the oldest that every player plays correctly)",
    )
    command.set_defaults(action=_export)

    add_audit(commands)
    return parser


def _column(channel: int) -> int:
    if channel < 1:
        raise TwinError(f"channels are counted from 1; there is no channel {channel}")
    return channel - 1


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.05 <= minutes <= 1e5:
        raise ValueError
    return minutes


def _train(usage_error: Callable[[str], NoReturn], args: argparse.Namespace) -> None:
    if len(args.take) != len(args.reel):
        usage_error("--take and --reel belong together: give a reel for each take")
    if not args.files and not args.take:
        usage_error("give the dry and the wet file of a pair, or --take and --reel")
    if len(args.files) % 2:
        raise TwinError(f"{args.files[-1]} has no wet file: give a dry and a wet file for each pair")
    pairs = list(zip(args.files[::2], args.files[1::2], strict=True))
    takes = list(zip(args.reel, args.take, strict=True))
    _note_files(*args.files, *args.take)
    folder = args.out or Path(f"twin-{project.name_device([*pairs, *takes][0][1])}")
    device = project.write_project(folder, pairs, args.preset, args.minutes, takes)
    project.run_workflow(folder, cores=min(2, os.cpu_count() or 1))
    twin = folder / "results" / "twins" / device / args.preset
    print(f"open:    {twin / 'evaluation' / 'index.html'}")
    print(f"plug-in: {twin / 'twin.nam'} (Neural Amp Modeler), {twin / 'twin.onnx'} (ONNX Runtime)")
    # The program of a virtual environment that is not active.
    is_on_path = Path(sys.argv[0]).name != "twin" or shutil.which("twin")
    print(f"render:  {'twin' if is_on_path else sys.argv[0]} render {twin} IN.wav OUT.wav")


def _init(args: argparse.Namespace) -> None:
    written = project.write_template(args.folder, args.pairs)
    print(f"{written}: edit it, then run in {args.folder.resolve()}:")
    print(f"  snakemake --snakefile {project.find_workflow()} --cores 2")


def _align(args: argparse.Namespace) -> None:
    check_output(args.out, (".wav", ".flac"), args.dry, args.wet)
    check_output(args.plot, (".svg",), args.dry, args.wet)
    _note_files(args.dry, args.wet)
    with show_progress(f"align {args.wet}", 100, "%") as done:
        found = recording.align_take(
            args.wet,
            args.dry,
            None,
            channel=1 if args.channel is None else args.channel,
            reference_channel=args.reference_channel,
            progress=done,
        )
    if args.plot:
        reports.plot_alignment(found, args.plot)
    print_content(without_track(found) if args.json else alignment_table(found), args.json)
    if not args.json and found.verdict == "suspect":
        print(*found.reasons, sep="\n")
    if found.verdict == "refused":
        raise TwinError("this pair cannot be aligned: " + "; ".join(found.reasons))
    if args.out:
        _write_aligned(args.wet, found, args.channel or 1, args.out)


def _note_files(*paths: Path) -> None:
    """Report files that are truncated or lossy, or whose header does not give their length."""
    for path in paths:
        for note in capture.describe_file(read_info(path)):
            print(f"note: {note}", file=sys.stderr)


def _write_aligned(wet: Path, found: "Alignment", channel: int, out: Path) -> None:
    exact = replace(found, guard_samples=0)
    frames = found.dry_frames
    subtype: Subtype = "PCM_24" if out.suffix.lower() == ".flac" else "FLOAT"
    with (
        alignment.WarpedReader(wet, exact, _column(channel)) as warped,
        Writer(out, found.sample_rate, 1, subtype, frames) as writer,
        show_progress(f"write {out}", frames, "samples") as done,
    ):
        for start in range(0, frames, BLOCK):
            stop = min(start + BLOCK, frames)
            writer.write(warped.read(start, stop))
            done(stop - start)


def _render(args: argparse.Namespace) -> None:
    _use_one_thread()
    twin = model.load_twin(args.twin)
    info = read_info(args.dry)
    if note := info.describe_header():
        print(f"note: {note}", file=sys.stderr)
    with show_progress(f"render {args.out}", info.frames, "samples") as done:
        model.render_file(twin, args.dry, args.out, _SUBTYPES[args.bits] if args.bits else None, progress=done)


def _export(args: argparse.Namespace) -> None:
    _use_one_thread()
    model.check_export_path(args.out)
    twin = model.load_twin(args.twin)
    file = args.twin / TWIN_FILE if args.twin.is_dir() else args.twin
    # In a results folder the file is twins/DEVICE/MODEL/twin.safetensors.
    card = capture.read_device_card(file.absolute().parents[3], twin.device) if len(file.absolute().parents) > 3 else {}
    verdict = evaluation.read_verdict_of(file)
    model.export_twin(twin, args.out, provenance.started(file), card, verdict, args.nam_version)
    milliseconds = 1e3 * twin.guard_samples / twin.sample_rate
    print(
        f"{args.out}: {twin.sample_rate} Hz; latency {twin.guard_samples} samples ({milliseconds:.2f} ms), which a "
        "real-time player cannot remove"
    )


def _evaluate(args: argparse.Namespace) -> None:
    _use_one_thread()
    twin = model.load_twin(args.twin)
    _note_files(args.dry, args.wet)
    metrics, found = evaluation.evaluate_files(twin, args.dry, args.wet, _column(args.channel))
    aligned = {key: getattr(found, key) for key in ("verdict", "lag_samples", "drift_ppm", "polarity")}
    if not args.json:
        print(*evaluation.verdict_lines(metrics), "", sep="\n")
    print_content({**metrics, "alignment": aligned} if args.json else evaluation.without_verdict(metrics), args.json)


def _use_one_thread() -> None:
    """Use one torch thread, which is faster than several if another core is busy; torch reads this on its import."""
    os.environ["OMP_NUM_THREADS"] = "1"


if __name__ == "__main__":
    main()
