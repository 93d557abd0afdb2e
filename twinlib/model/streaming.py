"""Block-wise inference: the output does not depend on the block size."""

from typing import Protocol

import numpy as np

from twinlib.audio import Signal
from twinlib.errors import ModelError
from twinlib.kernels import instruction_set
from twinlib.model.compiled import create_stream
from twinlib.model.twin import Twin


class Engine(Protocol):
    """What computes a stream: an object made from a twin and a channel count, with an independent state per channel.

    The initial state is zero in all layers.
    """

    def process(self, block: Signal) -> Signal:
        """Return the wet samples of the next dry block, with both gains of the twin applied.

        Both are float32 `(frames, channels)`. The dry block has any strides, may be read-only, and has at least one
        frame. Raises `ModelError` with the index of the first frame with NaN or Inf.
        """


class Stream:
    """Streaming inference with one independent state per channel.

    The initial state is the state after infinite silence: the output equals the network's output for the whole signal
    after `receptive_field - 1` zeros, within rounding. The output lags by the twin's `guard_samples`.
    """

    def __init__(self, twin: Twin, channels: int = 1, threads: int = 1) -> None:
        if channels < 1:
            raise ModelError(f"a stream needs at least 1 channel, got {channels}")
        self._engine, self._channels = create_engine(twin, channels, threads), channels
        self.process(np.zeros((twin.network.receptive_field - 1, channels), np.float32))

    def process(self, block: Signal) -> Signal:
        """Return the wet samples of the next dry block, float32 `(frames, channels)`, or `(frames,)` for one channel.

        Raises `ModelError` if the channel count differs or if a sample is NaN or Inf; the message gives its index.
        """
        if block.ndim == 1:
            return self.process(block[:, None])[:, 0]
        if block.shape[1:] != (self._channels,):
            raise ModelError(f"the stream has {self._channels} channels, but the block has shape {block.shape}")
        if not len(block):
            return np.zeros(block.shape, np.float32)
        if block.dtype != np.float32:
            # Values beyond the range of float32 become Inf.
            with np.errstate(over="ignore"):
                block = block.astype(np.float32)
        return self._engine.process(block)


def create_engine(twin: Twin, channels: int, threads: int = 1) -> Engine:
    """Return a new engine, the compiled kernels or else torch; raise `ModelError` if the weights do not fit.

    The compiled kernels compute up to `threads` channels at the same time.
    """
    if (instructions := instruction_set()) is not None:
        return create_stream(twin, channels, instructions, threads)
    # Imported here: importing torch takes seconds, and the compiled kernels do without.
    from twinlib.model.torch_stream import TorchStream

    return TorchStream(twin, channels)
