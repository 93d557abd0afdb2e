"""The lock of a results folder, its take-over after a kill, and the processes of a killed run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from twinlib.errors import TwinError
from twinlib.run_lock import LOCK_FILE, MARKER, end_processes, lock_results, this_run

HOLDER = """
import sys, time
from pathlib import Path
from twinlib.run_lock import lock_results
held = lock_results(Path(sys.argv[1]))
held.register()
print("held", flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def keep_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MARKER, raising=False)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_live_owner_is_respected_and_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    before = (tmp_path / LOCK_FILE).read_bytes()
    with pytest.raises(TwinError, match=rf"another run works in .* \(process {holder.pid} on .*, started 20.*wait"):
        lock_results(tmp_path)
    assert (tmp_path / LOCK_FILE).read_bytes() == before


def test_the_lock_of_a_killed_owner_is_free_and_names_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    held = lock_results(tmp_path)
    assert held is not None
    assert held.last is not None
    assert held.last.pid == holder.pid
    assert held.last.is_local
    held.register()
    assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    held.release()


def test_a_run_on_another_host_is_not_local() -> None:
    here = this_run("")
    assert here.is_local
    assert not replace(here, host="studio", boot="other").is_local
    assert not replace(here, machine="other", boot="").is_local
    assert replace(here, boot="before the power failure").is_local
    assert replace(here, host="container").is_local == bool(here.boot)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": 1}', "\0" * 100, '{"pid": "x"}'])
def test_a_damaged_lock_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_FILE).write_text(content)
    held = lock_results(tmp_path)
    assert held is not None
    assert held.last is None
    held.register()
    held.release()
    again = lock_results(tmp_path)
    assert again is not None
    assert again.last is not None
    assert asdict(again.last) == asdict(replace(this_run(""), token=again.last.token))
    again.release()


def test_a_folder_that_is_a_file_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    assert lock_results(tmp_path / "results") is None


def test_only_the_processes_of_the_run_are_ended() -> None:
    def start(program: str, token: str) -> subprocess.Popen[str]:
        environment = {**os.environ, MARKER: token}
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)

    polite, stubborn, other = (
        start("import time; time.sleep(600)", "mine"),
        start(STUBBORN, "mine"),
        start(STUBBORN, ""),
    )
    try:
        for process in (stubborn, other):
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        assert end_processes("mine", seconds=0.5) == 2
        assert [process.poll() is None for process in (polite, stubborn, other)] == [False, False, True]
        assert end_processes("mine") == 0
    finally:
        for process in (polite, stubborn, other):
            process.kill()
            process.communicate()
