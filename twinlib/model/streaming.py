"""Playing a twin block by block: any block size gives the same samples."""

import numpy as np
import torch
from torch import Tensor

from twinlib.audio import Signal
from twinlib.errors import ModelError
from twinlib.model.twin import Twin

CHUNK = 8192
"""Samples, over all channels, that go through the network at once: its activations then stay in the cache."""


class Stream:
    """A twin that is being played, one independent signal a channel.

    It starts as if silence had come before: the output equals that of the whole signal after `receptive_field - 1`
    zeros, within rounding. The output is late by the twin's `guard_samples`.
    """

    def __init__(self, twin: Twin, channels: int = 1) -> None:
        if channels < 1:
            raise ModelError(f"a stream has at least 1 channel, not {channels}")
        self._model, self._channels = twin.build(), channels
        self._input_gain, self._output_gain = twin.input_gain, twin.output_gain
        self._history: dict[str, Tensor] = {}
        self.process(np.zeros((twin.network.receptive_field - 1, channels), np.float32))

    def process(self, block: Signal) -> Signal:
        """Wet samples of the next dry ones, float32 `(frames, channels)`, or `(frames,)` if there is one channel.

        Raises `ModelError` if the block has another number of channels, and names samples that are not finite.
        """
        shape = block.shape
        if shape[1:] != (self._channels,) and not (block.ndim == 1 and self._channels == 1):
            raise ModelError(f"the stream has {self._channels} channels, a block of shape {shape} came")
        if not np.isfinite(block).all():
            place = int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
            raise ModelError(f"sample {place} of the block is not a finite number: repair the recording")
        if not len(block):
            return np.zeros(shape, np.float32)
        rows = torch.from_numpy(np.ascontiguousarray(block, np.float32).reshape(-1, 1))
        size = max(1, CHUNK // self._channels) * self._channels
        with torch.no_grad():
            wet = torch.cat([self._play(part) for part in torch.split(rows, size)])
        return wet.numpy().reshape(shape)

    def _play(self, dry: Tensor) -> Tensor:
        return self._output_gain * self._model.play(self._input_gain * dry, self._channels, self._extend)

    def _extend(self, name: str, rows: Tensor, count: int) -> Tensor:
        if not count:
            return rows
        before = self._history.get(name)
        if before is None:
            before = rows.new_zeros(count, rows.shape[1])
        extended = torch.cat((before, rows))
        self._history[name] = extended[len(extended) - count :].clone()
        return extended
