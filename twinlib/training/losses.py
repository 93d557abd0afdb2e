"""Losses on batches of crops, pooled: errors and energies are summed over the batch before division.

All losses take a prediction and a target `(B, n)` of the same floating dtype and return a dimensionless scalar. A mean
of per-crop ratios would be dominated by the quietest crop (Wright, Damskägg and Välimäki, Applied Sciences 2020, 10,
766). `pool` is the batch whose energy is the denominator, by default the target. With several processes, pass the
targets of all of them, so that the mean of the losses over processes is the loss of the whole batch.
"""

import torch
from torch import Tensor

from twinlib.training.settings import LONGEST_WINDOW

ENERGY_FLOOR = 1e-5
"""Smallest mean square in a denominator: -50 dB relative to the training level."""

WINDOWS = (LONGEST_WINDOW // 4, LONGEST_WINDOW // 2, LONGEST_WINDOW)
"""Hann window lengths of `mr_stft_loss` in samples; the hop is a quarter."""


def esr(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """Return the error-to-signal ratio: error energy over target energy."""
    return (prediction - target).square().mean() / _energy(target if pool is None else pool)


def pre_emphasise(signal: Tensor, coefficient: float) -> Tensor:
    """Filter `(B, n)` with 1 - coefficient z^-1; return `(B, n - 1)`, valid samples only."""
    return signal[:, 1:] - coefficient * signal[:, :-1]


def dc_error(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """Return the energy of the mean error per crop over target energy."""
    return (prediction - target).mean(dim=1).square().mean() / _energy(target if pool is None else pool)


def training_loss(
    prediction: Tensor,
    target: Tensor,
    preemphasis: float,
    preemphasis_weight: float,
    dc_weight: float,
    pool: Tensor | None = None,
) -> Tensor:
    """Return `esr` plus weighted `esr` of the pre-emphasised signals plus weighted `dc_error`."""
    pool = target if pool is None else pool
    # The filter is linear: filter the error once instead of both signals.
    error, energy = prediction - target, _energy(pool)
    loss = error.square().mean() / energy
    if preemphasis_weight:
        filtered = pre_emphasise(error, preemphasis).square().mean() / _energy(pre_emphasise(pool, preemphasis))
        loss = loss + preemphasis_weight * filtered
    if dc_weight:
        loss = loss + dc_weight * error.mean(dim=1).square().mean() / energy
    return loss


def mr_stft_loss(prediction: Tensor, target: Tensor, pool: Tensor | None = None) -> Tensor:
    """Return the multi-resolution STFT loss: spectral convergence plus log-magnitude distance, mean over `WINDOWS`.

    Yamamoto, Song and Kim, ICASSP 2020 (Parallel WaveGAN), equations 4 to 6, per crop, with two deviations: the
    denominator of the spectral convergence is the root mean energy of all spectra, so that quiet crops do not dominate,
    and magnitudes are limited to those of noise at `ENERGY_FLOOR`. Crops must be at least as long as the longest
    window.
    """
    pool = target if pool is None else pool
    loss = prediction.new_zeros(())
    for size in WINDOWS:
        window = torch.hann_window(size, dtype=prediction.dtype, device=prediction.device)
        floor = (ENERGY_FLOOR * window.square().sum()).sqrt()
        predicted, wanted, pooled = (_magnitudes(signal, window, floor) for signal in (prediction, target, pool))
        scale = pooled.square().sum(dim=(1, 2)).mean().sqrt()
        # The norm has no gradient at exactly zero.
        distance = ((predicted - wanted).square().sum(dim=(1, 2)) + (1e-6 * scale).square()).sqrt()
        loss = loss + distance.mean() / scale + (predicted.log() - wanted.log()).abs().mean()
    return loss / len(WINDOWS)


def _energy(pool: Tensor) -> Tensor:
    return pool.square().mean().clamp_min(ENERGY_FLOOR)


def _magnitudes(signal: Tensor, window: Tensor, floor: Tensor) -> Tensor:
    """Return magnitudes `(B, bins, frames)`, at least `floor`."""
    size = len(window)
    spectra = torch.stft(signal, size, size // 4, window=window, center=False, return_complex=True)
    power: Tensor = spectra.real.square() + spectra.imag.square()
    return power.clamp_min(floor.square().item()).sqrt()
