"""Losses on batches of crops, pooled: errors and energies are summed over the batch before division.

All losses take a prediction and a target `(B, n)` of the same floating dtype and return a dimensionless scalar. A mean
of per-crop ratios would be dominated by the quietest crop (Wright, Damskägg and Välimäki, Applied Sciences 2020, 10,
766). `pool` is the batch whose energy is the denominator, by default the target. With several processes, pass the
targets of all of them, so that the mean of the losses over processes is the loss of the whole batch.
"""

import math

import torch
from torch import Tensor

from twinlib.training.settings import LONGEST_WINDOW

ENERGY_FLOOR = 1e-5
"""Smallest mean square in a denominator: -50 dB relative to the training level."""

WINDOWS = (LONGEST_WINDOW // 4, LONGEST_WINDOW // 2, LONGEST_WINDOW)
"""Hann window lengths of `mr_stft_loss` in samples; the hop is a quarter."""

ORDERS = 10
"""Harmonics of a sine in `harmonic_loss`, the fundamental included."""

HARMONIC_FLOOR = 1e-8
"""Smallest power of a harmonic relative to the fundamental: -80 dBc."""

MIN_PERIODS = 1.2
"""Periods of a sine per crop from which its harmonics can be separated; slower sines have no `harmonic_loss`."""


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


def harmonic_loss(prediction: Tensor, target: Tensor, wet: Tensor, frequency: Tensor) -> Tensor:
    """Return the mean of log(1 + error / power of the device) over the harmonics of steady sines, and of the rest.

    `frequency` `(B,)` holds the fundamentals in cycles per sample. `wet` `(B, n)` is the output of the device in the
    units of the target, from which the target may differ by a known signal. The error is projected onto constant and
    harmonics 1 to `ORDERS` below half the sample rate by least squares; the power of each harmonic has a floor of
    `HARMONIC_FLOOR`. The rest, such as aliases, is relative to that floor. The logarithm limits the gradient of
    harmonics that are far off.
    """
    basis, project, exists = _harmonic_projection(target.shape[1], frequency)
    error = prediction - target
    parts = torch.bmm(project, error[:, :, None])
    rest = error - torch.bmm(basis.transpose(1, 2), parts)[:, :, 0]
    with torch.no_grad():
        power = _harmonic_powers(torch.bmm(project, wet[:, :, None])[:, :, 0])
        floor = (HARMONIC_FLOOR * power[:, :1]).clamp_min(HARMONIC_FLOOR * ENERGY_FLOOR)
    harmonics = torch.log1p(_harmonic_powers(parts[:, :, 0]) / torch.maximum(power, floor))
    others = torch.log1p(2.0 * rest.square().mean(dim=1) / floor[:, 0])
    separable = frequency * target.shape[1] >= MIN_PERIODS
    return (((harmonics * exists).sum(dim=1) + others) * separable).mean() / ORDERS


def _harmonic_powers(parts: Tensor) -> Tensor:
    """Return the squared amplitudes `(B, ORDERS)` of parts `(B, 2 * ORDERS + 1)`: constant, cosines, sines."""
    return parts[:, 1 : ORDERS + 1].square() + parts[:, ORDERS + 1 :].square()


def _harmonic_projection(samples: int, frequency: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return basis `(B, 2 * ORDERS + 1, n)`, its pseudo-inverse, and which harmonics exist `(B, ORDERS)`, float32.

    Functions beyond half the sample rate are zero.
    """
    time = torch.arange(samples, dtype=torch.float64, device=frequency.device) - (samples - 1) / 2
    multiples = frequency.double()[:, None] * torch.arange(1, ORDERS + 1, device=frequency.device)
    exists = multiples < 0.5
    angle = 2.0 * math.pi * multiples[:, :, None] * time
    waves = torch.cat([angle.cos(), angle.sin()], dim=1) * exists.repeat(1, 2)[:, :, None]
    basis = torch.cat([torch.ones_like(waves[:, :1]), waves], dim=1)
    gram = torch.bmm(basis, basis.transpose(1, 2))
    # Functions that are zero or, below `MIN_PERIODS`, nearly dependent.
    gram.diagonal(dim1=1, dim2=2).add_(1e-6 * samples)
    return basis.float(), torch.linalg.solve(gram, basis).float(), exists


def _energy(pool: Tensor) -> Tensor:
    return pool.square().mean().clamp_min(ENERGY_FLOOR)


def _magnitudes(signal: Tensor, window: Tensor, floor: Tensor) -> Tensor:
    """Return magnitudes `(B, bins, frames)`, at least `floor`."""
    size = len(window)
    spectra = torch.stft(signal, size, size // 4, window=window, center=False, return_complex=True)
    power: Tensor = spectra.real.square() + spectra.imag.square()
    return power.clamp_min(floor.square().item()).sqrt()
