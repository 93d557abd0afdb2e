import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import stft

from twinlib.training.losses import (
    ENERGY_FLOOR,
    MIN_PERIODS,
    ORDERS,
    WINDOWS,
    dc_error,
    esr,
    harmonic_loss,
    mr_stft_loss,
    pre_emphasise,
    training_loss,
)

PREDICTION = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 4.0]], dtype=torch.float64)


def test_esr_by_hand():
    assert esr(PREDICTION, TARGET).item() == pytest.approx((1 + 4 + 16) / (3 + 16))


def test_emphasis_by_hand():
    assert pre_emphasise(PREDICTION, 0.5).tolist() == [[1.5, 2.0], [0.0, 0.0]]


def test_dc_by_hand():
    means = (3 / 3) ** 2, (-4 / 3) ** 2
    assert dc_error(PREDICTION, TARGET).item() == pytest.approx(sum(means) / 2 / (19 / 6))


def test_training_loss_by_hand():
    filtered = esr(pre_emphasise(PREDICTION, 0.85), pre_emphasise(TARGET, 0.85))
    wanted = esr(PREDICTION, TARGET) + 0.5 * filtered + 0.05 * dc_error(PREDICTION, TARGET)
    assert training_loss(PREDICTION, TARGET, 0.85, 0.5, 0.05).item() == pytest.approx(wanted.item())
    assert training_loss(PREDICTION, TARGET, 0.85, 0, 0) == esr(PREDICTION, TARGET)


def test_esr_is_pooled_instead_of_a_mean_of_ratios():
    quiet, loud = torch.full((1, 8), 0.01), torch.full((1, 8), 1.0)
    both = esr(torch.cat([2 * quiet, loud]), torch.cat([quiet, loud]))
    assert both.item() == pytest.approx(0.01**2 / (1 + 0.01**2), rel=1e-4)


@settings(deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_losses_do_not_depend_on_the_level(level, seed):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.randn(2, 3, 20, generator=generator, dtype=torch.float64)
    wanted = training_loss(prediction, target, 0.85, 0.5, 0.05)
    torch.testing.assert_close(training_loss(level * prediction, level * target, 0.85, 0.5, 0.05), wanted)


def test_silent_target_gives_a_finite_loss():
    found = training_loss(torch.full((2, 9), 0.1), torch.zeros(2, 9), 0.85, 0.5, 0.05)
    assert torch.isfinite(found)
    assert esr(torch.full((2, 9), 0.1), torch.zeros(2, 9)).item() == pytest.approx(0.01 / ENERGY_FLOOR)


def test_perfect_prediction_has_zero_loss():
    assert training_loss(TARGET, TARGET, 0.85, 0.5, 0.05) == 0


def noise(seed: int, batch: int = 3, frames: int = 1024) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = torch.tensor([1.0, 0.1, 0.001], dtype=torch.float64)[:batch, None]
    return level * torch.randn(batch, frames, generator=generator, dtype=torch.float64)


def test_mr_stft_loss_matches_scipy():
    prediction, target = noise(1).numpy(), noise(2).numpy()
    losses = []
    for size in WINDOWS:
        window = np.hanning(size + 1)[:-1]
        options = {"window": window, "nperseg": size, "noverlap": size - size // 4, "boundary": None, "padded": False}
        floor = np.sqrt(ENERGY_FLOOR * np.sum(window**2))
        found, wanted = (np.maximum(np.abs(stft(x, **options)[2]) * window.sum(), floor) for x in (prediction, target))
        distances = np.sqrt(np.sum((found - wanted) ** 2, axis=(1, 2)))
        convergence = distances.mean() / np.sqrt(np.sum(wanted**2, axis=(1, 2)).mean())
        losses.append(convergence + np.abs(np.log(found) - np.log(wanted)).mean())
    assert mr_stft_loss(torch.tensor(prediction), torch.tensor(target)).item() == pytest.approx(
        np.mean(losses), rel=1e-6
    )


def test_mr_stft_loss_of_equal_signals_is_zero_with_finite_gradient():
    target = noise(3)
    prediction = target.clone().requires_grad_()
    loss = mr_stft_loss(prediction, target)
    loss.backward()
    assert loss.item() < 1e-5
    assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("loss", [mr_stft_loss, lambda *three: training_loss(*three[:2], 0.85, 0.5, 0.05, three[2])])
def test_mean_over_processes_is_the_loss_of_the_whole_batch(loss):
    prediction, target = noise(4, 2), noise(5, 2)
    parts = [loss(prediction[[k]], target[[k]], target) for k in range(2)]
    torch.testing.assert_close(sum(parts) / 2, loss(prediction, target, target))


def sines(frequency: torch.Tensor, amplitudes: dict[int, float], size: int = 1024) -> torch.Tensor:
    """Return harmonics `(B, size)` with a phase of their own each."""
    time = torch.arange(size, dtype=torch.float64)
    turns = 2 * torch.pi * frequency[:, None] * time
    waves = [amplitude * torch.sin(order * turns + 0.3 * order) for order, amplitude in amplitudes.items()]
    return torch.stack(waves).sum(dim=0).float()


FREQUENCY = torch.tensor([0.0015, 0.0213, 0.17], dtype=torch.float64)
DEVICE = {1: 1.0, 2: 1e-2, 3: 1e-3}


@pytest.mark.parametrize("order", [2, 3])
def test_a_missing_harmonic_costs_the_same_at_any_level_and_frequency(order: int) -> None:
    wet = sines(FREQUENCY, DEVICE)
    twin = sines(FREQUENCY, {k: a for k, a in DEVICE.items() if k != order})
    # An order of 3 times 0.17 cycles per sample is beyond half the sample rate.
    for row in range(3 if order == 2 else 2):
        one = slice(row, row + 1)
        loss = harmonic_loss(twin[one], wet[one], wet[one], FREQUENCY[one])
        assert loss.item() == pytest.approx(np.log(2) / ORDERS, rel=0.01)


def test_a_level_below_the_floor_counts_as_the_floor() -> None:
    wet = sines(FREQUENCY[:2], {1: 1.0, 4: 1e-6})
    loss = harmonic_loss(sines(FREQUENCY[:2], {1: 1.0, 4: 1e-4}), wet, wet, FREQUENCY[:2])
    assert loss.item() == pytest.approx(np.log(2) / ORDERS, rel=0.05)


def test_the_harmonic_loss_depends_on_the_error_alone() -> None:
    """So that a known part of the device's output may be subtracted from prediction and target."""
    wet, twin = sines(FREQUENCY, DEVICE), sines(FREQUENCY, {1: 0.9, 2: 2e-2})
    known = sines(FREQUENCY, {1: 0.7})
    losses = [harmonic_loss(twin - part, wet - part, wet, FREQUENCY).item() for part in (0 * known, known)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert harmonic_loss(wet, wet, wet, FREQUENCY) == 0


def test_an_alias_between_the_harmonics_costs() -> None:
    wet = sines(FREQUENCY[1:2], DEVICE)
    alias = sines(torch.tensor([0.0307], dtype=torch.float64), {1: 1e-4})
    loss = harmonic_loss(wet + alias, wet, wet, FREQUENCY[1:2])
    assert loss.item() == pytest.approx(np.log(2) / ORDERS, rel=0.1)


def test_a_sine_with_few_periods_has_no_harmonic_loss() -> None:
    frequency = torch.tensor([MIN_PERIODS / 1024 - 1e-6], dtype=torch.float64)
    wet = sines(frequency, DEVICE)
    assert harmonic_loss(0 * wet, wet, wet, frequency) == 0
    silent = torch.zeros(1, 1024)
    assert harmonic_loss(silent, silent, silent, FREQUENCY[1:2]).isfinite()


def test_the_harmonic_loss_has_the_gradient_of_its_differences() -> None:
    wet, twin = sines(FREQUENCY, DEVICE, 256), sines(FREQUENCY, {1: 0.9, 2: 2e-2}, 256).requires_grad_()
    harmonic_loss(twin, wet, wet, FREQUENCY).backward()
    assert twin.grad is not None
    step = 1e-3 * twin.grad / twin.grad.norm()
    with torch.no_grad():
        up, down = (harmonic_loss(twin + sign * step, wet, wet, FREQUENCY).item() for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx((step * twin.grad).sum().item(), rel=0.05)
