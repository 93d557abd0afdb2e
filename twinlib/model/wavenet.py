"""The WaveNet as a torch module: convolutions without padding, as matrix products on shifted views.

Signals inside are `(rows, channels)` with the batch interleaved in time: row `t * width + b` is sample `t` of example
`b`. A dilation of `d` samples is then a shift of `d * width` rows, every tap is one product of two matrices that lie
contiguous in memory, and the same code trains batches and streams channels. On one CPU thread a training step takes
about 0.6 of the time of `conv1d`.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from twinlib.model.architecture import ActivationName, Network, Stack

Extend = Callable[[str, Tensor, int], Tensor]
"""Given the name of a convolution, its input and the rows it looks back, its input with these rows before it."""

SLOPE = 10.0
"""The fixed factor n of adaptive activations, n * a."""


class _Convolution(torch.autograd.Function):
    """Rows `(n, in)`, a kernel `(out, in, taps)` with taps `shift` rows apart, and rows `(m, out)` that it is added to.

    Returns the sum, and the last `m` rows of the input: handing them on from here spares the backward pass a copy.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, start: Tensor, shift: int) -> tuple[Tensor, Tensor]:
        taps = kernel.permute(2, 1, 0).contiguous()
        rows = len(start)
        for tap in range(len(taps)):
            start.addmm_(x[tap * shift : tap * shift + rows], taps[tap])
        ctx.mark_dirty(start)
        ctx.save_for_backward(x, taps)
        ctx.shift = shift
        return start, x[len(x) - rows :]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        gradient, of_tail = gradients[0].contiguous(), gradients[1]
        x, taps = ctx.saved_tensors
        shift, rows, last = ctx.shift, len(gradient), len(taps) - 1
        of_taps = torch.empty_like(taps)
        for tap in range(len(taps)):
            torch.mm(x[tap * shift : tap * shift + rows].t(), gradient, out=of_taps[tap])
        of_x = torch.empty_like(x)
        of_x[: last * shift].zero_()
        torch.addmm(of_tail, gradient, taps[last].t(), out=of_x[last * shift :])
        for tap in range(last):
            of_x[tap * shift : tap * shift + rows].addmm_(gradient, taps[tap].t())
        return of_x, of_taps.permute(2, 1, 0), gradient, None


def convolve(x: Tensor, kernel: Tensor, start: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """Add the convolution of rows `(n, in)` with `(out, in, taps)`, tap 0 the oldest, to `start`, in place.

    `start` is `(n - (taps - 1) * shift, out)`. Returns it, and as many last rows of the input.
    """
    return cast(tuple[Tensor, Tensor], _Convolution.apply(x, kernel, start, shift))  # type: ignore[no-untyped-call]


def activate(name: ActivationName, z: Tensor, slopes: Tensor | None) -> Tensor:
    """The nonlinearity on rows `(n, channels)`, or `(n, 2 * channels)` of gated ones; may overwrite `z`."""
    match name:
        case "tanh":
            return z.tanh_()
        case "relu":
            return z.relu_()
        case "leaky_relu":
            return nn.functional.leaky_relu_(z, 0.01)
        case _:
            signal, gate = z.chunk(2, dim=1)
            if slopes is not None:
                signal, gate = SLOPE * slopes[0] * signal, SLOPE * slopes[1] * gate
            return torch.tanh(signal) * torch.sigmoid(gate)


class _Layer(nn.Module):
    """The weights of one layer, in the shapes of a `.nam` file."""

    def __init__(self, stack: Stack, index: int, mix: bool, skips: int) -> None:
        super().__init__()
        width, rows = stack.channels, stack.rows
        self.kernel = nn.Parameter(torch.empty(rows, width, stack.kernel_sizes[index]))
        self.bias = nn.Parameter(torch.empty(rows))
        self.mix = nn.Parameter(torch.empty(rows, 1)) if mix else None
        self.slopes = nn.Parameter(torch.full((2,), 1 / SLOPE)) if stack.activation == "adaptive" else None
        self.residual = nn.Parameter(torch.empty(width, width))
        self.residual_bias = nn.Parameter(torch.empty(width))
        self.skip = nn.Parameter(torch.empty(skips, width)) if skips else None


class _Stack(nn.Module):
    """The weights of one stack."""

    def __init__(self, network: Network, index: int) -> None:
        super().__init__()
        stack, heads = network.stacks[index], network.head_channels(index)
        mixed = network.skip == "mixed"
        self.description = stack
        self.rechannel = nn.Parameter(torch.empty(stack.channels, network.input_channels(index)))
        self.layers = nn.ModuleList(
            _Layer(stack, layer, network.input_mix, heads if mixed else 0) for layer in range(len(stack.dilations))
        )
        kernel = torch.empty(heads, stack.channels, stack.head_kernel_size)
        self.head = None if mixed else nn.Parameter(kernel)
        self.head_bias = nn.Parameter(torch.empty(heads)) if index + 1 == len(network.stacks) else None


class WaveNet(nn.Module):
    """The network of a description; weights come from the seed alone.

    Every weight is drawn from U(-b, b) with b = 1 / sqrt(fan in), as torch does for convolutions. `dry_delay` is the
    delay of the dry path in samples: the guard by which the targets are late.
    """

    def __init__(self, network: Network, seed: int = 0, dry_delay: int = 0) -> None:
        super().__init__()
        self.network, self.dry_delay = network, dry_delay
        self.stacks = nn.ModuleList(_Stack(network, index) for index in range(len(network.stacks)))
        generator = torch.Generator().manual_seed(seed)
        fan_in = 1
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("slopes"):
                    continue
                if parameter.ndim > 1:
                    fan_in = parameter[0].numel()
                bound = 1 / math.sqrt(fan_in)
                parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Wet samples `(B, T - receptive_field + 1)` of dry samples `(B, T)`: the last of each has full context."""
        width = x.shape[0]
        rows = self.play(x.t().reshape(-1, 1), width, lambda name, rows, count: rows)
        return rows.reshape(-1, width).t()

    def play(self, dry: Tensor, width: int, extend: Extend) -> Tensor:
        """Run interleaved rows `(T * width, 1)` through the network; `extend` gives each convolution its history."""
        signal, total = dry, None
        for index, stack in enumerate(self.stacks):
            signal, total = self._play_stack(cast(_Stack, stack), f"{index}", signal, total, dry, width, extend)
        assert total is not None
        wet = self.network.head_scale * total
        if self.network.dry_path:
            late = extend("dry", dry, self.dry_delay * width)
            stop = len(late) - self.dry_delay * width
            wet = wet + late[stop - len(wet) : stop]
        return wet

    def _play_stack(
        self,
        stack: _Stack,
        name: str,
        signal: Tensor,
        total: Tensor | None,
        dry: Tensor,
        width: int,
        extend: Extend,
    ) -> tuple[Tensor, Tensor]:
        description, skips = stack.description, [] if total is None else [total]
        for index, module in enumerate(stack.layers):
            layer, shift = cast(_Layer, module), description.dilations[index] * width
            look_back = (description.kernel_sizes[index] - 1) * shift
            if index or stack.rechannel.shape[1] > 1:
                if not index:
                    signal = torch.mm(signal, stack.rechannel.t())
                before = extend(f"{name}.{index}", signal, look_back)
                start = self._start(layer, dry, len(before) - look_back)
                z, signal = convolve(before, layer.kernel, start, shift)
            else:
                # One channel comes in: convolving it with the product of both kernels is cheaper by its width.
                before = extend(f"{name}.0", signal, look_back)
                rows = len(before) - look_back
                windows = torch.cat([before[at : at + rows] for at in range(0, look_back + 1, shift)], dim=1)
                kernel = torch.matmul(layer.kernel.transpose(1, 2), stack.rechannel).squeeze(2)
                z = torch.addmm(self._start(layer, dry, rows), windows, kernel.t())
                signal = torch.mm(before[look_back:], stack.rechannel.t())
            active = activate(description.activation, z, layer.slopes)
            match self.network.skip:
                case "activation":
                    skips.append(active)
                case "residual":
                    skips.append(torch.addmm(layer.residual_bias, active, layer.residual.t()))
                case "mixed":
                    assert layer.skip is not None
                    skips.append(torch.mm(active, layer.skip.t()))
            if stack.head_bias is not None and index + 1 == len(stack.layers):
                # Nothing comes after the last layer of the last stack: its residual path leads nowhere.
                break
            if self.network.skip == "residual":
                signal = signal + skips[-1]
            else:
                signal = signal + torch.addmm(layer.residual_bias, active, layer.residual.t())
        rows = len(skips[-1])
        total = skips[0][-rows:]
        for skip in skips[1:]:
            total = total + skip[-rows:]
        if stack.head is not None:
            look_back = (description.head_kernel_size - 1) * width
            before = extend(f"{name}.head", total, look_back)
            zeros = before.new_zeros(len(before) - look_back, len(stack.head))
            total, _ = convolve(before, stack.head, zeros, width)
        return signal, total if stack.head_bias is None else total + stack.head_bias

    def _start(self, layer: _Layer, dry: Tensor, rows: int) -> Tensor:
        """What a layer's nonlinearity gets beside the convolution: the bias and the input mix, `(rows, channels)`."""
        if layer.mix is None:
            return layer.bias.repeat(rows, 1)
        return torch.addmm(layer.bias, dry[len(dry) - rows :], layer.mix.t())
