"""Speed of the compiled kernels: rendering and training steps, against peers with the same weights.

Peers of rendering: our torch engine, a plain PyTorch renderer (`conv1d` over pieces of 65,536 samples), ONNX Runtime on
our own export, Neural Amp Modeler's module, and NAM Core, the engine of its plug-in, in blocks of 64. Peers of training
(forward and backward pass of one batch): our torch engine and NAM's module. All run in turns with one thread; figures
are medians of CPU-seconds. The peak of fused multiply-adds of the core is measured in the same run.

`--nam` names an interpreter with neural-amp-modeler 0.13.0, and `--core` the program `render` of NeuralAmpModelerCore
(MODEL.nam INPUT.wav OUTPUT.wav), which this project does not build; without them these columns are missing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from torch.nn.functional import conv1d

from twinlib import audio
from twinlib.kernels import instruction_set
from twinlib.kernels.build import find_compiler
from twinlib.model import PRESETS, Stream, Twin, WaveNet, export_twin
from twinlib.model.torch_stream import TorchStream

RATE, SECONDS, PIECE = 48000, 10, 65536
RENDERED = ("small", "nam-standard", "nam-lite", "nam-a2", "medium")
TRAINED = {"small": (4, 1024), "nam-standard": (16, 8192), "nam-a2": (16, 8192), "damskagg-2019": (16, 8192)}

Task = Callable[[], float]
"""Does one round and returns its CPU-seconds."""


def fma_peak(folder: Path) -> float:
    """Return the peak of fused multiply-adds of this core in GFLOP per CPU-second."""
    compiler = find_compiler()
    assert compiler is not None, "the kernels need a compiler, and so does their benchmark"
    program = folder / "fma_peak"
    source = Path(__file__).with_name("fma_peak.cpp")
    subprocess.run([*compiler, "-O2", "-march=native", "-ffp-contract=fast", str(source), "-o", program], check=True)
    return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def plain_pytorch(model: WaveNet, x: torch.Tensor) -> torch.Tensor:
    """Return the output for `(1, T)` by `conv1d`, for networks of tanh layers with skips from the activations."""
    x, total = x[None], None
    signal = x
    for stack in model.stacks:
        signal = conv1d(signal, stack.rechannel[:, :, None])
        skips = []
        for layer, dilation in zip(stack.layers, stack.description.dilations, strict=True):
            z = conv1d(signal, layer.kernel, layer.bias, dilation=dilation)
            z = torch.tanh(z + conv1d(x[..., -z.shape[-1] :], layer.mix[:, :, None]))
            skips.append(z)
            signal = signal[..., -z.shape[-1] :] + conv1d(z, layer.residual[:, :, None], layer.residual_bias)
        length = skips[-1].shape[-1]
        total = sum(skip[..., -length:] for skip in skips) + (0 if total is None else total[..., -length:])
        total = conv1d(total, stack.head, stack.head_bias)
    return model.network.head_scale * total[0, 0]


class Exported:
    """The exported network in ONNX Runtime, one channel."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.states = json.loads(self.session.get_modelmeta().custom_metadata_map["states"])
        self.values = {name: np.zeros([1, *state["shape"][1:]], np.float32) for name, state in self.states.items()}

    def process(self, dry: np.ndarray) -> np.ndarray:
        names = ["wet", *(state["next"] for state in self.states.values())]
        found = dict(zip(names, self.session.run(names, {"dry": dry[None, None], **self.values}), strict=True))
        self.values = {name: found[state["next"]] for name, state in self.states.items()}
        return found["wet"]


@contextmanager
def nam_module(interpreter: str, path: Path) -> Iterator[Callable[[str], float]]:
    """Start NAM's module; yield a function that runs one task and returns its CPU-seconds."""
    command = [interpreter, str(Path(__file__).with_name("kernels_nam.py")), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(task: str) -> float:
            print(task, file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield ask
        process.stdin.close()


def rounds_of(tasks: dict[str, Task], rounds: int) -> dict[str, float]:
    """Run all tasks in turns, after a round for their caches; return the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for round_ in range(rounds + 1):
        for name, task in tasks.items():
            found = task()
            if round_:
                seconds[name].append(found)
    return {name: median(found) for name, found in seconds.items()}


class Rendering:
    """The ways to render one network; each method renders the whole signal and returns its CPU-seconds."""

    def __init__(self, name: str, folder: Path, nam: str | None, core: str | None) -> None:
        self.network, self.folder, self.core = PRESETS[name], folder, core
        self.dry = np.random.default_rng(0).uniform(-0.5, 0.5, SECONDS * RATE).astype(np.float32)
        torch.manual_seed(0)
        self.model = WaveNet(self.network).requires_grad_(False)
        self.twin = Twin(self.network, self.model.weights(), RATE, 0)
        self.silence = np.zeros((self.network.receptive_field - 1, 1), np.float32)
        self.nam, self.core_model = folder / f"{name}.07.nam", folder / f"{name}.nam"
        export_twin(self.twin, folder / f"{name}.onnx")
        export_twin(self.twin, self.core_model)
        export_twin(self.twin, self.nam, nam_version="0.7")
        self.exported = Exported(folder / f"{name}.onnx")
        self.outputs: dict[str, np.ndarray] = {}

    def tasks(self, ask: Callable[[str], float] | None) -> dict[str, Task]:
        tasks: dict[str, Task] = {f"kernels {size}": partial(self.stream, size) for size in (PIECE, 512, 64)}
        tasks |= {f"torch {size}": partial(self.torch, size) for size in (PIECE, 512)}
        tasks["onnxruntime"] = partial(self.blocks, self.exported.process, PIECE, "onnxruntime")
        if self.network.stacks[0].activation == "tanh":
            tasks["conv1d"] = self.conv1d
        if ask is not None:
            tasks["NAM module"] = partial(ask, f"render {len(self.dry)}")
        if self.core is not None:
            tasks["NAM Core 64"] = partial(self.nam_core, self.core)
        return tasks

    def blocks(self, process: Callable[[np.ndarray], np.ndarray], size: int, name: str) -> float:
        pieces = [self.dry[at : at + size] for at in range(0, len(self.dry), size)]
        clock = time.process_time()
        found = [process(piece) for piece in pieces]
        seconds = time.process_time() - clock
        self.outputs[name] = np.concatenate([piece.reshape(-1) for piece in found])
        return seconds

    def stream(self, size: int) -> float:
        return self.blocks(Stream(self.twin).process, size, f"kernels {size}")

    def torch(self, size: int) -> float:
        engine = TorchStream(self.twin, 1)
        engine.process(self.silence)
        return self.blocks(lambda piece: engine.process(piece[:, None]), size, f"torch {size}")

    def conv1d(self) -> float:
        padded = torch.from_numpy(np.concatenate([self.silence[:, 0], self.dry]))[None]
        context = len(self.silence)
        clock = time.process_time()
        for at in range(0, len(self.dry), PIECE):
            plain_pytorch(self.model, padded[:, at : at + PIECE + context])
        return time.process_time() - clock

    def nam_core(self, program: str) -> float:
        """Measure a long and a short file; the difference excludes the start of the program."""
        seconds = []
        for frames in (64, len(self.dry)):
            path = self.folder / f"{frames}.wav"
            with audio.Writer(path, RATE, 1, "FLOAT", frames) as writer:
                writer.write(self.dry[:frames, None])
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([program, self.core_model, path, self.folder / "core.wav"], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return seconds[1] - seconds[0]


def rendering(folder: Path, peak: float, rounds: int, nam: str | None, core: str | None) -> None:
    print(f"rendering, times real time ({SECONDS} s, one thread)")
    for name in RENDERED:
        setting = Rendering(name, folder, nam, core)
        with nam_module(nam, setting.nam) if nam else nullcontext() as ask:
            found = rounds_of(setting.tasks(ask), rounds)
        speed = {key: SECONDS / seconds for key, seconds in found.items()}
        ours, multiply_adds = speed[f"kernels {PIECE}"], setting.network.multiply_adds
        share = 2e-9 * multiply_adds * RATE * ours / peak
        print(f"{name}: {multiply_adds} multiply-adds a sample, {share:.0%} of the peak")
        for key, value in speed.items():
            print(f"  {key:>14} {value:7.1f}  kernels / this {ours / value:6.2f}")
        kernels, reference = setting.outputs[f"kernels {PIECE}"], setting.outputs[f"torch {PIECE}"]
        print(f"  difference of kernels and torch: {np.abs(kernels - reference).max() / np.abs(reference).max():.0e}")
        sys.stdout.flush()


def training(folder: Path, rounds: int, nam: str | None) -> None:
    print("training, thousand target samples per CPU-second (forward and backward pass)")
    for name, (batch, outputs) in TRAINED.items():
        network = PRESETS[name]
        torch.manual_seed(0)
        model = WaveNet(network)
        dry = torch.rand(batch, outputs + network.receptive_field - 1) - 0.5
        tasks: dict[str, Task] = {
            "kernels": partial(training_step, model, model, dry),
            "torch": partial(training_step, model, model.forward_torch, dry),
        }
        path = folder / "trained.nam"
        export_twin(Twin(network, model.weights(), RATE, 0), path, nam_version="0.7")
        with nam_module(nam, path) if nam else nullcontext() as ask:
            if ask is not None:
                tasks["NAM module"] = partial(ask, f"train {batch} {outputs}")
            found = rounds_of(tasks, rounds)
        print(f"{name}, {batch} x {outputs}:")
        for key, seconds in found.items():
            speed = batch * outputs / seconds / 1000
            print(f"  {key:>14} {speed:7.1f}  kernels / this {seconds / found['kernels']:6.2f}")
        sys.stdout.flush()


def training_step(model: WaveNet, forward: Callable[[torch.Tensor], torch.Tensor], dry: torch.Tensor) -> float:
    """Return the CPU-seconds of a forward and a backward pass."""
    clock = time.process_time()
    model.zero_grad()
    forward(dry).square().mean().backward()
    return time.process_time() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nam", help="interpreter with neural-amp-modeler 0.13.0")
    parser.add_argument("--core", help="the program `render` of NeuralAmpModelerCore")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peak = fma_peak(folder)
        print(f"kernels: {instruction_set()}; peak of multiply-adds: {peak:.0f} GFLOP per CPU-second")
        rendering(folder, peak, args.rounds, args.nam, args.core)
        training(folder, args.rounds, args.nam)


if __name__ == "__main__":
    main()
