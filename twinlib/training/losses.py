"""Losses on batches of crops, pooled: errors and energies are summed over the batch before they are divided.

All take a prediction and a target `(B, n)` of the same floating type and return a scalar without unit. A mean of ratios
would let the quietest crop decide (Wright, Damskägg and Välimäki, Applied Sciences 2020, 10, 766). `pool` is the batch
whose energy errors are divided by, the target itself unless several processes share a step: then it is the targets of
all, and the mean of the processes' losses is the loss of the whole batch.
"""

import torch
from torch import Tensor

from twinlib.training.settings import LONGEST_WINDOW

FLOOR = 1e-5
"""Least mean square that an error is divided by (-50 dB under the level that twins are trained at): silence."""

WINDOWS = (LONGEST_WINDOW // 4, LONGEST_WINDOW // 2, LONGEST_WINDOW)
"""Lengths in samples of the Hann windows of `spectral`; they overlap by three quarters."""


def esr(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """Error-to-signal ratio: the energy of the error over that of the target."""
    return (prediction - target).square().mean() / _energy(target if pool is None else pool)


def emphasise(signal: Tensor, coefficient: float) -> Tensor:
    """Filter `(B, n)` by 1 - coefficient z^-1; returns `(B, n - 1)`, as the first sample has no predecessor."""
    return signal[:, 1:] - coefficient * signal[:, :-1]


def dc(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """The energy of the crops' mean errors over that of the target."""
    return (prediction - target).mean(dim=1).square().mean() / _energy(target if pool is None else pool)


def combined(
    prediction: Tensor,
    target: Tensor,
    preemphasis: float,
    preemphasis_weight: float,
    dc_weight: float,
    pool: Tensor | None = None,
) -> Tensor:
    """`esr`, plus weighted `esr` of the emphasised signals, plus weighted `dc`."""
    pool = target if pool is None else pool
    # The filter is linear: the error is emphasised once instead of both signals.
    error, energy = prediction - target, _energy(pool)
    loss = error.square().mean() / energy
    if preemphasis_weight:
        filtered = emphasise(error, preemphasis).square().mean() / _energy(emphasise(pool, preemphasis))
        loss = loss + preemphasis_weight * filtered
    if dc_weight:
        loss = loss + dc_weight * error.mean(dim=1).square().mean() / energy
    return loss


def spectral(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """Multi-resolution STFT loss: spectral convergence plus the distance of log magnitudes, mean over `WINDOWS`.

    Yamamoto, Song and Kim, ICASSP 2020 (Parallel WaveGAN), equations 4 to 6, for each crop; but the spectral
    convergence of a crop is divided by the root of the mean energy of all spectra, so that quiet crops do not decide.
    Magnitudes below those of noise of the mean square `FLOOR` count as that. Crops are at least as long as the longest
    window.
    """
    pool = target if pool is None else pool
    loss = prediction.new_zeros(())
    for size in WINDOWS:
        window = torch.hann_window(size, dtype=prediction.dtype, device=prediction.device)
        floor = (FLOOR * window.square().sum()).sqrt()
        found, wanted, whole = (_magnitudes(part, window, floor) for part in (prediction, target, pool))
        scale = whole.square().sum(dim=(1, 2)).mean().sqrt()
        # The norm of a difference of exactly zero has no gradient.
        distance = ((found - wanted).square().sum(dim=(1, 2)) + (1e-6 * scale).square()).sqrt()
        loss = loss + distance.mean() / scale + (found.log() - wanted.log()).abs().mean()
    return loss / len(WINDOWS)


def _energy(pool: Tensor) -> Tensor:
    return pool.square().mean().clamp_min(FLOOR)


def _magnitudes(signal: Tensor, window: Tensor, floor: Tensor) -> Tensor:
    """Magnitudes `(B, bins, frames)`, at least `floor`."""
    size = len(window)
    spectra = torch.stft(signal, size, size // 4, window=window, center=False, return_complex=True)
    power: Tensor = spectra.real.square() + spectra.imag.square()
    return power.clamp_min(floor.square().item()).sqrt()
