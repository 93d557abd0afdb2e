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
from twinlib.run_lock import (
    LOCK_FILE,
    MARKER,
    cancel_slurm_jobs,
    end_processes,
    end_run,
    lock_results,
    slurm_prefix,
    this_run,
)

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


def test_the_lock_says_whether_the_run_used_slurm(tmp_path: Path) -> None:
    for slurm in (True, False):
        held = lock_results(tmp_path)
        assert held is not None
        held.register(slurm)
        held.release()
        again = lock_results(tmp_path)
        assert again is not None
        assert again.last is not None
        assert again.last.slurm is slurm
        again.release()
    # A lock file of an older version may be that of a run with SLURM jobs.
    old = {key: value for key, value in asdict(this_run("t")).items() if key != "slurm"}
    (tmp_path / LOCK_FILE).write_text(json.dumps(old))
    held = lock_results(tmp_path)
    assert held is not None
    assert held.last == replace(this_run("t"), slurm=True)
    held.release()


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


class Slurm:
    """Stands in for squeue and scancel: jobs in a file, an id and a name a line."""

    def __init__(self, folder: Path) -> None:
        self.jobs, programs = folder / "jobs", folder / "programs"
        programs.mkdir()
        self.write("squeue", f"cat {self.jobs}", programs)
        # A cancelled job ends after the next look.
        self.write("scancel", f'for id in "$@"; do (sleep 0.3; sed -i "/^$id /d" {self.jobs}) & done', programs)
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def write(self, name: str, text: str, folder: Path) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def test_only_the_slurm_jobs_of_the_killed_run_are_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(tmp_path)
    monkeypatch.setenv("PATH", slurm.path)
    other = f"13 {slurm_prefix('b' * 32)}_uuid\n14 twin\n15 my other job\n16 \n"
    slurm.jobs.write_text(f"11 {slurm_prefix('a' * 32)}_uuid\n12 {slurm_prefix('a' * 32)}_uuid\n{other}")
    assert cancel_slurm_jobs("a" * 32) == 2
    assert slurm.jobs.read_text() == other
    assert cancel_slurm_jobs("a" * 32) == 0


def test_jobs_that_do_not_end_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(tmp_path)
    slurm.write("scancel", "exit 0", tmp_path / "programs")
    monkeypatch.setenv("PATH", slurm.path)
    slurm.jobs.write_text(f"11 {slurm_prefix('a' * 32)}_uuid\n")
    with pytest.raises(TwinError, match=r"the SLURM jobs 11 of a killed run do not end: wait, and run again"):
        cancel_slurm_jobs("a" * 32, seconds=0.1)


def test_a_silent_slurm_stops_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(tmp_path)
    slurm.write("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1", tmp_path / "programs")
    monkeypatch.setenv("PATH", slurm.path)
    with pytest.raises(
        TwinError, match=r"whether jobs of the last run go on is unknown \(Unable to contact slurm controller\): wait"
    ):
        cancel_slurm_jobs("a" * 32)


def test_slurm_is_asked_only_for_local_runs_that_used_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(tmp_path)
    monkeypatch.setenv("PATH", slurm.path)
    last = replace(this_run("a" * 32), slurm=True)
    slurm.jobs.write_text(f"11 {slurm_prefix(last.token)}_uuid\n")
    assert end_run(replace(last, host="studio", boot="other")) == (0, 0)
    assert end_run(last) == (1, 0)
    slurm.write("squeue", "exit 1", tmp_path / "programs")
    with pytest.raises(TwinError, match="is unknown"):
        end_run(last)
    assert end_run(replace(last, slurm=False)) == (0, 0)


def test_a_machine_without_slurm_has_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cancel_slurm_jobs("a" * 32) == 0
