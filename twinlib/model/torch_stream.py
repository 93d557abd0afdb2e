"""The torch engine of `Stream`."""

import numpy as np
import torch
from torch import Tensor

from twinlib.audio import Signal
from twinlib.kernels import not_finite
from twinlib.model.twin import Twin
from twinlib.model.wavenet import build_network

CHUNK = 8192
"""Samples, over all channels, per pass through the network, so that its activations fit the cache."""


class TorchStream:
    """Streaming inference by torch, from zeros in all layers; see `streaming.Engine`."""

    def __init__(self, twin: Twin, channels: int) -> None:
        self._model, self._channels = build_network(twin), channels
        self._input_gain, self._output_gain = twin.input_gain, twin.output_gain
        self._filter = None
        if twin.linear_filter is not None:
            self._filter = torch.from_numpy(twin.linear_filter[::-1].copy())[None, None]
        self._history: dict[str, Tensor] = {}

    @torch.no_grad()
    def process(self, block: Signal) -> Signal:
        """Return the wet samples of the next dry block, `(frames, channels)`."""
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise not_finite(int(np.argmin(finite)))
        rows = torch.from_numpy(np.ascontiguousarray(block)).reshape(-1, 1)
        size = max(1, CHUNK // self._channels) * self._channels
        wet = torch.cat([self._forward(chunk) for chunk in torch.split(rows, size)])
        return wet.numpy().reshape(block.shape)

    def _forward(self, dry: Tensor) -> Tensor:
        wet = self._model.forward_stream(self._input_gain * dry, self._channels, self._with_history)
        wet = self._output_gain * wet
        return wet if self._filter is None else wet + self._filtered(dry, self._filter)

    def _filtered(self, dry: Tensor, kernel: Tensor) -> Tensor:
        """Return the output of the linear filter for interleaved rows `(T * channels, 1)`."""
        extended = self._with_history("linear", dry, (kernel.shape[2] - 1) * self._channels)
        channels = extended.reshape(-1, 1, self._channels).permute(2, 1, 0)
        return torch.conv1d(channels, kernel).permute(2, 1, 0).reshape(-1, 1)

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
