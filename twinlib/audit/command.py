"""The sub-commands of `twin audit`."""

import argparse
import glob
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib.errors import AuditError
from twinlib.progress import show_progress

if TYPE_CHECKING:
    from twinlib.audit.results_folder import ResultsFolder


def add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit` and its sub-commands to the commands of `twin`."""
    audit = commands.add_parser("audit", help="trace, verify and document the files of a results folder")
    questions = audit.add_subparsers(required=True, metavar="QUESTION")

    def question(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        parser = questions.add_parser(name, help=text, description=text)
        parser.add_argument(
            "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: results)"
        )
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        parser.set_defaults(action=action)
        return parser

    command = question(
        "trace", _trace, "trace a segment, twin or file to its tracks, takes, licences, settings and code"
    )
    command.add_argument("what", help="a segment (DEVICE/CAPTURE/0000000000), a twin (DEVICE/MODEL) or a file")
    command.add_argument("--at", type=float, metavar="SECONDS", help="trace this moment of a listening clip")
    command.add_argument("--extract", type=Path, metavar="DIR", help="write the segment as audio, with its records")

    command = question(
        "withdraw", _withdraw, "withdraw a track: list its data, exclude it, print the command to rebuild"
    )
    command.add_argument("track", help="a track_id")
    command.add_argument("--reason", help="the reason, for the exclusion list and MLflow")
    command.add_argument("--exclude", type=Path, metavar="FILE", help="exclusion list (default: that of the records)")
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--undo", action="store_true", help="undo the withdrawal")
    mode.add_argument("--dry-run", action="store_true", help="only list the data with the track")

    question("leaks", _leaks, "search for tracks, artists, samples and recordings that splits share")
    question("verify", _verify, "verify all files against their records")

    command = question("licences", _licences, "list hours and tracks by licence, and the permitted uses of each twin")
    command.add_argument("--commercial", action="store_true", help="fail unless every twin may be sold")
    command.add_argument("--free", action="store_true", help="fail unless every twin may be distributed for free")
    command.add_argument("--attribution", metavar="DEVICE[/MODEL]", help="print the credits of all its music")

    command = question("card", _card, "write a datasheet of datasets and twins as Markdown and HTML with figures")
    command.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: the results folder)")

    command = question("croissant", _croissant, "write the dataset of a device as Croissant metadata")
    command.add_argument("device")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="output file (default: croissant.json in the dataset's folder)"
    )

    command = question("crate", _crate, "write the run as an RO-Crate (Process Run profile)")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="output file (default: ro-crate-metadata.json in the results folder)"
    )

    command = question("mlflow", _mlflow, "rebuild missing runs of an MLflow store from the results folder")
    command.add_argument("--uri", help="URI of the store (default: the store that the stages logged to)")

    command = question("history", _history, "list the takes of a capture, and why each replaced the previous one")
    command.add_argument("capture", nargs="?", help="DEVICE/CAPTURE (default: all captures with more than one take)")
    command.add_argument("--reason", help="store the reason for the last take of this capture")


def _print(answer: Mapping[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(answer, indent=1, ensure_ascii=False) if as_json else text)


def _open_results(args: argparse.Namespace) -> "ResultsFolder":
    from twinlib.audit.results_folder import ResultsFolder

    results = ResultsFolder(args.results)
    for name, reason in results.unreadable.items():
        print(f"note: {name} is not a readable record and is ignored ({reason})", file=sys.stderr)
    return results


def _trace(args: argparse.Namespace) -> None:
    from twinlib.audit.pages.render import render_text
    from twinlib.audit.trace import trace

    results = _open_results(args)
    answer = trace(results, args.what, args.at)
    if args.extract:
        from twinlib.audit.exports.segment import export_segment

        written = export_segment(results, args.what, args.extract)
        print(f"{len(written)} files in {args.extract}", file=sys.stderr)
    _print(answer, render_text("trace", answer), args.json)


def _verify(args: argparse.Namespace) -> None:
    from twinlib.audit.pages.render import render_text
    from twinlib.audit.verify import bytes_to_verify, require_no_differences, verify

    results = _open_results(args)
    with show_progress("verify", bytes_to_verify(results), "bytes") as done:
        answer = verify(results, done)
    _print(answer, render_text("verify", answer), args.json)
    require_no_differences(answer)


def _withdraw(args: argparse.Namespace) -> None:
    from twinlib.audit import withdraw
    from twinlib.audit.pages.render import render_text

    results = _open_results(args)
    if args.undo:
        answer = _undo_withdrawal(results, args)
    else:
        answer = withdraw.find_affected(results, args.track)
        if args.dry_run:
            _print(answer, render_text("withdraw", answer), args.json)
            return
        answer |= _exclude(results, answer, args)
    answer["command"] = withdraw.rebuild_command(results)
    _print(answer, render_text("withdraw", {**answer, "project": results.project}) + "\n", args.json)


def _exclude(results: "ResultsFolder", affected: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Add the track to the exclusion list and tag its MLflow runs."""
    from twinlib.audit.store import list_experiments, resolve_store
    from twinlib.audit.withdraw import add_exclusion, find_exclusions_file
    from twinlib.tracking import find_runs_by_dataset, find_runs_by_track, mark_withdrawn

    if not args.reason:
        raise AuditError("give a reason: --reason 'request of the artist' (or use --dry-run to change nothing)")
    exclusions, day = args.exclude or find_exclusions_file(results), datetime.now(UTC).date()
    add_exclusion(exclusions, args.track, args.reason, day)
    store = resolve_store(results.folder, None)
    runs = {run["run_id"] for run in affected["runs"]} | set(find_runs_by_dataset(store, affected["datasets"]))
    # Twins of earlier datasets count too.
    runs |= set(find_runs_by_track(store, args.track, list_experiments(results.folder)))
    tagged = mark_withdrawn(store, sorted(runs), args.track, args.reason, day.isoformat())
    return {"exclusions": str(exclusions), "tagged_runs": tagged}


def _undo_withdrawal(results: "ResultsFolder", args: argparse.Namespace) -> dict[str, Any]:
    from twinlib.audit.store import resolve_store
    from twinlib.audit.withdraw import find_exclusions_file, remove_exclusion
    from twinlib.tracking import find_withdrawn_runs, unmark_withdrawn

    exclusions = args.exclude or find_exclusions_file(results)
    remove_exclusion(exclusions, args.track)
    store = resolve_store(results.folder, None)
    untagged = unmark_withdrawn(store, find_withdrawn_runs(store, args.track), args.track)
    return {"track": args.track, "undone": True, "exclusions": str(exclusions), "tagged_runs": untagged}


def _leaks(args: argparse.Namespace) -> None:
    from twinlib.audit.leaks import audit_leaks
    from twinlib.audit.pages.render import render_text

    answer = audit_leaks(args.results)
    _print(answer, render_text("leaks", answer) + "\n", args.json)
    if count := answer["leaks"]:
        raise AuditError(f"{count} {'leak' if count == 1 else 'leaks'} between splits")


def _licences(args: argparse.Namespace) -> None:
    from twinlib.audit.licences import licences, music_credits, require_permitted
    from twinlib.audit.pages.render import render_text

    results = _open_results(args)
    if args.attribution:
        device, _, model = args.attribution.partition("/")
        text = render_text("attribution", music_credits(results, device, model or None)) + "\n"
        _print({"attribution": text}, text, args.json)
        return
    answer = licences(results, True if args.commercial else False if args.free else None)
    _print(answer, render_text("licences", answer) + "\n", args.json)
    require_permitted(answer)


def _card(args: argparse.Namespace) -> None:
    from twinlib.audit.card import card
    from twinlib.audit.pages.card import card_html, card_markdown
    from twinlib.audit.pages.card_figures import card_figures
    from twinlib.files import write_text

    facts = card(_open_results(args))
    folder = args.out or args.results
    write_text(folder / "card.md", card_markdown(facts))
    write_text(folder / "card.html", card_html(facts, card_figures(facts)))
    _print(facts, f"{folder / 'card.md'}\n{folder / 'card.html'}", args.json)


def _croissant(args: argparse.Namespace) -> None:
    from twinlib.audit.exports.croissant import NAME, check_croissant, write_croissant
    from twinlib.audit.pages.render import render_text

    results = _open_results(args)
    out = args.out or results.folder / "devices" / args.device / NAME
    write_croissant(results, args.device, out)
    records = check_croissant(out)
    content = json.loads(out.read_text(encoding="utf-8"))
    _print(content, f"{render_text('croissant', content)}\n{out}: read back, {records} records", args.json)


def _crate(args: argparse.Namespace) -> None:
    from twinlib.audit.exports.crate import crate_summary, read_crate, write_crate
    from twinlib.audit.pages.render import render_text

    results = _open_results(args)
    out = write_crate(results, args.out)
    actions = read_crate(out, results.folder).actions
    content = json.loads(out.read_text(encoding="utf-8"))
    text = render_text("crate", crate_summary(content))
    _print(content, f"{text}\n{out}: read back, {len(actions)} stages", args.json)


def _mlflow(args: argparse.Namespace) -> None:
    from twinlib.audit.mlflow import count_runs, rebuild_runs
    from twinlib.audit.pages.render import render_text

    with show_progress("rebuild runs", count_runs(args.results), "runs") as done:
        runs = rebuild_runs(args.results, args.uri, done)
    answer = {"runs": [asdict(run) for run in runs]}
    _print(answer, render_text("mlflow", answer) + "\n", args.json)


def _history(args: argparse.Namespace) -> None:
    from twinlib.audit.pages.render import render_text
    from twinlib.provenance import FILE, give_reason, read_history

    if not args.results.is_dir():
        raise AuditError(f"{args.results} is not a folder: name the results folder with --results")
    pattern = f"devices/{glob.escape(args.capture) if args.capture else '*/*'}/{FILE}"
    paths = sorted(args.results.glob(pattern))
    if args.capture and not paths:
        raise AuditError(f"{args.results} has no history of takes of {args.capture}: name a capture as DEVICE/CAPTURE")
    if args.reason:
        if not args.capture:
            raise AuditError("--reason needs a capture (DEVICE/CAPTURE)")
        give_reason(paths[0], args.reason)
    captures = {"/".join(path.parts[-3:-1]): read_history(path) for path in paths}
    captures = {name: takes for name, takes in captures.items() if args.capture or len(takes) > 1}
    answer = {"captures": captures}
    _print(answer, render_text("history", {**answer, "count": len(paths)}), args.json)
