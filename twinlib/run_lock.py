"""One run at a time in a results folder; the next run takes over the lock of a killed run and ends its processes.

The lock is a `flock`, which the system releases when the process dies, so that a reused process id, a reboot or a
changed clock is never mistaken for a live run. On a shared file system other hosts may not see it, so that a run on
another host never counts as dead.
"""

import fcntl
import json
import os
import platform
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

import psutil

from twinlib.errors import TwinError

LOCK_FILE = ".run.lock"
"""Name of the lock in a results folder: the run that holds it, or the last one that did, as JSON."""

MARKER = "TWINLIB_RUN"
"""Environment variable with the token of a run. All processes of its jobs inherit it."""


@dataclass(frozen=True)
class Run:
    """A run of the workflow: its process and its machine."""

    host: str
    """Name of the host."""
    machine: str
    """Machine id of the system, if it has one: hosts may share a name."""
    boot: str
    """Boot id of the system, if it has one: containers of one machine have several host names."""
    pid: int
    """Process id."""
    started: str
    """Start time of the process, ISO 8601."""
    token: str
    """Random value of `MARKER`."""
    slurm: bool = False
    """Whether its jobs are SLURM jobs with names after the token."""

    @property
    def is_local(self) -> bool:
        """Whether the run was started on this machine, so that its free lock proves that it has ended."""
        here = this_run("")
        same_boot = bool(self.boot) and self.boot == here.boot
        return same_boot or (self.host, self.machine) == (here.host, here.machine)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started}"


class RunLock:
    """The lock of a results folder, held until `release` or the end of the process. Made by `lock_results`."""

    def __init__(self, stream: IO[str], last: Run | None) -> None:
        self._stream, self.last = stream, last
        """The last run that held the lock; None if there was none."""

    def register(self, slurm: bool = False) -> str:
        """Enter this process as the owner, and mark its environment for the processes of its jobs; return the token.

        `slurm` tells the next run to look for SLURM jobs of this one.
        """
        run = replace(this_run(secrets.token_hex(16)), slurm=slurm)
        self._stream.seek(0)
        self._stream.truncate()
        json.dump(asdict(run), self._stream)
        self._stream.flush()
        os.environ[MARKER] = run.token
        return run.token

    def release(self) -> None:
        """Release the lock."""
        self._stream.close()


def lock_results(results: Path) -> RunLock | None:
    """Lock a results folder for this process, and create it if needed.

    Raises `TwinError`, which names the owner, if another process holds the lock. Returns None if the folder cannot be
    written to or the file system has no locks.
    """
    path = results / LOCK_FILE
    try:
        results.mkdir(parents=True, exist_ok=True)
        # Append mode keeps the content.
        stream = path.open("a+", encoding="utf-8")
    except OSError:
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _read(stream)
        stream.close()
        raise TwinError(
            f"another run works in {results}{f' ({owner})' if owner else ''}: wait until it has ended, or stop it"
        ) from None
    except OSError:
        stream.close()
        return None
    return RunLock(stream, _read(stream))


def this_run(token: str) -> Run:
    """Return the description of this process as a run."""
    started = datetime.fromtimestamp(psutil.Process().create_time()).astimezone().isoformat(timespec="seconds")
    machine, boot = (_first_line(path) for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"))
    return Run(platform.node(), machine, boot, os.getpid(), started, token)


def end_run(last: Run) -> tuple[int, int]:
    """End what is left of a run whose lock is free; return the numbers of cancelled SLURM jobs and ended processes.

    Nothing of a run on another host is ended. SLURM is asked only if the run used it. Raises as `cancel_slurm_jobs`.
    """
    if not last.is_local:
        return 0, 0
    return cancel_slurm_jobs(last.token) if last.slurm else 0, end_processes(last.token)


def end_processes(token: str, seconds: float = 30.0) -> int:
    """End the processes on this machine with this `MARKER`; return their number.

    SIGTERM lets a training save its state; SIGKILL follows after `seconds`. Processes that a user may not inspect
    belong to other users.
    """
    found = _marked(token)
    for process in found:
        _signal(process, "terminate")
    deadline = time.monotonic() + seconds
    while (left := _marked(token)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.2)
    for process in left:
        _signal(process, "kill")
    psutil.wait_procs(left, timeout=5)
    return len(found)


def slurm_prefix(token: str) -> str:
    """Return the prefix of the names of the SLURM jobs of the run with this token."""
    return f"twin-{token}"


def cancel_slurm_jobs(token: str, seconds: float = 120.0) -> int:
    """Cancel the SLURM jobs of a run on all nodes, and wait for their end; return their number.

    Raises `TwinError` if SLURM does not answer, or if a job has not ended after `seconds`. SLURM itself sends SIGKILL
    to a job 30 s (`KillWait`) after SIGTERM.
    """
    if shutil.which("squeue") is None:
        return 0
    found = _slurm_jobs(token)
    if found:
        _call("scancel", *found)
    deadline = time.monotonic() + seconds
    while left := found and _slurm_jobs(token):
        if time.monotonic() > deadline:
            raise TwinError(f"the SLURM jobs {', '.join(left)} of a killed run do not end: wait, and run again")
        time.sleep(0.5)
    return len(found)


def _slurm_jobs(token: str) -> list[str]:
    """Return the ids of the jobs of a run that are waiting or have not ended."""
    jobs = (line.partition(" ") for line in _call("squeue", "--me", "--noheader", "--format=%A %j").splitlines())
    return [number for number, _, name in jobs if name.startswith(slurm_prefix(token))]


def _call(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise TwinError(
            f"whether jobs of the last run go on is unknown ({reason}): wait until `squeue` works, and run again"
        ) from None


def _marked(token: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _environment(process).get(MARKER) == token
    ]


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _signal(process: psutil.Process, method: str) -> None:
    # It may have ended.
    with suppress(psutil.Error):
        getattr(process, method)()


def _read(stream: IO[str]) -> Run | None:
    """Return the owner in a lock file; None if the file is empty or damaged."""
    stream.seek(0)
    try:
        # Older lock files do not say whether the run used SLURM.
        content = {"slurm": True} | json.load(stream)
        return Run(**{name: kind(content[name]) for name, kind in Run.__annotations__.items()})
    except (ValueError, LookupError, TypeError):
        return None


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
