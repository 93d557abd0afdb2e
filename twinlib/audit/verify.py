"""Is every file what its record says? Sums of all that was made, the records themselves, and the chain between them."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from twinlib.audit.lineage import embedded_link, recorded_excitations
from twinlib.audit.untracked import Remainder, changed_copies, has_its_sum, remainder_of
from twinlib.errors import AuditError, TwinError
from twinlib.files import sha256_file
from twinlib.progress import Progress, no_progress
from twinlib.provenance.record import link_of, sum_of
from twinlib.provenance.results import Results, Stage
from twinlib.provenance.take_history import FILE, read_history

_REMEDY = (
    "put the files back from a copy; what the pipeline makes may be deleted, and is made anew by the next run, but no "
    "recording, and no reel that was recorded"
)

_Found = TypeVar("_Found")

_DAMAGED = "is damaged: it has not the sum that it was written with; delete it, and a training goes on without it"

_CARRIERS = (".safetensors", ".nam")
"""Files whose head is compared with their record; an `.onnx` file's sum has to do, for reading it needs a package."""


def bytes_to_verify(results: Results) -> int:
    """How many bytes `verify` will read: the total for its progress."""
    rest = remainder_of(results)
    files = {**_files(results), **rest.states, **_copies(rest)}
    return sum(path.stat().st_size for path in files.values() if path.is_file())


def verify(results: Results, progress: Progress = no_progress) -> dict[str, Any]:
    """Compare all that lies on disk with what the records say, on all cores.

    `differences` names each file that is not as it should be, why, and what was made of it; `kept` what a recorded
    excitation was made of that is another now: its reels stay as they are; `not_here` the files outside of the results
    (corpus, takes) that cannot be looked at; `unrecorded` the files that no record vouches for. States of trainings
    are compared with the sums that they hold themselves, and the copies in MLflow's artifacts with the records that lie
    beside them; `unchecked` counts the files of which nothing can be said, by place: logs, the database of the store.
    Progress counts bytes. Nothing is written.
    """
    rest = remainder_of(results)
    files, copies = _files(results), _copies(rest)
    sums = _each({**files, **copies}, sha256_file, progress)
    whole = _each(rest.states, has_its_sum, progress)
    recorded = tuple(f"excitations/{name}/" for name in recorded_excitations(results))
    found, kept = [*_unreadable(results), *_histories(results)], []
    found += [{"file": name, "what": _DAMAGED} for name, good in whole.items() if not good]
    unrecorded = [*rest.unrecorded]
    for held in rest.copies.values():
        changed, others = changed_copies(held, sums)
        found += [{"file": name, "what": what} for name, what in changed.items()]
        unrecorded += others
    for stage in results.stages:
        found += _of_stage(results, stage, sums)
        of_inputs = [one for name in stage.inputs for one in _of_input(results, stage, name, sums)]
        if recorded and stage.name.startswith(recorded):
            kept += of_inputs
        else:
            found += of_inputs
    unique = {(one["file"], one["what"]): one for one in found}
    differences = [{**one, "dependants": results.dependants([one["file"]])} for _, one in sorted(unique.items())]
    outside = {name for stage in results.stages for name in stage.inputs if results.maker(name) is None}
    looked_at = {name: path for name, path in {**files, **copies, **rest.states}.items() if path.is_file()}
    return {
        "files": len(looked_at),
        "bytes": sum(path.stat().st_size for path in looked_at.values()),
        "records": len(results.stages),
        "differences": differences,
        "kept": sorted({f"{one['file']}: {one['what']}" for one in kept}),
        "not_here": sorted(name for name in outside if name not in sums),
        "unrecorded": sorted(unrecorded),
        "unchecked": rest.unchecked,
    }


def verify_text(found: Mapping[str, Any]) -> str:
    """What `verify` found, for people."""
    lines = [f"{found['files']} files, {found['bytes'] / 1e9:.3f} GB, {found['records']} stage records"]
    for one in found["differences"]:
        lines.append(f"{one['file']}: {one['what']}")
        lines += [f"  made of it: {name}" for name in one["dependants"]]
    if found["kept"]:
        lines.append("a recorded excitation stays as it is, though what it was made of is another now:")
        lines += [f"  {one}" for one in found["kept"][:5]]
    if found["not_here"]:
        lines.append(
            f"{len(found['not_here'])} files outside of the results are not here and were not looked at, such as"
        )
        lines += [f"  {name}" for name in found["not_here"][:3]]
    if found["unrecorded"]:
        lines.append(f"{len(found['unrecorded'])} files are in no record, so nobody can say whether they are right:")
        lines += [f"  {name}" for name in found["unrecorded"][:10]]
    if found["unchecked"]:
        amounts = ", ".join(f"{place} ({count})" for place, count in found["unchecked"].items())
        lines.append(f"not checked, for it changes by itself or is no part of these results (files): {amounts}")
    count = len(found["differences"])
    lines.append(f"{count} differences: {_REMEDY}" if count else "everything is as recorded")
    return "\n".join(lines)


def _files(results: Results) -> dict[str, Path]:
    """All files that records name, by name."""
    names = {name for stage in results.stages for name in (*stage.outputs, *stage.inputs)}
    return {name: results.path(name) for name in sorted(names)}


def _copies(rest: Remainder) -> dict[str, Path]:
    return {name: path for files in rest.copies.values() for name, path in files.items()}


def _each(files: Mapping[str, Path], what: Callable[[Path], _Found], progress: Progress) -> dict[str, _Found]:
    """What is found of each file that is there, the largest first so that all cores end together."""
    there = {name: path for name, path in files.items() if path.is_file()}
    sizes = {name: path.stat().st_size for name, path in there.items()}
    found: dict[str, _Found] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Threads are enough: hashing lets go of Python's lock.
        jobs = {pool.submit(what, there[name]): name for name in sorted(there, key=lambda name: (-sizes[name], name))}
        try:
            for job in as_completed(jobs):
                name = jobs[job]
                found[name] = job.result()
                progress(sizes[name], name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _unreadable(results: Results) -> Iterator[dict[str, str]]:
    for name, reason in results.unreadable.items():
        yield {"file": name, "what": f"is no readable record ({reason})"}


def _histories(results: Results) -> Iterator[dict[str, str]]:
    for path in sorted(results.folder.glob(f"devices/*/*/{FILE}")):
        try:
            read_history(path)
        except (TwinError, KeyError, TypeError) as error:
            yield {"file": results.name_of(path), "what": f"is no readable history of takes ({error})"}


def _of_stage(results: Results, stage: Stage, sums: Mapping[str, str]) -> Iterator[dict[str, str]]:
    content = stage.content
    # Records that have links have sums; those of earlier versions have neither.
    if ("sum" in content or "link" in content) and content.get("sum") != sum_of(content):
        yield {"file": stage.name, "what": "was edited: the record is not what its stage wrote"}
    elif stage.link and stage.link != link_of(content):
        yield {"file": stage.name, "what": "has another link than it should: the record is not what its stage wrote"}
    for name, recorded in stage.outputs.items():
        if name not in sums:
            yield {"file": name, "what": "is missing"}
        elif sums[name] != recorded:
            yield {"file": name, "what": f"was changed after {stage.program} made it"}
        elif Path(name).suffix in _CARRIERS and not _carries(results.path(name), stage.link):
            yield {"file": name, "what": "carries the head of another chain than its record's"}


def _of_input(results: Results, stage: Stage, name: str, sums: Mapping[str, str]) -> Iterator[dict[str, str]]:
    recorded = stage.inputs[name]
    maker = results.maker(name)
    if maker is None:
        # A file outside that is not here is no difference; what is here must be what was read.
        if name in sums and sums[name] != recorded:
            yield {"file": name, "what": f"is not what {stage.program} has read any more"}
        return
    made = maker.outputs.get(name, sums.get(name))
    if made != recorded:
        yield {"file": next(iter(stage.outputs)), "what": f"was made of another {name} than the one that is here now"}
    elif maker.link and stage.upstream.get(name, maker.link) != maker.link:
        yield {"file": stage.name, "what": f"the chain is broken: {name} came from another stage than its record tells"}


def _carries(path: Path, link: str) -> bool:
    try:
        head = embedded_link(path)
    except TwinError:
        return False
    return head in ("", link)


def refuse_differences(found: Mapping[str, Any]) -> None:
    """Raise `AuditError` if `verify` found any difference."""
    if found["differences"]:
        raise AuditError(f"{len(found['differences'])} files are not as their records say")
