"""A real SLURM cluster of two nodes on this machine: no systemd, no cgroups, no accounting database, loopback only.

Needs root and Debian's packages munge, slurmctld, slurmd and slurm-client.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NODES = ("node1", "node2")
CORES = 2
MEMORY = 8000
"""MB of memory of a node; SLURM does not compare it with the memory of the machine."""

CONF = Path("/etc/slurm/slurm.conf")
"""Where jobs look for the configuration: the executor plugin removes SLURM_CONF from their environment."""

_PATH = f"{os.environ['PATH']}:/usr/sbin"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
_PORT = 16820

_TEXT = """
ClusterName=twins
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool-%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={home}/jobs.txt
MinJobAge=900
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=200000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
KillWait=5
PartitionName=main Nodes={nodes} Default=YES MaxTime=1-00:00:00 State=UP
"""


def missing() -> str:
    """Why the cluster cannot start; empty if it can."""
    if os.getuid():
        return "slurmd needs root"
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"{', '.join(absent)} not found: install munge, slurmctld, slurmd and slurm-client"
    if CONF.exists() and not CONF.is_symlink():
        return f"{CONF} belongs to a cluster"
    return ""


@contextmanager
def cluster(home: Path) -> Iterator[Path]:
    """Start the daemons, and end them after use. `home` holds all their files; yields the list of finished jobs."""
    _write_configuration(home)
    CONF.parent.mkdir(exist_ok=True)
    CONF.unlink(missing_ok=True)
    CONF.symlink_to(home / "slurm.conf")
    try:
        files = {"key": "munge.key", "pid": "munged.pid", "log": "munged.log", "seed": "munged.seed"}
        options = [f"--{kind}-file={home}/{name}" for kind, name in files.items()]
        _start("munged", "--force", f"--socket={home}/munge.socket", *options)
        _start("slurmctld", "-c")
        for node in NODES:
            _start("slurmd", "-N", node)
        _wait(lambda: _call("sinfo", "-h", "-o", "%T").strip() == "idle", "the nodes are not idle")
        yield home / "jobs.txt"
    finally:
        for job in _call("squeue", "-h", "-o", "%A").split():
            _call("scancel", job)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            _end(home / f"{name}.pid")
        CONF.unlink(missing_ok=True)


def finished_jobs(jobs: Path) -> list[dict[str, str]]:
    """The records of finished jobs, such as `JobState`, by key."""
    lines = jobs.read_text(encoding="utf-8").splitlines() if jobs.exists() else []
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]


def suspend() -> None:
    """Stop the processes of all running jobs. A cancelled job goes on and gets its signal."""
    for number in _call("squeue", "-h", "-t", "RUNNING", "-o", "%A").split():
        subprocess.run(["scontrol", "suspend", number], check=True)


def _write_configuration(home: Path) -> None:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (home / name).mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    (home / "munge.key").write_bytes(os.urandom(1024))
    (home / "munge.key").chmod(0o600)
    host = os.uname().nodename.split(".")[0]
    text = _TEXT.format(home=home, host=host, port=_PORT, nodes=",".join(NODES))
    for number, node in enumerate(NODES, 1):
        text += (
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={_PORT + number} Sockets=1 "
            f"CoresPerSocket={CORES} ThreadsPerCore=1 RealMemory={MEMORY} State=UNKNOWN\n"
        )
    (home / "slurm.conf").write_text(text)
    (home / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _start(*command: str) -> None:
    subprocess.run(command, env={**os.environ, "PATH": _PATH}, check=True, capture_output=True)


def _call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _wait(condition, why: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.2)


def _end(pid_file: Path) -> None:
    """End the daemon of a pid file and wait for its end."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        _wait(lambda: not Path(f"/proc/{pid}").exists(), f"{pid_file.stem} does not end")
    except (OSError, ValueError):
        return
