"""A results folder as its records tell it: which stage made what, of what, wherever the folder lies now."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib.contracts import SEGMENTS
from twinlib.errors import AuditError, TwinError
from twinlib.files import CONTRACT_KEY
from twinlib.provenance.record import SUFFIX, prefix_of, read_record

if TYPE_CHECKING:
    import pyarrow as pa

ROOMS = ("corpus", "excitations", "devices", "searches", "twins")
"""The folders of a results folder that stages write to. `logs`, `benchmarks` and `mlflow` measure the machine or copy
what stands elsewhere: no record vouches for them."""

FORMER_NAMES = {
    "index": "index_corpus",
    "plan": "plan_excitation",
    "render": "render_reel",
    "probe": "render_probe_reel",
    "fingerprint": "fingerprint_reels",
    "guide": "write_recording_guide",
    "simulate": "simulate_take",
    "ingest": "ingest_take",
    "align": "align_take",
    "shard": "cut_shard",
    "manifest": "build_manifest",
    "leaks": "check_leaks",
    "search_worker": "run_search_worker",
    "search_best": "select_best_model",
    "train": "train_twin",
    "export": "export_twin",
    "evaluate": "evaluate_twin",
    "measure": "measure_device",
    "excerpt": "render_probe_music",
    "page": "build_twin_page",
    "comparison": "build_comparison",
    "summary": "build_summary",
    "track": "log_run",
    "track_search": "log_search",
}
"""Names of stages in records of earlier versions, and their names today."""

_NEEDED = ("program", "params", "inputs", "outputs", "code")


@dataclass(frozen=True)
class Stage:
    """One record. Names of files in the results folder are relative to it, others are as they were recorded."""

    name: str
    """The record's own file."""
    content: Mapping[str, Any]
    """All that the record says (`record/1`)."""
    inputs: Mapping[str, str]
    """sha256 by name."""
    upstream: Mapping[str, str]
    """The links of the records that the inputs came from, by the inputs' names."""
    outputs: Mapping[str, str]
    """sha256 by name."""
    prefix: str
    """What the names of files in the results folder began with when the stage ran, such as `results/demo/`."""

    @property
    def program(self) -> str:
        """The name of the stage, such as `align_take`."""
        name = Path(str(self.content["program"])).stem
        return FORMER_NAMES.get(name, name)

    @property
    def link(self) -> str:
        """The head of the chain up to this stage; empty in records of versions that had none."""
        return str(self.content.get("link", ""))


class Results:
    """The records below a results folder, read once. Raises `AuditError` if there is no such folder or no record.

    Records that cannot be read are left out, and named with the reason in `unreadable`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise AuditError(f"{folder} is no folder: name the results folder with --results")
        self.unreadable: dict[str, str] = {}
        self.stages = list(self._read())
        if not self.stages:
            raise AuditError(
                f"{folder} holds no stage record (*{SUFFIX}): it is no results folder, or nothing has run yet"
            )

    def _read(self) -> Iterator[Stage]:
        for name, path in sorted(files_of(self.folder)):
            if not name.endswith(SUFFIX):
                continue
            try:
                yield _stage(name, read_record(path))
            except (TwinError, KeyError, TypeError, AttributeError, StopIteration) as error:
                self.unreadable[name] = str(error)

    @cached_property
    def _makers(self) -> dict[str, Stage]:
        return {name: stage for stage in self.stages for name in stage.outputs}

    @cached_property
    def _readers(self) -> dict[str, list[Stage]]:
        readers = defaultdict(list)
        for stage in self.stages:
            for name in stage.inputs:
                readers[name].append(stage)
        return readers

    def maker(self, name: str) -> Stage | None:
        """The stage that made a file; a record counts as made by the stage that it tells of."""
        return self._makers.get(name) or self._own(name)

    def _own(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None) if name.endswith(SUFFIX) else None

    def path(self, name: str) -> Path:
        """Where a named file is, or would be: files outside the results are looked for from the project's folder."""
        inside = self.folder / name
        return inside if name in self._makers or inside.exists() else self.project / name

    @cached_property
    def project(self) -> Path:
        """The folder in which the stages ran, if the results still lie where they were made; else their parent."""
        here, prefix = self.folder.absolute(), self.stages[0].prefix
        if prefix.startswith("/"):
            # They lay outside of it; where it was is not known.
            return Path.cwd()
        parts = Path(prefix).parts
        return here.parents[len(parts) - 1] if parts and here.parts[-len(parts) :] == parts else here.parent

    def name_of(self, path: Path) -> str:
        """The name of a file by its path; as given if it is not in the results folder."""
        here, given = self.folder.resolve(), path.resolve()
        return given.relative_to(here).as_posix() if given.is_relative_to(here) else path.as_posix()

    def history(self, stage: Stage) -> list[Stage]:
        """A stage and all stages behind it, each once, every stage after those that it depends on."""
        found: dict[str, Stage] = {}

        def add(one: Stage) -> None:
            if one.name in found:
                return
            # Here and not after the loop below: a damaged record may name its own output as an input.
            found[one.name] = one
            for name in sorted(one.inputs):
                maker = self.maker(name)
                if maker is not None:
                    add(maker)
            found[one.name] = found.pop(one.name)

        add(stage)
        return list(found.values())

    def dependants(self, names: Iterable[str]) -> list[str]:
        """The files that were made of any of these, directly or not; sorted."""
        found: set[str] = set()
        todo = list(names)
        while todo:
            for stage in self._readers.get(todo.pop(), []):
                fresh = [name for name in (*stage.outputs, stage.name) if name not in found]
                found.update(fresh)
                todo.extend(fresh)
        return sorted(found)

    @property
    def devices(self) -> list[str]:
        """The devices that have a dataset, sorted."""
        return sorted(path.parent.name for path in self.folder.glob("devices/*/segments.parquet"))

    @property
    def twins(self) -> list[tuple[str, str]]:
        """The device and the model of each twin, sorted."""
        found = self.folder.glob("twins/*/*/twin.safetensors")
        return sorted((path.parts[-3], path.parts[-2]) for path in found)

    def segments(self, device: str, columns: list[str] | None = None) -> "pa.Table":
        """The segments of a device (`segments/1`) as an Arrow table, some of its columns: the fast way to many rows."""
        return read_arrow(self.folder / "devices" / device / "segments.parquet", SEGMENTS, columns)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a results folder that records should vouch for, by name.

    Other results in a folder below it, such as the demo's, are none of them.
    """
    yield from ((path.name, path) for path in folder.iterdir() if path.is_file())
    for room in ROOMS:
        for path in (folder / room).rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path


def read_arrow(path: Path, contract: str, columns: list[str] | None = None) -> "pa.Table":
    """A table as `twinlib.files.read_table` reads it, but as Arrow, whose lists need not become Python objects."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
    except FileNotFoundError:
        raise AuditError(f"{path} does not exist: this part of the pipeline has not run") from None
    except (OSError, pa.ArrowException) as error:
        raise AuditError(
            f"{path} is not a readable table ({error}): `twin audit verify` says what else differs"
        ) from None
    found = (table.schema.metadata or {}).get(CONTRACT_KEY, b"no contract").decode()
    if found != contract:
        raise AuditError(f"{path} holds {found}, not {contract}: it was made by another version of the library")
    return table


def _stage(name: str, content: Mapping[str, Any]) -> Stage:
    if missing := [key for key in _NEEDED if key not in content]:
        raise KeyError(missing[0])
    prefix = prefix_of(content, name)
    inputs, upstream, outputs = (_named(content.get(key, {}), prefix) for key in ("inputs", "upstream", "outputs"))
    return Stage(name, content, inputs, upstream, outputs, prefix)


def _named(sums: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix) if prefix else name: sum_ for name, sum_ in sums.items()}
