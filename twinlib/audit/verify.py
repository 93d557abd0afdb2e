"""Verify a results folder: checksums of all files, the stage records, and the chain of hashes between them."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from twinlib.audit.headers import read_embedded_chain_hash
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.signature import verify_signature
from twinlib.audit.untracked import UntrackedFiles, check_copies, find_untracked, is_intact_state
from twinlib.errors import AuditError, TwinError
from twinlib.files import sha256_file
from twinlib.findings import Finding, Messages, refused
from twinlib.progress import Progress, no_progress
from twinlib.provenance import FILE, Stage, chain_hash_of, checksum_of, read_history

_Result = TypeVar("_Result")

MESSAGES = Messages(
    {
        "copy-changed": "changed after it was logged: its checksum is in no record of the run",
        "chain-broken": "broken chain: the recorded chain hash of {input} is not that of its stage",
        "embedded-link-mismatch": "the embedded chain hash is not that of its record",
        "history-unreadable": "not a readable take history ({error})",
        "input-changed": "changed after {program} read it",
        "input-outdated": "made from another version of {input}",
        "output-changed": "changed after {program} wrote it",
        "output-missing": "is missing",
        "record-edited": "the record was edited: checksum mismatch",
        "record-link-mismatch": "the record was edited: chain hash mismatch",
        "record-unreadable": "not a readable record ({error})",
        "signature-invalid": "the signature of the records is not valid: {reason}",
        "signed-record-changed": "changed after the records were signed",
        "signed-record-missing": "was signed and is missing",
        "state-damaged": "damaged training state: checksum mismatch; delete it and train again",
    }
)
"""The sentences of `verify`, to follow the name of the file."""

_LINKED = (".safetensors", ".nam")
"""Files whose embedded chain hash is checked. That of an `.onnx` file needs an extra package: its sha256 suffices."""


def bytes_to_verify(results: ResultsFolder) -> int:
    """Return the number of bytes that `verify` reads, as the total of `progress`."""
    untracked = find_untracked(results)
    files = {**_recorded_files(results), **untracked.states, **_copies(untracked)}
    return sum(path.stat().st_size for path in files.values() if path.is_file())


def verify(results: ResultsFolder, progress: Progress = no_progress, signers: Path | None = None) -> dict[str, Any]:
    """Compare all files on disk with the stage records, on all cores. Writes nothing.

    `signers` is a file of allowed signers; with it, the signature of the records is checked too, and `signature` holds
    the signer, None if it is not valid, the number of signed records, and those made since.

    Each entry of `differences` has `file`, `what` (a sentence), its `code`, `severity` and `values`, and the
    `dependants` of the file. `kept` lists changed inputs of recorded excitations, whose reels are immutable. `not_here`
    lists external files (corpus, takes) that are absent, `unrecorded` files without a record. Training states are
    checked against their own checksums, MLflow artifacts against the records logged with them. `unchecked` counts files
    that cannot be checked, by place. `progress` counts bytes.
    """
    untracked = find_untracked(results)
    files, copies = _recorded_files(results), _copies(untracked)
    checksums = _map_files({**files, **copies}, sha256_file, progress)
    intact = _map_files(untracked.states, is_intact_state, progress)
    recorded_excitations = tuple(f"excitations/{name}/" for name in results.recorded_excitations)
    findings = [*_check_readable(results), *_check_histories(results)]
    findings += [refused("state-damaged", file=name) for name, good in intact.items() if not good]
    kept: list[Finding] = []
    unrecorded = [*untracked.unrecorded]
    for run_files in untracked.copies.values():
        changed, unknown = check_copies(run_files, checksums)
        findings += changed
        unrecorded += unknown
    for stage in results.stages:
        findings += _check_stage(results, stage, checksums)
        immutable = bool(recorded_excitations) and stage.name.startswith(recorded_excitations)
        for name in stage.inputs:
            (kept if immutable else findings).extend(_check_input(results, stage, name, checksums))
    signed = None
    if signers is not None:
        signed, problems = verify_signature(results, signers)
        findings += problems
    outside = {name for stage in results.stages for name in stage.inputs if results.maker(name) is None}
    checked = {name: path for name, path in {**files, **copies, **untracked.states}.items() if path.is_file()}
    return {
        "files": len(checked),
        "bytes": sum(path.stat().st_size for path in checked.values()),
        "records": len(results.stages),
        **({"signature": asdict(signed) if signed else None} if signers is not None else {}),
        "differences": _differences(results, findings),
        "kept": sorted({f"{finding.values['file']}: {MESSAGES.sentence(finding)}" for finding in kept}),
        "not_here": sorted(name for name in outside if name not in checksums),
        "unrecorded": sorted(unrecorded),
        "unchecked": untracked.unchecked,
    }


def require_no_differences(answer: Mapping[str, Any]) -> None:
    """Raise `AuditError` if `verify` found a difference."""
    if count := len(answer["differences"]):
        raise AuditError(f"{count} {'file does' if count == 1 else 'files do'} not match the stage records")


def _differences(results: ResultsFolder, findings: list[Finding]) -> list[dict[str, Any]]:
    """Return the findings as plain data, each once, sorted by file and sentence."""
    unique = {(str(finding.values["file"]), MESSAGES.sentence(finding)): finding for finding in findings}
    return [
        {
            "file": file,
            "what": sentence,
            "code": finding.code,
            "severity": finding.severity,
            "values": dict(finding.values),
            "dependants": results.dependants([file]),
        }
        for (file, sentence), finding in sorted(unique.items(), key=lambda item: item[0])
    ]


def _recorded_files(results: ResultsFolder) -> dict[str, Path]:
    """Return the paths of all files in the records, by name."""
    names = {name for stage in results.stages for name in (*stage.outputs, *stage.inputs)}
    return {name: results.path(name) for name in sorted(names)}


def _copies(untracked: UntrackedFiles) -> dict[str, Path]:
    return {name: path for files in untracked.copies.values() for name, path in files.items()}


def _map_files(
    files: Mapping[str, Path], function: Callable[[Path], _Result], progress: Progress
) -> dict[str, _Result]:
    """Apply a function to all existing files, the largest first so that all cores finish together."""
    existing = {name: path for name, path in files.items() if path.is_file()}
    sizes = {name: path.stat().st_size for name, path in existing.items()}
    values: dict[str, _Result] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Threads suffice: hashing releases the GIL.
        names = sorted(existing, key=lambda name: (-sizes[name], name))
        jobs = {pool.submit(function, existing[name]): name for name in names}
        try:
            for job in as_completed(jobs):
                name = jobs[job]
                values[name] = job.result()
                progress(sizes[name], name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return values


def _check_readable(results: ResultsFolder) -> Iterator[Finding]:
    for name, error in results.unreadable.items():
        yield refused("record-unreadable", file=name, error=error)


def _check_histories(results: ResultsFolder) -> Iterator[Finding]:
    for path in sorted(results.folder.glob(f"devices/*/*/{FILE}")):
        try:
            read_history(path)
        except (TwinError, KeyError, TypeError) as error:
            yield refused("history-unreadable", file=results.name_of(path), error=str(error))


def _check_stage(results: ResultsFolder, stage: Stage, checksums: Mapping[str, str]) -> Iterator[Finding]:
    content = stage.content
    # Records of early versions have neither a chain hash nor a checksum.
    if ("sum" in content or "link" in content) and content.get("sum") != checksum_of(content):
        yield refused("record-edited", file=stage.name)
    elif stage.chain_hash and stage.chain_hash != chain_hash_of(content):
        yield refused("record-link-mismatch", file=stage.name)
    for name, recorded in stage.outputs.items():
        if name not in checksums:
            yield refused("output-missing", file=name)
        elif checksums[name] != recorded:
            yield refused("output-changed", file=name, program=stage.program)
        elif Path(name).suffix in _LINKED and not _has_chain_hash(results.path(name), stage.chain_hash):
            yield refused("embedded-link-mismatch", file=name)


def _check_input(results: ResultsFolder, stage: Stage, name: str, checksums: Mapping[str, str]) -> Iterator[Finding]:
    recorded = stage.inputs[name]
    maker = results.maker(name)
    if maker is None:
        # An absent external file is not a difference.
        if name in checksums and checksums[name] != recorded:
            yield refused("input-changed", file=name, program=stage.program)
        return
    if maker.outputs.get(name, checksums.get(name)) != recorded:
        yield refused("input-outdated", file=next(iter(stage.outputs)), input=name)
    elif maker.chain_hash and stage.upstream.get(name, maker.chain_hash) != maker.chain_hash:
        yield refused("chain-broken", file=stage.name, input=name)


def _has_chain_hash(path: Path, chain_hash: str) -> bool:
    try:
        embedded = read_embedded_chain_hash(path)
    except TwinError:
        return False
    return embedded in ("", chain_hash)
