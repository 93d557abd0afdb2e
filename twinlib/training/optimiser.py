"""Muon for the hidden convolutions and AdamW for all other weights, as one optimiser with named state tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from twinlib.errors import TrainingError

BETAS = (0.9, 0.99)
"""Decay rates of AdamW's moments."""

MOMENTUM = 0.95
"""Muon's Nesterov momentum."""

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Coefficients of Muon's quintic Newton-Schulz iteration (Jordan et al. 2024)."""


def is_hidden_matrix(name: str) -> bool:
    """Whether a `WaveNet` parameter is a matrix between hidden channels, trained with Muon."""
    return name.endswith((".kernel", ".residual"))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return the nearest orthogonal matrices to `(n, rows, columns)`, with singular values in 0.7 to 1.2.

    Five Newton-Schulz iterations as in `torch.optim.Muon`, but batched and in the matrices' precision: measured 5 times
    faster than `torch.optim.Muon` on kernels of this library.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.transpose(1, 2)
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(5):
        gram = wide @ wide.transpose(1, 2)
        polynomial = torch.baddbmm(gram, gram, gram, beta=second, alpha=third)
        wide = torch.baddbmm(wide, polynomial, wide, beta=first)
    return wide if matrices.shape[1] <= matrices.shape[2] else wide.transpose(1, 2)


class Optimiser:
    """Muon and AdamW with one `step`; the rates are those before the schedule. There is no weight decay.

    Muon (Jordan et al. 2024) updates a matrix by the orthogonalised momentum of its gradient; a kernel
    `(out, in, taps)` is the matrix `(out, in * taps)`.
    """

    def __init__(self, model: nn.Module, muon: bool, muon_rate: float, adamw_rate: float) -> None:
        self._muon_rate, self._adamw_rate = muon_rate, adamw_rate
        named = dict(model.named_parameters())
        self._others = {name: weight for name, weight in named.items() if not (muon and is_hidden_matrix(name))}
        self._moments: dict[str, dict[str, Tensor]] = {}
        self._hidden = {name: weight for name, weight in named.items() if muon and is_hidden_matrix(name)}
        self._momenta = {name: torch.zeros_like(weight) for name, weight in self._hidden.items()}
        self._groups: dict[torch.Size, list[str]] = {}
        for name, weight in self._hidden.items():
            self._groups.setdefault(weight.shape, []).append(name)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update the weights that have a gradient, with both rates multiplied by `factor`."""
        self._step_adamw(self._adamw_rate * factor)
        for names in self._groups.values():
            trained = [name for name in names if self._hidden[name].grad is not None]
            if trained:
                self._step_muon(trained, self._muon_rate * factor)

    def _step_adamw(self, rate: float) -> None:
        # The functional form: the constructor of `torch.optim.AdamW` imports torch's compiler, 1.9 CPU-s per training.
        names = [name for name, weight in self._others.items() if weight.grad is not None]
        self._moments |= {name: self._zero_moments(name) for name in names if name not in self._moments}
        weights: list[Tensor] = [self._others[name] for name in names]
        moments = [self._moments[name] for name in names]
        adamw(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            [moment["exp_avg"] for moment in moments],
            [moment["exp_avg_sq"] for moment in moments],
            [],
            [moment["step"] for moment in moments],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def _zero_moments(self, name: str) -> dict[str, Tensor]:
        weight = self._others[name].detach()
        step = torch.zeros((), dtype=torch.float32, device=weight.device)
        return {"step": step, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}

    def _step_muon(self, names: list[str], rate: float) -> None:
        weights, nesterov = [self._hidden[name] for name in names], []
        for name, weight in zip(names, weights, strict=True):
            assert weight.grad is not None
            momentum = self._momenta[name].lerp_(weight.grad, 1 - MOMENTUM)
            nesterov.append(weight.grad.lerp(momentum, MOMENTUM))
        matrices = torch.stack(nesterov).flatten(2)
        rows, columns = matrices.shape[1:]
        updates = orthogonalise(matrices).reshape(len(names), *weights[0].shape)
        for weight, update in zip(weights, updates, strict=True):
            weight.add_(update, alpha=-rate * max(1.0, rows / columns) ** 0.5)

    def state(self) -> dict[str, Tensor]:
        """Return the state as tensors named `part/weight/quantity`."""
        state = {f"muon/{name}/mean": momentum for name, momentum in self._momenta.items()}
        for name, moments in self._moments.items():
            state |= {f"adamw/{name}/{key}": value for key, value in moments.items()}
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of `state()`; raise `TrainingError` if it belongs to another network."""
        for name, value in state.items():
            part, _, rest = name.partition("/")
            weight, _, key = rest.partition("/")
            if part == "muon" and weight in self._momenta and value.shape == self._momenta[weight].shape:
                self._momenta[weight].copy_(value)
                continue
            zeros = self._zero_moments(weight) if part == "adamw" and weight in self._others else {}
            if key not in zeros or value.shape != zeros[key].shape:
                raise TrainingError(f"unexpected optimiser state in the checkpoint: {name}. Delete the checkpoint")
            self._moments.setdefault(weight, zeros)[key].copy_(value)
