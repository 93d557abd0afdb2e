import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.worker_program import train_in_memory
from tests.workflow.project import REPOSITORY, Program
from twinlib.errors import TrainingError
from twinlib.files import sha256_file
from twinlib.model.twin import load_twin
from twinlib.training.distributed import all_reduce_sum, broadcast, process_group, rank_share

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
