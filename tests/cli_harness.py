"""Run programs of the workflow in this process and check their errors on bad input."""

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

Fails = Callable[..., str]


def program(stage: str) -> ModuleType:
    path = REPOSITORY / "scripts" / f"{stage}.py"
    spec = importlib.util.spec_from_file_location(f"scripts_{stage}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(stage: str, options: dict[str, Any]) -> int:
    """Run a program of the workflow in this process and return its exit code."""
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


def failing_program(options: Options, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Return a function that runs a program, checks that it fails and changes no file, and returns its message."""

    def refused(stage: str, *parts: str, **changes: Any) -> str:
        before = snapshot(Path())
        capsys.readouterr()
        code = call(stage, {**options[stage], **changes})
        err = capsys.readouterr().err
        message = check_error(code, err, *parts)
        assert snapshot(Path()) == before
        return message

    return refused


def check_error(code: int, err: str, *parts: str) -> str:
    """Check for exit code 1 and one error message with these parts; return it."""
    assert code == 1, err
    messages = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in messages[0]
    return messages[0]


def snapshot(folder: Path) -> dict[str, str]:
    """Return the digests of all files below a folder, including hidden and partial ones."""
    return {path.as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def fails_on_damage(fails: Fails, stage: str, path: Path, **changes: Any) -> None:
    content = path.read_bytes() if path.is_file() else b"{}"
    # Half a WAV file is a valid shorter one.
    half = [] if path.suffix == ".wav" else [content[: len(content) // 2]]
    for broken in (b"", b"this is not such a file\n" * 40, *half):
        path.write_bytes(broken)
        fails(stage, path.name, **changes)
    path.unlink()
    fails(stage, path.name, "does not exist", **changes)
    path.mkdir()
    fails(stage, path.name, **changes)


def error_to_signal(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sum((found.astype(float) - truth) ** 2) / np.sum(truth.astype(float) ** 2))
