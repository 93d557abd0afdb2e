"""Several processes that train one network, started by torchrun; a process alone is a group of one.

Every process draws the crops of the whole step and takes its part of them. DistributedDataParallel averages the
gradients, and what must be decided together is decided by the first process, rank 0, which alone writes files.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from twinlib.errors import TrainingError


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def place(device: str) -> torch.device:
    """Where this process computes: with `cuda` and `auto` on the GPU of its local rank; raises `TrainingError`."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if not found:
        raise TrainingError("training.device is cuda, but torch finds no GPU here: set it to auto or cpu")
    if local >= found:
        raise TrainingError(
            f"training.processes asks for more GPUs than the {found} of this machine: every process takes one. Set it "
            f"to {found}, or training.device to cpu"
        )
    return torch.device("cuda", local)


@contextmanager
def group(processes: int, device: str) -> Iterator[None]:
    """Join the processes that torchrun has started; a process that it has not started stays alone.

    Raises `TrainingError` if there are not as many as `training.processes` says, for the batch depends on it.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != processes:
        raise TrainingError(
            f"torchrun started {started} processes, but training.processes is {processes}: make both the same"
        )
    if "RANK" not in os.environ:
        yield
        return
    where = place(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    # The small sums of `total` lie on the CPU in any case.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def launched_as_one(processes: int) -> bool:
    """Whether this process is to train, alone or among those that torchrun has started; else it is to call `launch`."""
    return processes == 1 or "RANK" in os.environ


def launch(processes: int, program: str, arguments: Sequence[str]) -> int:
    """Run a program as `processes` processes of torchrun on this machine and return its exit code.

    What the processes say comes through; torchrun's own account of how they ended, a traceback, does not.
    """
    # Here and not above: a second that trainings of one process need not pay.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main(["--standalone", f"--nproc-per-node={processes}", program, *arguments])
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f"error: process {number} of the training was ended by {name}", file=sys.stderr)
            return 1
        return int(failure.exitcode)
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def parallel(model: nn.Module) -> nn.Module:
    """The model as it is called in training: its gradients are averaged over all processes."""
    if world() == 1:
        return model
    # The residual path of the last layer leads nowhere and never has a gradient.
    return DistributedDataParallel(model, find_unused_parameters=True)


def part(batch: torch.Tensor) -> torch.Tensor:
    """The rows of a whole step's batch that belong to this process."""
    size = len(batch) // world()
    return batch[rank() * size : (rank() + 1) * size]


def total(values: Sequence[float]) -> list[float]:
    """The sums of numbers over all processes; all must call it."""
    if world() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(sums)
    return [float(value) for value in sums]


def of_first(value: float) -> float:
    """The number that rank 0 has, for all; all must call it."""
    return total([value if rank() == 0 else 0.0])[0]
