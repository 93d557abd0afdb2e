"""Every command: help, usage errors, invalid files, and its own process."""

import os
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.cli.harness import Command, refused, strict_json
from tests.workflow.project import RATE


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"not a sound file at all" * 100, "empty", "folder"])
def test_invalid_sound_files_are_named(
    twin: Command, model_file: Path, reel: Path, pair: tuple[Path, Path], tmp_path: Path, content: bytes | str | None
) -> None:
    bad, dry, out = tmp_path / "bad.wav", pair[0], tmp_path / "out.wav"
    if content == "empty":
        soundfile.write(bad, np.zeros((0, 1)), RATE)
    elif content == "folder":
        bad.mkdir()
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ("align", bad, dry, "--out", out),
        ("align", dry, bad, "--out", out),
        ("check", bad, "--reel", reel),
        ("check", dry, "--reel", bad),
        ("render", model_file, bad, out),
        ("evaluate", model_file, bad, dry),
        ("evaluate", model_file, dry, bad),
    ):
        refused(twin(*words), "bad.wav")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [(), ("align",), ("align", "a.wav"), ("nothing",), ("check", "a.wav", "b.wav"), ("render", "a", "b"),
     ("export", "a"), ("render", "a", "b", "c", "--bits", "8"),
     ("align", "a.wav", "b.wav", "--channel", "one"), ("evaluate", "a", "b", "c", "--colour")],
)  # fmt: skip
def test_usage_errors_exit_with_2(twin: Command, words: tuple[str, ...]) -> None:
    code, out, err = twin(*words)
    assert (code, out) == (2, "")
    assert "usage: twin" in err


@pytest.mark.parametrize("command", ["", "train", "init", "align", "check", "render", "evaluate", "export"])
def test_every_command_has_help(twin: Command, command: str) -> None:
    code, out, err = twin(*filter(None, [command]), "--help")
    assert (code, err) == (0, "")
    assert f"usage: twin {command}".strip() in out


def _start(*words: object, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "twinlib.cli", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.slow
def test_the_process_behaves_like_the_function(pair: tuple[Path, Path], tmp_path: Path) -> None:
    started = _start("align", *pair, "--json", stdout=subprocess.PIPE)
    out, err = started.communicate(timeout=120)
    # The device passes the dry signal on unchanged.
    assert (started.returncode, strict_json(out)["verdict"]) == (0, "suspect"), err
    started = _start("align", pair[0], tmp_path / "none.wav", stdout=subprocess.PIPE)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out) == (1, "")
    assert err == f"error: {tmp_path / 'none.wav'} does not exist\n"


@pytest.mark.slow
def test_a_closed_pipe_gives_no_traceback(pair: tuple[Path, Path]) -> None:
    read, write = os.pipe()
    os.close(read)
    started = _start("align", *pair, "--json", stdout=write)
    os.close(write)
    _, err = started.communicate(timeout=120)
    assert (started.returncode, err) == (1, "")


@pytest.mark.slow
def test_a_full_disk_is_reported_and_leaves_no_file(model_file: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    out.write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # noqa: E731
    started = _start("render", model_file, pair[0], out, stdout=subprocess.PIPE, preexec_fn=limit)
    _, err = started.communicate(timeout=120)
    refused((started.returncode, "", err), "out.wav cannot be written", "free disk space")
    assert sorted(tmp_path.rglob("*")) == before
    assert out.read_bytes() == b"old"


def test_the_version_is_that_of_the_package(twin: Command) -> None:
    code, out, _ = twin("--version")
    assert (code, out) == (0, f"twinlib {version('twinlib')}\n")
