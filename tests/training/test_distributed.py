import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.worker_program import train_in_memory
from tests.workflow.project import REPOSITORY, Program
from twinlib.errors import TrainingError
from twinlib.files import sha256_file
from twinlib.model.twin import load_twin
from twinlib.training.distributed import all_reduce_sum, broadcast, launch, process_group, rank_share

STEPS = 100


def start(processes: int, batch: int, steps: int, folder: Path) -> Program:
    """Start torchrun in a forked process, and its workers in new interpreters."""
    program = Path(__file__).with_name("worker_program.py")
    return Program([str(program), *map(str, (processes, batch, steps, folder))], REPOSITORY)


def finish(process: Program) -> tuple[int | None, str]:
    _, err = process.communicate(timeout=200)
    return process.returncode, err


def test_single_process_is_the_whole_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    batch = torch.arange(6).reshape(3, 2)
    with process_group(1, "cpu"):
        assert torch.equal(rank_share(batch), batch)
        assert all_reduce_sum([1.5, 2.0]) == [1.5, 2.0]
        assert broadcast(0.25) == 0.25


def test_wrong_number_of_processes_raises(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match=r"torchrun started 3 .*training.processes is 2"), process_group(2, "cpu"):
        pass


def test_a_process_whose_group_has_ended_raises(monkeypatch):
    def lost(backend):
        raise torch.distributed.DistNetworkError("connection refused\nGLHF!")

    monkeypatch.setattr(torch.distributed, "init_process_group", lost)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(TrainingError, match=r"process 1 does not reach the others \(connection refused\)"),
        process_group(2, "cpu"),
    ):
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of an uninterrupted training with two processes."""
    folder = tmp_path_factory.mktemp("whole")
    code, err = finish(start(2, 2, STEPS, folder))
    assert code == 0, err
    return folder


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path, whole):
    one, two = train_in_memory(1, 4, STEPS, tmp_path).twin, load_twin(whole)
    assert one.metadata["step"] == two.metadata["step"]
    for name, weight in one.weights.items():
        np.testing.assert_allclose(two.weights[name], weight, rtol=0, atol=2e-5, err_msg=name)
    assert two.metadata["valid_esr"] == pytest.approx(one.metadata["valid_esr"], rel=1e-3)


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The network namespaces of two hosts, 10.77.0.1 and 10.77.0.2, joined by a cable."""
    names = ["twin-host1", "twin-host2"]
    calls = [
        "netns add twin-host1",
        "netns add twin-host2",
        "link add eth-1 netns twin-host1 type veth peer name eth-2 netns twin-host2",
        *(f"-n twin-host{n} addr add 10.77.0.{n}/24 dev eth-{n}" for n in (1, 2)),
        *(f"-n twin-host{n} link set {device} up" for n in (1, 2) for device in (f"eth-{n}", "lo")),
    ]
    try:
        for line in calls:
            try:
                subprocess.run(["ip", *line.split()], check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                why = f"network namespaces need root and iproute2: {getattr(error, 'stderr', error)}"
                (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def start_on_host(name: str, rank: int, folder: Path) -> subprocess.Popen[str]:
    """Start the program on a host with its own network and host name, as a launcher for clusters does."""
    place = {"PET_NNODES": "2", "PET_NODE_RANK": str(rank), "PET_MASTER_ADDR": "10.77.0.1", "PET_MASTER_PORT": "29400"}
    environment = {**os.environ, **place, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment["GLOO_SOCKET_IFNAME"] = f"eth-{rank + 1}"
    program = [
        sys.executable,
        str(Path(__file__).with_name("worker_program.py")),
        "2",
        "2",
        str(STEPS),
        str(folder),
        "2",
    ]
    command = [
        "ip",
        "netns",
        "exec",
        name,
        "unshare",
        "--uts",
        "sh",
        "-c",
        f'hostname {name}; exec "$@"',
        "sh",
        *program,
    ]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_hosts_equal_one(hosts, tmp_path, whole):
    started = [start_on_host(name, rank, tmp_path) for rank, name in enumerate(hosts)]
    try:
        for process in started:
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
    finally:
        for process in started:
            process.kill()
    assert sha256_file(tmp_path / "twin.safetensors") == sha256_file(whole / "twin.safetensors")


def test_nodes_that_cannot_share_the_processes_raise():
    with pytest.raises(TrainingError, match=r"training.processes is 3, which 2 nodes .*multiple of 2"):
        launch(3, "program.py", [], nodes=2)


def test_nodes_without_slurm_raise(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PET_NNODES", raising=False)
    with pytest.raises(TrainingError, match=r"2 nodes needs srun.*profiles/slurm"):
        launch(2, "program.py", [], nodes=2)


@pytest.mark.slow
def test_two_processes_resume_to_the_same_bytes(tmp_path, whole):
    """Stop, resume, kill and resume a training."""
    cut = tmp_path / "cut"
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = moment(cut / "checkpoint.safetensors")
        process = start(2, 2, STEPS, cut)
        deadline = time.monotonic() + 100
        while moment(cut / "checkpoint.safetensors") == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        if number == signal.SIGKILL:
            # The workers of torchrun have their own sessions and end slightly later.
            for child in children(process.pid):
                os.kill(child, number)
        else:
            process.send_signal(number)
        code, err = finish(process)
        assert code == (1 if number == signal.SIGKILL else 143), err
        assert "Traceback" not in err
        assert moment(cut / "checkpoint.safetensors") > before
        assert not (cut / "twin.safetensors").exists(), "it was stopped before its end"
    code, err = finish(start(2, 2, STEPS, cut))
    assert code == 0, err
    assert sha256_file(cut / "twin.safetensors") == sha256_file(whole / "twin.safetensors")


def moment(path: Path) -> int:
    """Return the modification time of a file in ns, 0 if it does not exist."""
    return path.stat().st_mtime_ns if path.exists() else 0


def children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
