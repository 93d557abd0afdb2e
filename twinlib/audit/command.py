"""The sub-commands of `twin audit`."""

import argparse
import glob
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib.errors import AuditError
from twinlib.progress import show_progress

if TYPE_CHECKING:
    from twinlib.provenance.results import Results


def add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit` and its sub-commands to the commands of `twin`."""
    audit = commands.add_parser("audit", help="where segments and twins come from, and whether files are what they say")
    questions = audit.add_subparsers(required=True, metavar="QUESTION")

    def question(name: str, action: Any, told: str) -> argparse.ArgumentParser:
        parser = questions.add_parser(name, help=told, description=told)
        parser.add_argument(
            "--results", type=Path, default=Path("results"), metavar="DIR", help="the results folder (default results)"
        )
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        parser.set_defaults(action=action)
        return parser

    command = question("trace", _trace, "back to tracks, sample ranges, licences, takes, settings and code")
    command.add_argument("what", help="a segment (DEVICE/CAPTURE/0000000000), a twin (DEVICE/MODEL), or a file")
    command.add_argument("--at", type=float, metavar="SECONDS", help="this moment of a listening clip")
    command.add_argument(
        "--extract", type=Path, metavar="DIR", help="write the segment as sound, with all that made it"
    )

    command = question("withdraw", _withdraw, "leave a track out from now on: what it touches, and how to rebuild")
    command.add_argument("track", help="a track_id")
    command.add_argument("--reason", help="why, for config/excluded.tsv and MLflow")
    command.add_argument(
        "--exclude", type=Path, metavar="FILE", help="the list to write to, if not that of the records"
    )
    way = command.add_mutually_exclusive_group()
    way.add_argument("--undo", action="store_true", help="take the withdrawal back")
    way.add_argument("--dry-run", action="store_true", help="only say what it would touch")

    question("leaks", _leaks, "do splits share a track, an artist, samples, or one recording under two names?")
    question("verify", _verify, "is every file what its record says?")

    command = question("licences", _licences, "hours and tracks by licence, and what a twin may be used for")
    command.add_argument("--commercial", action="store_true", help="fail unless every twin may be sold")
    command.add_argument("--free", action="store_true", help="fail unless every twin may be passed on for free")
    command.add_argument("--attribution", metavar="DEVICE[/MODEL]", help="print the text that names all of its music")

    command = question("card", _card, "a datasheet of the datasets and twins: Markdown, and HTML with figures")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: the results folder")

    command = question("croissant", _croissant, "write a device's dataset in the format that hubs of datasets read")
    command.add_argument("device")
    command.add_argument("--out", type=Path, metavar="FILE", help="default: croissant.json beside the dataset")

    command = question("crate", _crate, "write the run as an RO-Crate (Process Run profile)")
    command.add_argument("--out", type=Path, metavar="FILE", help="default: ro-crate-metadata.json in the results")

    command = question("mlflow", _mlflow, "fill a lost or an empty MLflow store from the results")
    command.add_argument("--uri", help="the store (default: the one that the stages logged to)")

    command = question("history", _history, "the versions of a recording: which takes a capture has had, and why")
    command.add_argument("capture", nargs="?", help="DEVICE/CAPTURE (default: all that have had more than one take)")
    command.add_argument("--reason", help="write down why the last take of this capture replaced the one before")


def _print(found: Mapping[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else text)


def _results(args: argparse.Namespace) -> "Results":
    from twinlib.provenance.results import Results

    results = Results(args.results)
    for name, reason in results.unreadable.items():
        print(f"note: {name} is no readable record and left out ({reason})", file=sys.stderr)
    return results


def _trace(args: argparse.Namespace) -> None:
    from twinlib.audit.trace import trace
    from twinlib.audit.trace_text import trace_text

    results = _results(args)
    found = trace(results, args.what, args.at)
    if args.extract:
        from twinlib.audit.extract import extract

        if found["kind"] != "segment":
            raise AuditError(f"{args.what} is a {found['kind']}: only a segment can be written as sound")
        written = extract(results, args.what, args.extract)
        print(f"{len(written)} files in {args.extract}", file=sys.stderr)
    _print(found, trace_text(found), args.json)


def _verify(args: argparse.Namespace) -> None:
    from twinlib.audit.verify import bytes_to_verify, refuse_differences, verify, verify_text

    results = _results(args)
    with show_progress("verify", bytes_to_verify(results), "bytes") as done:
        found = verify(results, done)
    _print(found, verify_text(found), args.json)
    refuse_differences(found)


def _withdraw(args: argparse.Namespace) -> None:
    from twinlib.audit import withdraw
    from twinlib.audit.store import experiments_of, store_of
    from twinlib.tracking.exclusion_tags import find_runs_by_dataset, find_runs_by_track, mark_withdrawn

    results = _results(args)
    if args.undo:
        _take_back(results, args)
        return
    found = withdraw.touched(results, args.track)
    text = withdraw.touched_text(found)
    if args.dry_run:
        _print(found, text, args.json)
        return
    if not args.reason:
        raise AuditError("say why: --reason 'the artist asks for it' (or --dry-run to only see what it touches)")
    listed, day = args.exclude or withdraw.exclusions_file(results), datetime.now(UTC).date()
    withdraw.write_exclusion(listed, args.track, args.reason, day)
    store = store_of(results.folder, None)
    runs = {run["run_id"] for run in found["runs"]} | set(find_runs_by_dataset(store, found["datasets"]))
    # Twins of earlier datasets have learned from it too, whatever today's hold.
    runs |= set(find_runs_by_track(store, args.track, experiments_of(results.folder)))
    marked = mark_withdrawn(store, sorted(runs), args.track, args.reason, day.isoformat())
    text += f"\n{listed} now names {args.track}.\n{len(marked)} runs in MLflow are marked as withdrawn."
    _rebuild(results, listed, marked, found, text, args.json)


def _take_back(results: "Results", args: argparse.Namespace) -> None:
    from twinlib.audit import withdraw
    from twinlib.audit.store import store_of
    from twinlib.tracking.exclusion_tags import find_withdrawn_runs, unmark_withdrawn

    listed = args.exclude or withdraw.exclusions_file(results)
    withdraw.remove_exclusion(listed, args.track)
    store = store_of(results.folder, None)
    freed = unmark_withdrawn(store, find_withdrawn_runs(store, args.track), args.track)
    text = (
        f"{listed} does not name {args.track} any more.\n{len(freed)} runs in MLflow are no more marked as withdrawn."
    )
    _rebuild(results, listed, freed, {"track": args.track, "undone": True}, text, args.json)


def _rebuild(
    results: "Results", listed: Path, runs: list[str], found: Mapping[str, Any], text: str, as_json: bool
) -> None:
    """Say what was done, and the command that makes the results anew."""
    from twinlib.audit.withdraw import rebuild_command

    command = rebuild_command(results)
    told = {**found, "exclusions": str(listed), "tagged_runs": runs, "command": command}
    _print(told, f"{text}\nTo rebuild, in {results.project}:\n\n    {command}\n", as_json)


def _leaks(args: argparse.Namespace) -> None:
    from twinlib.audit.leaks import audit_leaks, leaks_text

    found = audit_leaks(args.results)
    _print(found, leaks_text(found), args.json)
    if found["leaks"]:
        raise AuditError(f"the splits leak, {found['leaks']} times")


def _licences(args: argparse.Namespace) -> None:
    from twinlib.audit.licences import attribution, licences, licences_text, refuse_use

    results = _results(args)
    if args.attribution:
        device, _, model = args.attribution.partition("/")
        text = attribution(results, device, model or None)
        _print({"attribution": text}, text, args.json)
        return
    found = licences(results, True if args.commercial else False if args.free else None)
    _print(found, licences_text(found), args.json)
    refuse_use(found)


def _card(args: argparse.Namespace) -> None:
    from twinlib.audit.card import card
    from twinlib.audit.card_figures import card_figures
    from twinlib.audit.card_page import card_page
    from twinlib.audit.card_sections import card_markdown
    from twinlib.files import write_text

    told = card(_results(args))
    folder = args.out or args.results
    write_text(folder / "card.md", card_markdown(told))
    write_text(folder / "card.html", card_page(told, card_figures(told)))
    _print(told, f"{folder / 'card.md'}\n{folder / 'card.html'}", args.json)


def _croissant(args: argparse.Namespace) -> None:
    from twinlib.audit.croissant import NAME, check_croissant, croissant_text, write_croissant

    results = _results(args)
    out = args.out or results.folder / "devices" / args.device / NAME
    write_croissant(results, args.device, out)
    records = check_croissant(out)
    told = json.loads(out.read_text(encoding="utf-8"))
    _print(told, f"{croissant_text(told)}{out}: read back, {records} records", args.json)


def _crate(args: argparse.Namespace) -> None:
    from twinlib.audit.crate import crate_text, read_crate, write_crate

    results = _results(args)
    out = write_crate(results, args.out)
    actions = read_crate(out, results.folder).actions
    told = json.loads(out.read_text(encoding="utf-8"))
    _print(told, f"{crate_text(told)}{out}: read back, {len(actions)} stages", args.json)


def _mlflow(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from twinlib.audit.mlflow import as_text, rebuild, runs_to_check

    with show_progress("fill the store", runs_to_check(args.results), "runs") as done:
        found = rebuild(args.results, args.uri, done)
    _print({"runs": [asdict(one) for one in found]}, as_text(found), args.json)


def _history(args: argparse.Namespace) -> None:
    from twinlib.audit.formatting import table
    from twinlib.provenance.take_history import FILE, give_reason, read_history

    if not args.results.is_dir():
        raise AuditError(f"{args.results} is no folder: name the results folder with --results")
    pattern = f"devices/{glob.escape(args.capture) if args.capture else '*/*'}/{FILE}"
    paths = sorted(args.results.glob(pattern))
    if args.capture and not paths:
        raise AuditError(f"no take of {args.capture} was noted in {args.results}: name a capture as DEVICE/CAPTURE")
    if args.reason:
        if not args.capture:
            raise AuditError(
                "name the capture (DEVICE/CAPTURE) whose last take replaced the one before for this reason"
            )
        give_reason(paths[0], args.reason)
    found = {"/".join(path.parts[-3:-1]): read_history(path) for path in paths}
    found = {name: takes for name, takes in found.items() if args.capture or len(takes) > 1}
    lines = [
        f"a history is kept of {len(paths)} captures, {sum(len(takes) > 1 for takes in found.values())} of them again"
    ]
    for name, takes in found.items():
        rows = [(one["since"], one["sha256"][:16], one["verdict"], one["path"], one["reason"]) for one in takes]
        lines += [name, *("  " + line for line in table(rows, ("since", "sha256", "verdict", "file", "why")))]
    _print({"captures": found}, "\n".join(lines), args.json)
