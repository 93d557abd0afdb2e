"""The compiled kernels as a torch function: inference, and training with gradients of all weights."""

from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from twinlib.kernels import Addresses, CompiledModel, CompiledStream, CompiledTraining, instruction_set
from twinlib.model.architecture import Network
from twinlib.model.compiled import compile_network, kernel_parameters


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: "CompiledForward", x: Tensor, *parameters: Tensor) -> Tensor:
        training = kernels.take_training(x, parameters)
        wet = torch.empty(len(x), x.shape[1] - kernels.network.receptive_field + 1)
        training.forward(x.data_ptr(), wet.data_ptr(), torch.get_num_threads())
        ctx.kernels, ctx.training = kernels, training
        ctx.save_for_backward(*parameters)
        return wet

    @staticmethod
    def backward(ctx: Any, *wet_gradients: Tensor) -> tuple[Tensor | None, ...]:
        kernels, training = ctx.kernels, ctx.training
        if training is None:
            raise RuntimeError("the activations of a forward pass serve one backward pass")
        ctx.training = None
        gradients = [torch.empty_like(parameter) for parameter in ctx.saved_tensors]
        training.backward(
            kernels.addresses(ctx.saved_tensors),
            wet_gradients[0].contiguous().data_ptr(),
            kernels.addresses(gradients),
            torch.get_num_threads(),
        )
        kernels.give_back(training)
        return None, None, *gradients


class CompiledForward:
    """The forward pass of one module by the compiled kernels; a copy of the module gets kernels of its own."""

    def __init__(self, network: Network, dry_delay: int, names: Sequence[str]) -> None:
        """`names` are those of the parameters, in the order in which they are passed later."""
        self.network = network
        self._dry_delay, self._names = dry_delay, tuple(names)
        order = kernel_parameters(network)
        self._positions = [order.index(name) for name in names]
        self._count = len(order)
        self._model: CompiledModel | None = None
        self._free: list[CompiledTraining] = []
        self.instructions = instruction_set()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self.network, self._dry_delay, self._names)

    def __reduce__(self) -> tuple[type[Self], tuple[Network, int, Sequence[str]]]:
        return type(self), (self.network, self._dry_delay, self._names)

    def supports(self, x: Tensor) -> bool:
        """Whether the kernels can compute this input: float32 on the CPU, without a gradient of its own."""
        delay_fits = not self.network.dry_path or self._dry_delay < self.network.receptive_field
        on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
        long_enough = x.shape[1] >= self.network.receptive_field
        return self.instructions is not None and delay_fits and on_cpu and long_enough and not x.requires_grad

    def __call__(self, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return wet samples `(B, T - receptive_field + 1)` of dry samples `(B, T)`."""
        x = x.contiguous()
        if self._model is None:
            assert self.instructions is not None
            self._model = compile_network(self.network, self._dry_delay, self.instructions)
        # The weights may have changed since the last call; packing takes 2 % of a training step.
        self._model.pack(self.addresses(parameters))
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return cast(Tensor, _Function.apply(self, x, *parameters))  # type: ignore[no-untyped-call]
        context = self.network.receptive_field - 1
        rows = [CompiledStream(self._model, 1, 1.0, 1.0, 1).process(row[:, None])[context:, 0] for row in x.numpy()]
        return torch.from_numpy(np.stack(rows))

    def addresses(self, tensors: Sequence[Tensor]) -> Addresses:
        """Return the addresses of tensors, one for each name, in the order of the kernels."""
        result = np.zeros(self._count, np.uint64)
        result[self._positions] = [tensor.data_ptr() for tensor in tensors]
        return result

    def take_training(self, x: Tensor, parameters: Sequence[Tensor]) -> CompiledTraining:
        """Return memory for the activations of a batch, from an earlier step if it has the same shape."""
        if self._free and self._free[-1].shape == x.shape:
            return self._free.pop()
        self._free.clear()
        assert self._model is not None
        sizes = np.zeros(self._count, np.int64)
        sizes[self._positions] = [parameter.numel() for parameter in parameters]
        return CompiledTraining(self._model, len(x), x.shape[1], sizes)

    def give_back(self, training: CompiledTraining) -> None:
        """Return the memory after the backward pass."""
        self._free.append(training)
