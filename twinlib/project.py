"""A project from pairs of files: its configuration, its list of pairs, and a run of the workflow in its folder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import yaml

from twinlib import excitation
from twinlib.audio import read_info
from twinlib.contracts import EXCITATION, SPLITS
from twinlib.errors import ConfigError, ExcitationError, TwinError
from twinlib.extras import require_modules
from twinlib.files import write_text
from twinlib.progress import SECONDS_VARIABLE, Progress, show_progress

CONFIG, PAIRS, LOG = "config.yaml", "pairs.tsv", "run.log"
"""Files of a project."""

MAX_NAME = 60
"""Longest name of a device in letters: results hold it in the names of folders and files."""

_MARK = "# Written by `twin train`, which replaces this file. To change more, copy the folder and run Snakemake in it:"

_HIDDEN = ("open: ", "Using workflow specific profile")
"""Lines of a run that say nothing to the user of `twin train`."""

_PROGRESS = re.compile(r"(?P<stage>\w+) .*: (?P<done>\d+)/(?P<total>\d+) (?P<unit>\D+), \d+ s\b.*?(?P<note>loss .*)?$")


def name_device(wet: Path) -> str:
    """Return a name for device or capture from that of a wet file."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", wet.stem)[:MAX_NAME].strip("-._")
    return name or "device"


def find_workflow() -> Path:
    """Return the Snakefile of this installation; raise `ConfigError` if the package was installed without it."""
    path = Path(__file__).parents[1] / "workflow" / "Snakefile"
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist: the workflow is not part of the installed package. Clone the repository and "
            "install it by `pip install -e .`"
        )
    return path


def write_template(folder: Path, pairs: bool) -> Path:
    """Write a commented configuration into `folder/config`, for a corpus of music or for pairs; return its path.

    Raises `ConfigError` if there is a configuration.
    """
    examples = find_workflow().parents[1] / "config"
    target = folder / "config" / CONFIG
    if target.exists():
        raise ConfigError(f"{target} already exists: edit it, or choose another folder")
    source = examples / "examples" / "pairs.yaml" if pairs else examples / CONFIG
    table = examples / "examples" / PAIRS if pairs else examples / "excluded.tsv"
    write_text(target.with_name(table.name), table.read_text(encoding="utf-8"))
    text = source.read_text(encoding="utf-8")
    # The schema stays in the repository.
    schema = f"# yaml-language-server: $schema={examples / 'config.schema.json'}\n"
    write_text(target, re.sub(r"\A# yaml-language-server:.*\n", lambda _: schema, text))
    return target


def find_blocks(reel: Path) -> list[tuple[str, int, int]]:
    """Return the blocks of music on a reel: their split, and their samples [start, stop), without the witness.

    They are in `excitation.json`, in the folder above that of the reel. Raises `ConfigError` without it, if it
    describes another reel, or for a probe reel.
    """
    path, info = reel.resolve().parent.parent / "excitation.json", read_info(reel)
    if reel.stem == excitation.probe_name(path.parent.name):
        raise ConfigError(f"{reel} is a probe reel, which has no music to train on: give one of the other reels")
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist, so the splits of {reel} are unknown: give the reel in the folder in which it was "
            "made, results/excitations/NAME/reels, or copy excitation.json too"
        )
    try:
        layout = excitation.read_reel(path, reel.stem)
    except ExcitationError:
        raise ConfigError(
            f"{path} has no reel {reel.stem}: give the reel under the name with which it was made"
        ) from None
    if layout.get("frames") != info.frames:
        raise ConfigError(
            f"{reel} has {info.frames} samples, but {path} describes a reel of {layout.get('frames')}: the file was "
            "changed, or belongs to another excitation"
        )
    blocks = [(block["split"], block["start"], block["stop"]) for block in layout.get("blocks", [])]
    if absent := [split for split in SPLITS if split not in {block[0] for block in blocks}]:
        raise ConfigError(f"{path} has no {absent[0]} split on the reel {reel.stem}: its contract is not {EXCITATION}")
    return blocks


def write_project(
    folder: Path,
    pairs: Sequence[tuple[Path, Path]],
    preset: str,
    minutes: float,
    takes: Sequence[tuple[Path, Path]] = (),
) -> str:
    """Write configuration and list of pairs into a folder, and return the name of the device.

    `pairs` are dry and wet files, `takes` reels and their recordings: each block of a reel becomes a pair with its
    split. `minutes` is the training budget in minutes of CPU time. A project that this function wrote earlier is
    replaced; its results stay, and the workflow makes again what the change concerns. Raises `ConfigError` if the
    folder holds another configuration, if a path cannot be listed, if a dry file of a pair is a reel, or for the
    reasons of `find_blocks`, and `AudioError` if a file is not readable.
    """
    config = folder / CONFIG
    if config.exists() and not config.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        raise ConfigError(
            f"{config} was not written by `twin train`: choose another folder by --out, or run "
            f"`snakemake --cores 2` in {folder}"
        )
    rows = ["capture\tdry\twet\tsplit\tstart\tstop" if takes else "capture\tdry\twet"]
    captures: set[str] = set()
    for number, (dry, wet) in enumerate([*pairs, *takes], 1):
        for path in (dry, wet):
            if re.search(r"[\t\r\n]", str(path.resolve())):
                raise ConfigError(f"{str(path)!r} has a tab or a line break in its name: rename the file or its folder")
            read_info(path)
        name = name_device(wet)
        name = f"{name}-{number}" if name in captures else name
        captures.add(name)
        parts: list[tuple[str | int, ...]] = [(name,)]
        if number > len(pairs):
            blocks = enumerate(find_blocks(dry), 1)
            parts = [(f"{name}-block-{block}", split, start, stop) for block, (split, start, stop) in blocks]
        elif excitation.is_reel(dry):
            raise ConfigError(
                f"{dry} is a reel of a project, in which the same excerpt is repeated in every split: use "
                f"`twin train --take {wet} --reel {dry}`"
            )
        rows += ["\t".join(map(str, (part[0], dry.resolve(), wet.resolve(), *part[1:]))) for part in parts]
    device = name_device([*pairs, *takes][0][1])
    content = {
        "devices": {device: {"pairs": PAIRS}},
        "models": {preset: {"preset": preset}},
        "training": {"cpu_seconds": round(60 * minutes, 3)},
    }
    command = f"#   snakemake --snakefile {find_workflow()} --configfile {CONFIG} --cores 2"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PAIRS, "\n".join(rows) + "\n")
    write_text(config, "\n".join((_MARK, command, yaml.safe_dump(content, sort_keys=False))))
    return device


def run_workflow(folder: Path, cores: int) -> None:
    """Run the workflow in the folder of a project; show its output, with a bar for the training.

    The output is also in `run.log`. Raises `TwinError` with the errors of the stages if the run fails. On
    `KeyboardInterrupt` (Ctrl-C, SIGTERM) the stages save their state and end.
    """
    require_modules("snakemake")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(find_workflow()), "--configfile", CONFIG]
    command += ["--cores", str(cores), "--nocolor"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", SECONDS_VARIABLE: "1"}
    with (
        (folder / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        try:
            errors = _follow(_copied(process.stdout, log))
        except KeyboardInterrupt:
            # Not SIGINT, which processes in the background of a shell ignore.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if process.returncode:
        reasons = errors or [f"the workflow failed; see {folder / LOG}"]
        raise TwinError("; ".join(dict.fromkeys(reasons)))


def _copied(lines: Iterator[str], log: TextIO) -> Iterator[str]:
    for line in lines:
        print(line, end="", file=log, flush=True)
        yield line.rstrip("\n")


def _follow(lines: Iterator[str]) -> list[str]:
    """Show the output, with a bar for the training; return the errors of programs."""
    errors = []
    progress: Progress | None = None
    done = 0.0
    with ExitStack() as bars:
        for line in lines:
            if found := _PROGRESS.match(line):
                # All other stages take seconds.
                if found["stage"] != "train":
                    continue
                if progress is None:
                    progress = bars.enter_context(show_progress("train", float(found["total"]), found["unit"]))
                now = float(found["done"])
                progress(now - done, found["note"] or "")
                done = now
            elif line.startswith("error: "):
                errors.append(line.removeprefix("error: "))
            elif line and not line.startswith(_HIDDEN):
                print(line, file=sys.stderr, flush=True)
    return errors
