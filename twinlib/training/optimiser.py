"""Muon for the hidden convolutions and AdamW for the rest, as one optimiser whose state is named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from twinlib.errors import TrainingError

BETAS = (0.9, 0.99)
"""How slowly AdamW forgets gradients and their squares."""

MOMENTUM = 0.95
"""Muon's momentum (Nesterov's form)."""

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""The quintic of Muon's Newton-Schulz iteration (Jordan et al. 2024)."""


def is_hidden(name: str) -> bool:
    """Whether a weight of `WaveNet` is a matrix between hidden channels: what Muon is for."""
    return name.endswith((".kernel", ".residual"))


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices to `(n, rows, columns)`, roughly: singular values come to lie in 0.7 to 1.2.

    Five Newton-Schulz iterations as in `torch.optim.Muon`, for all matrices at once and in their own precision: for
    ours that takes a fifth of its time.
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
    """One step of both; the rates are those before the schedule.

    Muon (Jordan et al. 2024) moves a matrix by the nearest orthogonal one to the mean of its gradients; kernels
    `(out, in, taps)` count as `(out, in * taps)`. Weights do not decay.
    """

    def __init__(self, model: nn.Module, muon: bool, muon_rate: float, adamw_rate: float) -> None:
        self._muon_rate, self._adamw_rate = muon_rate, adamw_rate
        named = dict(model.named_parameters())
        self._rest = {name: weight for name, weight in named.items() if not (muon and is_hidden(name))}
        self._moments: dict[str, dict[str, Tensor]] = {}
        self._hidden = {name: weight for name, weight in named.items() if muon and is_hidden(name)}
        self._means = {name: torch.zeros_like(weight) for name, weight in self._hidden.items()}
        self._groups: dict[torch.Size, list[str]] = {}
        for name, weight in self._hidden.items():
            self._groups.setdefault(weight.shape, []).append(name)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Move the weights by their gradients, with the rates multiplied by `factor`; no gradient, no move."""
        self._step_rest(self._adamw_rate * factor)
        for names in self._groups.values():
            moving = [name for name in names if self._hidden[name].grad is not None]
            if moving:
                self._step_hidden(moving, self._muon_rate * factor)

    def _step_rest(self, rate: float) -> None:
        # torch's AdamW as a function: the constructor of the class loads the compiler, which takes as long as torch.
        names = [name for name, weight in self._rest.items() if weight.grad is not None]
        self._moments |= {name: self._first_moments(name) for name in names if name not in self._moments}
        moving: list[Tensor] = [self._rest[name] for name in names]
        moments = [self._moments[name] for name in names]
        adamw(
            moving,
            [weight.grad for weight in moving if weight.grad is not None],
            [one["exp_avg"] for one in moments],
            [one["exp_avg_sq"] for one in moments],
            [],
            [one["step"] for one in moments],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def _first_moments(self, name: str) -> dict[str, Tensor]:
        weight = self._rest[name].detach()
        step = torch.zeros((), dtype=torch.float32, device=weight.device)
        return {"step": step, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}

    def _step_hidden(self, names: list[str], rate: float) -> None:
        weights: list[Tensor] = [self._hidden[name] for name in names]
        means = [self._means[name] for name in names]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        torch._foreach_lerp_(means, gradients, 1 - MOMENTUM)
        ahead = torch.stack(torch._foreach_lerp(gradients, means, MOMENTUM)).flatten(2)
        rows, columns = ahead.shape[1:]
        moves = orthogonalised(ahead).reshape(len(names), *weights[0].shape)
        torch._foreach_add_(weights, list(moves), alpha=-rate * max(1.0, rows / columns) ** 0.5)

    def state(self) -> dict[str, Tensor]:
        """The state as tensors named `part/weight/quantity`."""
        state = {f"muon/{name}/mean": mean for name, mean in self._means.items()}
        for name, moments in self._moments.items():
            state |= {f"adamw/{name}/{key}": value for key, value in moments.items()}
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the state that `state()` gave; raises `TrainingError` if it belongs to another network."""
        for name, value in state.items():
            part, _, rest = name.partition("/")
            weight, _, key = rest.partition("/")
            if part == "muon" and weight in self._means and value.shape == self._means[weight].shape:
                self._means[weight].copy_(value)
                continue
            first = self._first_moments(weight) if part == "adamw" and weight in self._rest else {}
            if key not in first or value.shape != first[key].shape:
                raise TrainingError(f"The checkpoint holds {name}, which this training has not: delete the checkpoint")
            self._moments.setdefault(weight, first)[key].copy_(value)
