"""What calls the programs of the workflow in this process, and sees that they refuse bad input as they should."""

import importlib.util
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.workflow.project import REPOSITORY
from twinlib.cli_runtime import run
from twinlib.files import sha256_file

EXCITATION = "results/excitations/tiny"
TWIN = "results/twins/amp/tiny"

Options = dict[str, dict[str, Any]]

Refused = Callable[..., str]


def program(stage: str) -> ModuleType:
    path = REPOSITORY / "scripts" / f"{stage}.py"
    spec = importlib.util.spec_from_file_location(f"scripts_{stage}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(stage: str, options: dict[str, Any]) -> int:
    """Run a program of the workflow in this process and return its exit code, as `python scripts/STAGE.py` would."""
    words = [stage]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    before = sys.argv, signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    try:
        sys.argv = words
        with pytest.raises(SystemExit) as ended:
            run(program(stage).main)
    finally:
        sys.argv = before[0]
        signal.signal(signal.SIGTERM, before[1])
        torch.set_num_threads(before[2])
    return int(ended.value.code or 0)


def refusing(options: Options, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What calls a program that must refuse and leave all files as they are: its sentence comes back."""

    def refused(stage: str, *parts: str, **changes: Any) -> str:
        before = snapshot(Path())
        capsys.readouterr()
        code = call(stage, {**options[stage], **changes})
        err = capsys.readouterr().err
        sentence = refusal(code, err, *parts)
        assert snapshot(Path()) == before
        return sentence

    return refused


def refusal(code: int, err: str, *parts: str) -> str:
    """The one sentence, with these parts in it, by which a program that ended so has refused."""
    assert code == 1, err
    sentences = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in sentences[0]
    return sentences[0]


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones and the halves that a crash would leave included, with its sum."""
    return {path.as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def break_in_every_way(door: Refused, stage: str, path: Path, **changes: Any) -> None:
    content = path.read_bytes() if path.is_file() else b"{}"
    # Half a WAV file is a shorter one: that is for its verdict to say.
    half = [] if path.suffix == ".wav" else [content[: len(content) // 2]]
    for broken in (b"", b"this is none of our files\n" * 40, *half):
        path.write_bytes(broken)
        door(stage, path.name, **changes)
    path.unlink()
    door(stage, path.name, "does not exist", **changes)
    path.mkdir()
    door(stage, path.name, **changes)


def error_to_signal(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sum((found.astype(float) - truth) ** 2) / np.sum(truth.astype(float) ** 2))
