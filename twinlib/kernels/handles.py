"""Objects of the compiled library: a model, its streams and its training steps, on numpy arrays and addresses.

A model is described by integers, see `describe` in `interface.cpp`. Addresses of parameters and gradients (float32,
contiguous, in the order of `network.h`) are passed as arrays of uint64; 0 is an absent one.
"""

import weakref

import numpy as np
from numpy.typing import NDArray

from twinlib.errors import ModelError
from twinlib.kernels.library import load_library

Addresses = NDArray[np.uint64]

BLOCK = 8192
"""Samples of the buffers of a stream, over all channels."""
THREADED = 4096
"""Samples of a block, over all channels, from which it is worth a thread for each channel."""


def _create(function: str, *arguments: object) -> int:
    handle = getattr(load_library(), function)(*arguments)
    if not handle:
        raise ModelError("not enough memory for this network. Use a smaller network, fewer channels or a smaller batch")
    return int(handle)


def not_finite(sample: int) -> ModelError:
    """Return the error of a block with NaN or Inf at an index."""
    return ModelError(f"sample {sample} of the block is not a finite number. Repair the recording")


class CompiledModel:
    """The packed weights of a network for one instruction set."""

    def __init__(self, description: NDArray[np.int64], head_scale: float, instructions: str) -> None:
        library = load_library()
        assert library is not None, "check instruction_set() first"
        self.library = library
        self.handle = _create("twin_model_create", instructions.encode(), description.ctypes.data, head_scale)
        weakref.finalize(self, library.twin_model_free, self.handle)

    def pack(self, parameters: Addresses) -> None:
        """Copy the weights; call it after each change."""
        self.library.twin_model_pack(self.handle, parameters.ctypes.data)


class CompiledStream:
    """Streaming inference with one state per channel; the initial state is zero.

    `filter` `(taps,)` is the impulse response of a filter in parallel to the network and both gains.
    """

    def __init__(
        self,
        model: CompiledModel,
        channels: int,
        input_gain: float,
        output_gain: float,
        threads: int,
        filter: NDArray[np.float32] | None = None,
    ) -> None:
        self._model, self._channels, self._threads = model, channels, threads
        self._gains = input_gain, output_gain
        # The library filters the dry signal after the input gain.
        response = np.asarray([] if filter is None else filter / np.float64(input_gain), np.float32)
        self._handle = _create("twin_stream_create", model.handle, channels, response.ctypes.data, len(response))
        weakref.finalize(self, model.library.twin_stream_free, self._handle)
        # Buffers at fixed addresses: to ask numpy for an address costs more than to copy a small block.
        self._frames = max(1, BLOCK // channels)
        self._dry = np.zeros((self._frames, channels), np.float32)
        self._wet = np.zeros_like(self._dry)
        self._addresses = self._dry.ctypes.data, self._wet.ctypes.data
        self._process = model.library.twin_stream_process

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the wet samples of a dry block `(frames, channels)`, float32.

        Raises `ModelError` with the index of the first frame with NaN or Inf.
        """
        frames = len(block)
        if frames <= self._frames:
            self._fill(block, 0)
            return self._wet[:frames].copy()
        wet = np.empty((frames, self._channels), np.float32)
        for at in range(0, frames, self._frames):
            piece = block[at : at + self._frames]
            self._fill(piece, at)
            wet[at : at + len(piece)] = self._wet[: len(piece)]
        return wet

    def _fill(self, block: NDArray[np.float32], at: int) -> None:
        """Process a block that fits the buffers; its first frame has index `at` in messages."""
        frames = len(block)
        self._dry[:frames] = block
        threads = self._threads if frames * self._channels >= THREADED else 1
        bad = self._process(self._handle, *self._addresses, frames, *self._gains, threads)
        if bad >= 0:
            raise not_finite(at + bad)


class CompiledTraining:
    """Forward and backward pass for batches of one shape; keeps the activations of the last forward pass."""

    def __init__(self, model: CompiledModel, batch: int, samples: int, parameter_sizes: NDArray[np.int64]) -> None:
        self._library = model.library
        self._model, self.shape = model, (batch, samples)
        self._handle = _create("twin_training_create", model.handle, batch, samples, parameter_sizes.ctypes.data)
        weakref.finalize(self, model.library.twin_training_free, self._handle)

    def forward(self, dry: int, wet: int, threads: int) -> None:
        """Compute wet `(B, T - receptive_field + 1)` of dry `(B, T)`, given by their addresses."""
        self._check(self._library.twin_training_forward(self._handle, dry, wet, threads))

    def backward(self, parameters: Addresses, wet_gradient: int, gradients: Addresses, threads: int) -> None:
        """Overwrite the gradients with those of the last forward pass, summed over the crops in their order."""
        self._check(
            self._library.twin_training_backward(
                self._handle, parameters.ctypes.data, wet_gradient, gradients.ctypes.data, threads
            )
        )

    def _check(self, failed: int) -> None:
        if failed:
            raise ModelError("not enough memory for this batch. Use a smaller batch or shorter crops")
