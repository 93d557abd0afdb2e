"""Stage records of a results folder: the stage and the inputs of each file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinlib.contracts import SEGMENTS
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_arrow as read_table_as_arrow
from twinlib.provenance.record import SUFFIX, prefix_of, read_record

if TYPE_CHECKING:
    import pyarrow as pa

ROOMS = ("corpus", "excitations", "devices", "searches", "twins")
"""Subfolders to which stages write. Files in `logs`, `benchmarks` and `mlflow` have no records: they are timings or
copies."""

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
"""Current name of a stage by its name in records of earlier versions."""

_NEEDED = ("program", "params", "inputs", "outputs", "code")


@dataclass(frozen=True)
class Stage:
    """The record of one stage. Names of files in the results folder are relative to it; other names are unchanged."""

    name: str
    """Name of the record itself."""
    content: Mapping[str, Any]
    """The whole record (`record/1`)."""
    inputs: Mapping[str, str]
    """sha256 by name."""
    upstream: Mapping[str, str]
    """Chain hashes of the records of the inputs, by name of the input."""
    outputs: Mapping[str, str]
    """sha256 by name."""
    prefix: str
    """Prefix of file names in the results folder when the stage ran, such as `results/demo/`."""

    @property
    def program(self) -> str:
        """The name of the stage, such as `align_take`."""
        name = Path(str(self.content["program"])).stem
        return FORMER_NAMES.get(name, name)

    @property
    def chain_hash(self) -> str:
        """The chain hash of this stage; empty in records of earlier versions."""
        return str(self.content.get("link", ""))


class Results:
    """The records in a results folder, read once. Raises `AuditError` if the folder is missing or has no record.

    `unreadable` maps unreadable records to the reason.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise AuditError(f"{folder} is not a folder: give the results folder with --results")
        self.unreadable: dict[str, str] = {}
        self.stages = list(self._read())
        if not self.stages:
            raise AuditError(
                f"{folder} contains no stage record (*{SUFFIX}): it is not a results folder, or no stage has run"
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
        """Return the stage that made a file; for a record, its own stage."""
        return self._makers.get(name) or self._own(name)

    def _own(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None) if name.endswith(SUFFIX) else None

    def path(self, name: str) -> Path:
        """Return the path of a file by its name, which is relative to the project folder if outside the results."""
        inside = self.folder / name
        return inside if name in self._makers or inside.exists() else self.project / name

    @cached_property
    def project(self) -> Path:
        """The folder in which the stages ran, if the results are still in it; else the parent of the results."""
        here, prefix = self.folder.absolute(), self.stages[0].prefix
        if prefix.startswith("/"):
            # The results were outside the project folder, which is unknown.
            return Path.cwd()
        parts = Path(prefix).parts
        return here.parents[len(parts) - 1] if parts and here.parts[-len(parts) :] == parts else here.parent

    def name_of(self, path: Path) -> str:
        """Return the name of a file by its path; the path itself if it is outside the results folder."""
        here, given = self.folder.resolve(), path.resolve()
        return given.relative_to(here).as_posix() if given.is_relative_to(here) else path.as_posix()

    def history(self, stage: Stage) -> list[Stage]:
        """Return a stage and all its upstream stages, in topological order."""
        found: dict[str, Stage] = {}

        def add(one: Stage) -> None:
            if one.name in found:
                return
            # Added before the loop, because a damaged record may list its own output as an input.
            found[one.name] = one
            for name in sorted(one.inputs):
                maker = self.maker(name)
                if maker is not None:
                    add(maker)
            found[one.name] = found.pop(one.name)

        add(stage)
        return list(found.values())

    def dependants(self, names: Iterable[str]) -> list[str]:
        """Return the files that depend on any of these, directly or indirectly; sorted."""
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
        """Devices with a dataset, sorted."""
        return sorted(path.parent.name for path in self.folder.glob("devices/*/segments.parquet"))

    @property
    def twins(self) -> list[tuple[str, str]]:
        """Device and model of each twin, sorted."""
        found = self.folder.glob("twins/*/*/twin.safetensors")
        return sorted((path.parts[-3], path.parts[-2]) for path in found)

    def segments(self, device: str, columns: list[str] | None = None) -> "pa.Table":
        """Read columns of the segments of a device (`segments/1`) as an Arrow table."""
        return read_arrow(self.folder / "devices" / device / "segments.parquet", SEGMENTS, columns)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths of the files that must have a record.

    Skips nested results folders, such as `results/demo`.
    """
    yield from ((path.name, path) for path in folder.iterdir() if path.is_file())
    for room in ROOMS:
        for path in (folder / room).rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path


def read_arrow(path: Path, contract: str, columns: list[str] | None = None) -> "pa.Table":
    """Read a table as `twinlib.files.read_arrow` does; raises `AuditError`."""
    try:
        return read_table_as_arrow(path, contract, columns)
    except TwinError as error:
        raise AuditError(f"{error}; `twin audit verify` checks the other files") from None


def _stage(name: str, content: Mapping[str, Any]) -> Stage:
    if missing := [key for key in _NEEDED if key not in content]:
        raise KeyError(missing[0])
    prefix = prefix_of(content, name)
    inputs, upstream, outputs = (
        _without_prefix(content.get(key, {}), prefix) for key in ("inputs", "upstream", "outputs")
    )
    return Stage(name, content, inputs, upstream, outputs, prefix)


def _without_prefix(by_name: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix) if prefix else name: value for name, value in by_name.items()}
