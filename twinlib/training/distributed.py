"""Data-parallel training with torchrun; a single process is a group of one.

Every process draws the crops of the whole step and trains on its share. DistributedDataParallel averages the gradients.
Only rank 0 makes decisions and writes files.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from twinlib.errors import TrainingError
from twinlib.kernels import engine_name


def rank() -> int:
    """Return the rank of this process, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def select_device(device: str) -> torch.device:
    """Return the device of this process: with `cuda` and `auto` the GPU of its local rank.

    Raises `TrainingError` if there are too few GPUs.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local_rank, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if not count:
        raise TrainingError("training.device is cuda, but torch finds no GPU. Set it to auto or cpu")
    if local_rank >= count:
        raise TrainingError(
            f"training.processes needs one GPU per process, but this machine has {count}. Set training.processes to "
            f"{count}, or training.device to cpu"
        )
    return torch.device("cuda", local_rank)


def training_engine(device: str) -> str:
    """Return what computes networks on a device of the settings: the instruction set of the kernels, or `torch`."""
    return engine_name() if select_device(device).type == "cpu" else "torch"


@contextmanager
def process_group(processes: int, device: str) -> Iterator[None]:
    """Join the processes that torchrun started; without torchrun, do nothing.

    Raises `TrainingError` if their number differs from `training.processes`, which determines the batch, or if this
    process does not reach the others.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != processes:
        raise TrainingError(
            f"torchrun started {started} processes, but training.processes is {processes}. Make both equal"
        )
    if "RANK" not in os.environ:
        yield
        return
    own_device = select_device(device)
    if own_device.type == "cuda":
        torch.cuda.set_device(own_device)
    # `all_reduce_sum` uses CPU tensors with either backend.
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if own_device.type == "cuda" else "gloo")
    except RuntimeError as error:
        # Another process may have ended with an error before this one called it.
        reason = str(error).strip().partition("\n")[0]
        raise TrainingError(
            f"the training process {os.environ['RANK']} does not reach the others ({reason}). If another process "
            "reports an error, correct that; otherwise check the network"
        ) from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def needs_launch(processes: int) -> bool:
    """Whether torchrun must start the worker processes; False in a worker and for a single process."""
    return processes > 1 and "RANK" not in os.environ


def launch(processes: int, program: str, arguments: Sequence[str], nodes: int = 1) -> int:
    """Run a program as `processes` torchrun workers on `nodes` machines; return its exit code.

    Several machines are those of a SLURM allocation: `srun` starts the program once on each, and each calls this
    function again. Another launcher can start these programs instead, with torchrun's variables `PET_NNODES`,
    `PET_NODE_RANK`, `PET_MASTER_ADDR` and `PET_MASTER_PORT`. Forwards the output of the workers, but not the traceback
    of torchrun after a failure. Raises `TrainingError` if the machines cannot share the processes equally, or if there
    is no `srun`.
    """
    if processes % nodes:
        raise TrainingError(
            f"training.processes is {processes}, which {nodes} nodes cannot share equally. Set it to a multiple of "
            f"{nodes}, or change the resource `nodes` of the rule train_twin"
        )
    if nodes > 1 and "PET_NNODES" not in os.environ:
        _start_on_nodes(processes // nodes, nodes, program, arguments)
    # Imported here to save a second in trainings with a single process.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    rank_of_node = os.environ.get("PET_NODE_RANK") or os.environ.get("SLURM_PROCID", "0")
    place = [f"--node-rank={rank_of_node}"] if nodes > 1 else ["--standalone"]
    try:
        main([*place, f"--nproc-per-node={processes // nodes}", program, *arguments])
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f"error: {name} killed training process {number}", file=sys.stderr)
            return 1
        return int(failure.exitcode)
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def _start_on_nodes(processes: int, nodes: int, program: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `srun`, which starts the program on each machine, with `processes` cores.

    This process is on the first machine of the allocation, which becomes the rendezvous.
    """
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    place = {"PET_NNODES": str(nodes), "PET_MASTER_ADDR": socket.gethostname(), "PET_MASTER_PORT": str(port)}
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={processes}"]
    # Otherwise the other machines wait for a dead one.
    command += ["--kill-on-bad-exit=1", sys.executable, program, *arguments]
    try:
        os.execvpe(command[0], command, {**os.environ, **place})
    except FileNotFoundError:
        raise TrainingError(
            f"training on {nodes} nodes needs srun, which is not on this machine. Use the profile "
            "workflow/profiles/slurm, or remove the resource `nodes` of the rule train_twin"
        ) from None


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model to call in training, which averages the gradients over all processes."""
    if world_size() == 1:
        return model
    # The residual path of the last layer has no consumer and never receives a gradient.
    return DistributedDataParallel(model, find_unused_parameters=True)


def rank_share(batch: torch.Tensor) -> torch.Tensor:
    """Return the rows of a whole step's batch that belong to this process."""
    size = len(batch) // world_size()
    return batch[rank() * size : (rank() + 1) * size]


def all_reduce_sum(values: Sequence[float]) -> list[float]:
    """Return element-wise sums over all processes. Collective: all processes must call it."""
    if world_size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(sums)
    return [float(value) for value in sums]


def broadcast(value: float) -> float:
    """Return the value of rank 0. Collective: all processes must call it."""
    return all_reduce_sum([value if rank() == 0 else 0.0])[0]


def barrier() -> None:
    """Wait for all processes."""
    all_reduce_sum([])
