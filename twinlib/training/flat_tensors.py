"""Parameters of a network as views of one tensor, so that one operation updates all of them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def concatenate(tensors: Iterable[Tensor]) -> Tensor:
    """Return all values as a new tensor `(n,)`."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def flatten_parameters(parameters: list[nn.Parameter]) -> Tensor:
    """Make parameters views of a new tensor `(n,)`, in their order; return it."""
    flat = concatenate(parameters)
    for parameter, view in zip(parameters, split_like(flat, parameters), strict=True):
        parameter.data = view
    return flat


def split_like(flat: Tensor, tensors: list[nn.Parameter]) -> list[Tensor]:
    """Return views of `flat` in the shapes of the tensors, in their order."""
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
