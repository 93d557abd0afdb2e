"""The linear part of a device: a causal FIR filter, given to the twin before its network is trained on the rest.

Least squares over the training split give the filter; its length, and whether the twin has one at all, are decided on
the validation split. Diagonal loadings of 1e-10 to 1e-6 gave equal errors on five devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from twinlib.audio import Signal
from twinlib.errors import TrainingError
from twinlib.estimation import Filter, FirFit, filter_valid, solve_normal_equations
from twinlib.model import LINEAR, Network, Twin
from twinlib.training.data import Split, TrainingData

LENGTHS = (64, 128, 256, 512, 1024)
"""Filter lengths to choose from, in taps; those within the receptive field of the network count."""

TOLERANCE = 1.1
"""Validation ESR of a shorter filter that is good enough, relative to the lowest: taps cost time in playing."""

LARGEST_ESR = 0.01
"""Validation ESR of the filter up to which `auto` uses it (`benchmarks/README.md`)."""

FIT_SAMPLES = 1 << 25
"""Wet samples for the fit, 13 minutes at 44.1 kHz: more no longer change a filter of this length."""


@dataclass(frozen=True)
class LinearPart:
    """A filter, and what it leaves."""

    kernel: npt.NDArray[np.float32]
    """Impulse response `(taps,)`, guard included; empty without filter."""
    esr: float | None
    """Validation ESR of the filter alone, whether or not it is used; None if none was fitted."""

    @property
    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """The filter under its name in a twin; empty without filter."""
        return {LINEAR: self.kernel} if len(self.kernel) else {}

    def remove(self, dry: Signal, wet: Signal) -> Signal:
        """Return what the filter leaves of wet `(..., n)`: the target of the network.

        Dry is `(..., context + n)` with a context of at least taps - 1 samples.
        """
        if not len(self.kernel):
            return wet
        past = len(self.kernel) - 1 + wet.shape[-1]
        return (wet - filter_valid(dry[..., dry.shape[-1] - past :], self.kernel)).astype(np.float32)


NO_FILTER = LinearPart(np.zeros(0, np.float32), None)


def read_linear_part(tensors: Mapping[str, Tensor], esr: float | None) -> LinearPart:
    """Return the linear part with these `tensors`."""
    return LinearPart(tensors[LINEAR].numpy() if LINEAR in tensors else NO_FILTER.kernel, esr)


def fit_linear_part(data: TrainingData, network: Network, taps: int | str, start: Twin | None = None) -> LinearPart:
    """Return the filter of `taps` taps, or none for 0.

    With `auto`, the length is the shortest of `LENGTHS` with a validation ESR within `TOLERANCE` of the lowest, and
    there is a filter only if that ESR is at most `LARGEST_ESR`, and none beside a dry path. A network that starts from
    another twin has a filter if and only if that twin has one.

    Raises `TrainingError` if `taps` exceeds the receptive field or conflicts with a dry path, or if a split is too
    short or contains NaN or Inf.
    """
    reach = network.receptive_field
    if taps == 0 or (taps == "auto" and network.dry_path):
        return NO_FILTER
    if network.dry_path:
        raise TrainingError(
            f"training.linear_taps is {taps}, but the network has a dry path, which is a linear filter itself. Set "
            "linear_taps to 0, or train a network without dry_path"
        )
    if taps != "auto" and int(taps) > reach:
        raise TrainingError(
            f"training.linear_taps is {taps}, more than the receptive field of the network, {reach} samples. Lower "
            "linear_taps, or train a network with a longer receptive field"
        )
    lengths = [length for length in LENGTHS if length <= reach] if taps == "auto" else [int(taps)]
    if not lengths:
        return NO_FILTER
    train, valid = (_accumulate(data, split, max(lengths)) for split in ("train", "valid"))
    fits = min(train.count, valid.count) >= 2 * max(lengths)
    if not fits or not min(energy for fit in (train, valid) for energy in (fit.dry_energy, fit.wet_energy)) > 0:
        if taps == "auto":
            return NO_FILTER
        raise TrainingError(
            f"The training or validation split of {data.device} is too short or silent for a linear filter of {taps} "
            "taps. Add audio, or lower training.linear_taps"
        )
    kernel, esr = _choose(train, valid, lengths)
    is_used = taps != "auto" or (esr <= LARGEST_ESR if start is None else start.linear_filter is not None)
    return LinearPart(kernel.astype(np.float32) if is_used else NO_FILTER.kernel, esr)


def _accumulate(data: TrainingData, split: Split, taps: int) -> FirFit:
    fit = FirFit(taps)
    for dry, wet in data.spans(split, taps, FIT_SAMPLES):
        if not (np.isfinite(dry).all() and np.isfinite(wet).all()):
            raise TrainingError(
                f"The split {split} of {data.device} contains NaN or Inf. Repair or exclude the recording"
            )
        fit.add(dry, wet)
    return fit


def _choose(train: FirFit, valid: FirFit, lengths: Sequence[int]) -> tuple[Filter, float]:
    """Return the shortest filter with nearly the lowest validation ESR, and that ESR."""
    train_matrix, valid_matrix = train.matrix(), valid.matrix()
    filters, errors = [], []
    for length in lengths:
        fir = solve_normal_equations(train_matrix[:length, :length], train.cross[:length])
        explained = 2 * fir @ valid.cross[:length] - fir @ valid_matrix[:length, :length] @ fir
        filters.append(fir)
        errors.append(max(valid.wet_energy - float(explained), 0.0) / valid.wet_energy)
    chosen = next(index for index, error in enumerate(errors) if error <= TOLERANCE * min(errors))
    return filters[chosen], errors[chosen]
