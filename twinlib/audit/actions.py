"""The actions of `twin audit`: each answers a question from the files, and prints the answer."""

import argparse
import glob
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twinlib.audit import exports, pages
from twinlib.audit.card import card
from twinlib.audit.leaks import audit_leaks
from twinlib.audit.licences import licences, music_credits, require_permitted
from twinlib.audit.mlflow import count_runs, rebuild_runs
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.signature import SIGNATURE, sign_records
from twinlib.audit.store import list_experiments, resolve_store
from twinlib.audit.trace import trace
from twinlib.audit.verify import bytes_to_verify, require_no_differences, verify
from twinlib.audit.withdraw import (
    add_exclusion,
    find_affected,
    find_exclusions_file,
    rebuild_command,
    remove_exclusion,
)
from twinlib.errors import AuditError
from twinlib.files import write_text
from twinlib.formatting import LINES, escape_control
from twinlib.parsing import parse_json, read_text
from twinlib.progress import show_progress
from twinlib.provenance import FILE, give_reason, read_history
from twinlib.tracking import (
    find_runs_by_dataset,
    find_runs_by_track,
    find_withdrawn_runs,
    mark_withdrawn,
    unmark_withdrawn,
)


def _print(answer: Mapping[str, Any], text: str, as_json: bool) -> None:
    # JSON escapes only some of the control characters.
    print(escape_control(json.dumps(answer, indent=1, ensure_ascii=False) if as_json else text, keep=LINES))


def _open_results(args: argparse.Namespace) -> ResultsFolder:
    results = ResultsFolder(args.results)
    for name, reason in results.unreadable.items():
        note = f"note: {name} is not a readable record and is ignored ({reason})"
        print(escape_control(note, keep=LINES), file=sys.stderr)
    return results


def _check_metadata_output(path: Path) -> None:
    """Raise `AuditError` unless an output is new, or replaces an earlier export: never a recording."""
    if path.suffix.lower() not in (".json", ".jsonld"):
        raise AuditError(f"{path}: unsupported format, use .json")
    if not path.exists():
        return
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or "@context" not in content:
        raise AuditError(f"{path} exists and is no earlier export: choose another name for the output")


def _answer_trace(args: argparse.Namespace) -> None:
    """Trace a segment, twin or file to its origins."""
    results = _open_results(args)
    answer = trace(results, args.what, args.at)
    if args.extract:
        written = exports.export_segment(results, args.what, args.extract)
        print(f"{len(written)} files in {args.extract}", file=sys.stderr)
    _print(answer, pages.render_text("trace", answer), args.json)


def _answer_verify(args: argparse.Namespace) -> None:
    """Verify all files against their records."""
    results = _open_results(args)
    with show_progress("verify", bytes_to_verify(results), "bytes") as done:
        answer = verify(results, done, args.signers)
    _print(answer, pages.render_text("verify", answer), args.json)
    require_no_differences(answer)


def _answer_sign(args: argparse.Namespace) -> None:
    """Sign all records."""
    listed = sign_records(_open_results(args), args.key)
    answer = {"records": str(listed), "signature": str(listed.with_name(SIGNATURE))}
    _print(answer, f"{answer['records']}\n{answer['signature']}", args.json)


def _answer_withdraw(args: argparse.Namespace) -> None:
    """Withdraw a track, or undo the withdrawal."""
    results = _open_results(args)
    if args.undo:
        answer = _undo_withdrawal(results, args)
    else:
        answer = find_affected(results, args.track)
        if args.dry_run:
            _print(answer, pages.render_text("withdraw", answer), args.json)
            return
        answer |= _exclude(results, answer, args)
    answer["command"] = rebuild_command(results)
    _print(answer, pages.render_text("withdraw", {**answer, "project": results.project}) + "\n", args.json)


def _exclude(results: ResultsFolder, affected: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Add the track to the exclusion list and tag its MLflow runs."""
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


def _undo_withdrawal(results: ResultsFolder, args: argparse.Namespace) -> dict[str, Any]:
    exclusions = args.exclude or find_exclusions_file(results)
    remove_exclusion(exclusions, args.track)
    store = resolve_store(results.folder, None)
    untagged = unmark_withdrawn(store, find_withdrawn_runs(store, args.track), args.track)
    return {"track": args.track, "undone": True, "exclusions": str(exclusions), "tagged_runs": untagged}


def _answer_leaks(args: argparse.Namespace) -> None:
    """Search for leaks between the splits."""
    answer = audit_leaks(args.results)
    _print(answer, pages.render_text("leaks", answer) + "\n", args.json)
    if count := answer["leaks"]:
        raise AuditError(f"{count} {'leak' if count == 1 else 'leaks'} between splits")


def _answer_licences(args: argparse.Namespace) -> None:
    """List the licences and the permitted uses."""
    results = _open_results(args)
    if args.attribution:
        device, _, model = args.attribution.partition("/")
        text = pages.render_text("attribution", music_credits(results, device, model or None)) + "\n"
        _print({"attribution": text}, text, args.json)
        return
    answer = licences(results, True if args.commercial else False if args.free else None)
    _print(answer, pages.render_text("licences", answer) + "\n", args.json)
    require_permitted(answer)


def _answer_card(args: argparse.Namespace) -> None:
    """Write the datasheet."""
    facts = card(_open_results(args))
    folder = args.out or args.results
    write_text(folder / "card.md", pages.card_markdown(facts))
    write_text(folder / "card.html", pages.card_html(facts, pages.card_figures(facts)))
    _print(facts, f"{folder / 'card.md'}\n{folder / 'card.html'}", args.json)


def _answer_croissant(args: argparse.Namespace) -> None:
    """Write the dataset of a device as Croissant metadata."""
    results = _open_results(args)
    out = args.out or results.folder / "devices" / args.device / exports.CROISSANT_FILE
    _check_metadata_output(out)
    exports.write_croissant(results, args.device, out)
    records = exports.check_croissant(out)
    content = json.loads(out.read_text(encoding="utf-8"))
    _print(content, f"{pages.render_text('croissant', content)}\n{out}: read back, {records} records", args.json)


def _answer_crate(args: argparse.Namespace) -> None:
    """Write the run as an RO-Crate."""
    results = _open_results(args)
    if args.out:
        _check_metadata_output(args.out)
    out = exports.write_crate(results, args.out)
    actions = exports.read_crate(out, results.folder).actions
    content = json.loads(out.read_text(encoding="utf-8"))
    text = pages.render_text("crate", exports.crate_summary(content))
    _print(content, f"{text}\n{out}: read back, {len(actions)} stages", args.json)


def _answer_mlflow(args: argparse.Namespace) -> None:
    """Rebuild missing MLflow runs."""
    with show_progress("rebuild runs", count_runs(args.results), "runs") as done:
        runs = rebuild_runs(args.results, args.uri, done)
    answer = {"runs": [asdict(run) for run in runs]}
    _print(answer, pages.render_text("mlflow", answer) + "\n", args.json)


def _answer_history(args: argparse.Namespace) -> None:
    """List the takes of a capture."""
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
    _print(answer, pages.render_text("history", {**answer, "count": len(paths)}), args.json)


_ANSWERS: dict[str, Callable[[argparse.Namespace], None]] = {
    "trace": _answer_trace,
    "verify": _answer_verify,
    "sign": _answer_sign,
    "withdraw": _answer_withdraw,
    "leaks": _answer_leaks,
    "licences": _answer_licences,
    "card": _answer_card,
    "croissant": _answer_croissant,
    "crate": _answer_crate,
    "mlflow": _answer_mlflow,
    "history": _answer_history,
}


def answer_question(question: str, args: argparse.Namespace) -> None:
    """Answer a question of `twin audit` with its options, and print the answer."""
    _ANSWERS[question](args)
