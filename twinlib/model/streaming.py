"""Block-wise inference: the output does not depend on the block size."""

import numpy as np
import torch
from torch import Tensor

from twinlib.audio import Signal
from twinlib.errors import ModelError
from twinlib.model.twin import Twin

CHUNK = 8192
"""Samples, over all channels, per pass through the network, so that its activations fit the cache."""


class Stream:
    """Streaming inference with one independent state per channel.

    The initial state is the state after infinite silence: the output equals the network's output for the whole signal
    after `receptive_field - 1` zeros, within rounding. The output lags by the twin's `guard_samples`.
    """

    def __init__(self, twin: Twin, channels: int = 1) -> None:
        if channels < 1:
            raise ModelError(f"a stream needs at least 1 channel, got {channels}")
        self._model, self._channels = twin.build(), channels
        self._input_gain, self._output_gain = twin.input_gain, twin.output_gain
        self._history: dict[str, Tensor] = {}
        self.process(np.zeros((twin.network.receptive_field - 1, channels), np.float32))

    def process(self, block: Signal) -> Signal:
        """Return the wet samples of the next dry block, float32 `(frames, channels)`, or `(frames,)` for one channel.

        Raises `ModelError` if the channel count differs or if a sample is NaN or Inf; the message gives its index.
        """
        shape = block.shape
        if shape[1:] != (self._channels,) and not (block.ndim == 1 and self._channels == 1):
            raise ModelError(f"the stream has {self._channels} channels, but the block has shape {shape}")
        if not np.isfinite(block).all():
            sample = int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
            raise ModelError(f"sample {sample} of the block is not a finite number. Repair the recording")
        if not len(block):
            return np.zeros(shape, np.float32)
        dry = torch.from_numpy(np.ascontiguousarray(block, np.float32).reshape(-1, 1))
        size = max(1, CHUNK // self._channels) * self._channels
        with torch.no_grad():
            wet = torch.cat([self._forward(chunk) for chunk in torch.split(dry, size)])
        return wet.numpy().reshape(shape)

    def _forward(self, dry: Tensor) -> Tensor:
        wet = self._model.forward_stream(self._input_gain * dry, self._channels, self._with_history)
        return self._output_gain * wet

    def _with_history(self, name: str, rows: Tensor, count: int) -> Tensor:
        """Prepend the last `count` rows of the previous call; see `LeftContext`."""
        if not count:
            return rows
        history = self._history.get(name)
        if history is None:
            history = rows.new_zeros(count, rows.shape[1])
        extended = torch.cat((history, rows))
        self._history[name] = extended[len(extended) - count :].clone()
        return extended
