"""Losses on batches of crops, pooled: errors and energies are summed over the batch before they are divided.

All take a prediction and a target `(B, n)` of the same floating type and return a scalar without unit. A mean of ratios
would let the quietest crop decide (Wright, Damskägg and Välimäki, Applied Sciences 2020, 10, 766).
"""

from torch import Tensor

FLOOR = 1e-5
"""Least mean square that an error is divided by (-50 dB under the level that twins are trained at): silence."""


def esr(prediction: Tensor, target: Tensor) -> Tensor:
    """Error-to-signal ratio: the energy of the error over that of the target."""
    return (prediction - target).square().mean() / target.square().mean().clamp_min(FLOOR)


def emphasise(signal: Tensor, coefficient: float) -> Tensor:
    """Filter `(B, n)` by 1 - coefficient z^-1; returns `(B, n - 1)`, as the first sample has no predecessor."""
    return signal[:, 1:] - coefficient * signal[:, :-1]


def dc(prediction: Tensor, target: Tensor) -> Tensor:
    """The energy of the crops' mean errors over that of the target."""
    return (prediction - target).mean(dim=1).square().mean() / target.square().mean().clamp_min(FLOOR)


def combined(
    prediction: Tensor, target: Tensor, preemphasis: float, preemphasis_weight: float, dc_weight: float
) -> Tensor:
    """`esr`, plus weighted `esr` of the emphasised signals, plus weighted `dc`."""
    loss = esr(prediction, target)
    if preemphasis_weight:
        filtered = esr(emphasise(prediction, preemphasis), emphasise(target, preemphasis))
        loss = loss + preemphasis_weight * filtered
    if dc_weight:
        loss = loss + dc_weight * dc(prediction, target)
    return loss
