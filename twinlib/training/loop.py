"""The training loop: one seed, from crops to a twin, resumable at any step."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from twinlib.errors import DivergedError, ModelError, TrainingError
from twinlib.model import Network, Twin, WaveNet
from twinlib.progress import Progress, no_progress
from twinlib.training import distributed
from twinlib.training.checkpoint import Checkpoint, Row, State, load_checkpoint, save_checkpoint
from twinlib.training.data import Pair, TrainingData
from twinlib.training.ema import WeightAverage
from twinlib.training.linear_part import FIT_SAMPLES, LARGEST_ESR, LENGTHS, TOLERANCE, fit_linear_part, read_linear_part
from twinlib.training.losses import harmonic_loss, mr_stft_loss, training_loss
from twinlib.training.normalisation import HEAD_RMS, INPUT_RMS, LEVEL_BATCHES, measure_gains, target_rms
from twinlib.training.optimiser import Optimiser
from twinlib.training.schedule import Schedule
from twinlib.training.settings import Training
from twinlib.training.signals import stop_requests
from twinlib.training.validation import ValidationSet
from twinlib.training.warm_start import WarmStart, check_warm_start, rescale_weights

COLUMNS = ["seed", "step", "cpu_seconds", "learning_rate", "loss", "valid_esr", "best_esr"]
"""Columns of the learning curve."""


@dataclass(frozen=True)
class Trained:
    """Result of a training."""

    twin: Twin
    """Weights with the lowest validation error."""
    curve: pd.DataFrame
    """Learning curve, one row per validation: seed, step, cpu_seconds, learning_rate, loss (mean since the previous
    row), valid_esr, best_esr."""
    valid_esr: float
    """Validation error of the twin."""
    steps: int
    """Steps done."""
    cpu_seconds: float
    """CPU time of the first process over all resumptions."""


def noop_rows(rows: list[Row]) -> None:
    """Ignore new rows of the learning curve."""


def noop_twin(twin: Twin) -> None:
    """Ignore a new best twin."""


def train(
    data: TrainingData,
    network: Network,
    settings: Training,
    checkpoints: Path,
    identity: str,
    progress: Progress = no_progress,
    on_rows: Callable[[list[Row]], None] = noop_rows,
    model_name: str = "",
    warm_start: WarmStart | None = None,
    on_best: Callable[[Twin], None] = noop_twin,
) -> Trained:
    """Train a network with one seed until its budget is used up, or until patience runs out and the decay is done.

    `checkpoints` is the folder of the state. A stopped or killed training resumes from it; on one CPU thread with a
    budget in steps, the final weights do not depend on interruptions, bit for bit. A checkpoint is valid only for the
    same dataset, network, settings, warm start and `identity` (the code digest). A finished training returns
    immediately. SIGINT and SIGTERM save a checkpoint after the current step, then raise `KeyboardInterrupt` or
    `SystemExit`.

    `progress` counts steps or CPU seconds, the unit of the budget. `on_rows` receives new rows of the learning curve;
    rows after the last checkpoint repeat when a killed training resumes. `on_best` receives each new best twin with
    its checkpoint, the best twin on resumption, and the current twin on a stop before the first validation; the
    metadata of the twin include `valid_esr`.

    In a `distributed.process_group` all processes make the same call, with batches of the whole group; only rank 0
    writes and reports.

    Raises `TrainingError` if the data are silent or contain NaN or Inf, if there is no GPU for `device: cuda`, or if
    the warm start has another network; raises `DivergedError` with step and crops if the loss diverges. The last good
    checkpoint stays.
    """
    if distributed.rank():
        progress, on_rows, on_best = no_progress, noop_rows, noop_twin
    session = _Session(data, network, settings, checkpoints, identity, model_name, warm_start, on_best)
    state, schedule = session.state, session.schedule
    if state.finished:
        return session.result()
    validation = session.validation_set()
    reported, note = schedule.progress, f"resumed at step {state.step}" if state.step else ""
    progress(reported, note)
    with stop_requests() as stop_request:
        while not state.finished:
            loss = session.step()
            stop = session.synchronise(loss, stop_request())
            if schedule.is_finished or state.step % settings.validate_every == 0:
                row = session.validate(validation)
                note = f"loss {row['loss']:.3g}, validation ESR {row['valid_esr']:.3%}, best {row['best_esr']:.3%}"
                on_rows([row])
                schedule.check_plateau()
                note += schedule.note
            state.finished = schedule.is_finished
            progress(schedule.progress - reported, note)
            reported = schedule.progress
            if state.finished or stop is not None or session.checkpoint_is_due():
                session.save()
            if stop is not None and not state.finished:
                session.publish_current(validation)
                # The first process that exits stops the others, so all wait until rank 0 has written.
                distributed.barrier()
                raise stop
    return session.result()


class _Session:
    """State, model and optimiser of a training between two interruptions; methods in the order of the loop."""

    def __init__(
        self,
        data: TrainingData,
        network: Network,
        settings: Training,
        checkpoints: Path,
        identity: str,
        model_name: str,
        warm_start: WarmStart | None,
        on_best: Callable[[Twin], None],
    ) -> None:
        self._data, self._network, self._settings = data, network, settings
        self._folder, self._name, self._warm_start, self._on_best = checkpoints, model_name, warm_start, on_best
        self._identity = _identity(identity, data.digest, network, settings, warm_start)
        self._device = distributed.select_device(settings.device)
        self._kernels = distributed.training_engine(settings.device)
        self._process_start = time.process_time()
        if warm_start is not None:
            check_warm_start(warm_start, network, data.sample_rate, data.guard_samples, settings.linear_taps)
        self._model = WaveNet(network, settings.seed, data.guard_samples)
        checkpoint = load_checkpoint(checkpoints, self._identity)
        if checkpoint is not None and not checkpoint.fits(self._model.state_dict(), bool(settings.average)):
            checkpoint = None
        if checkpoint is None:
            start = None if warm_start is None else warm_start.twin
            self._linear = fit_linear_part(data, network, settings.linear_taps, start)
            input_gain, output_gain, share = measure_gains(data, network, self._linear)
            self.state = State(
                input_gain=input_gain, output_gain=output_gain, target_share=share, linear_esr=self._linear.esr
            )
            if warm_start is not None:
                self._model.load_weights(rescale_weights(warm_start.twin, input_gain, output_gain))
        else:
            self.state = checkpoint.state
            self._linear = read_linear_part(checkpoint.linear, self.state.linear_esr)
            self._model.load_state_dict(dict(checkpoint.weights))
        self._model.to(self._device)
        self._average = WeightAverage(self._model, settings.average)
        self._optimiser = Optimiser(self._model, settings.optimiser == "muon", settings.muon_rate, settings.adamw_rate)
        if checkpoint is None:
            self._best = _copy_weights(self._average.model)
        else:
            self._best = dict(checkpoint.best)
            self._average.load(checkpoint.average, self.state.step)
            self._optimiser.load(checkpoint.optimiser)
        self.schedule = Schedule(settings, self.state)
        # A collective call: all processes have read the checkpoint before one of them writes another.
        self._forward = distributed.data_parallel(self._model)
        self._previous_cpu_seconds = self.state.cpu_seconds
        self._saved = time.monotonic()
        self._published_step: int | None = None
        self._publish_best()

    def validation_set(self) -> ValidationSet:
        """Return the excerpts of the validation split on the device."""
        excerpts = self._data.excerpts(self._settings.valid_seconds)
        energy = sum(float(np.square(wet, dtype=np.float64).sum()) for _, wet in excerpts) / self.state.output_gain**2
        return ValidationSet([self._to_device(pair) for pair in excerpts], energy, self._data.device)

    def step(self) -> float:
        """Update the weights once; return the loss of this process's crops, relative to the wet signal.

        The gradient is that of the loss relative to the target of the network.
        """
        state, settings = self.state, self._settings
        factor = self.schedule.rate_factor
        batch = self._data.batch(state.step)
        dry, wanted = self._to_device(batch)
        rms = target_rms(self._network)
        pool = wanted / rms
        prediction, target = self._forward(distributed.rank_share(dry)) / rms, distributed.rank_share(pool)
        loss = training_loss(
            prediction, target, settings.preemphasis, settings.preemphasis_weight, settings.dc_weight, pool
        )
        if settings.stft_weight and self.schedule.is_decaying:
            loss = loss + settings.stft_weight * mr_stft_loss(prediction, target, pool)
        if settings.harmonic_weight:
            frequency = distributed.rank_share(torch.from_numpy(self._data.fundamentals(state.step)))
            if len(tones := frequency.nonzero()[:, 0]):
                wet = distributed.rank_share(torch.from_numpy(batch[1]))[tones] / (state.output_gain * rms)
                parts = prediction[tones.to(self._device)], target[tones.to(self._device)], wet.to(self._device)
                harmonic = harmonic_loss(*parts, frequency[tones].to(self._device))
                # The weight is relative to the ESR of the wet signal.
                loss = loss + settings.harmonic_weight / state.target_share * harmonic
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        value, norm = loss.item(), self._optimiser.step(factor, settings.clip_norm)
        if not math.isfinite(value) or not math.isfinite(norm):
            raise self._divergence((torch.isfinite(dry).all(dim=1) & torch.isfinite(wanted).all(dim=1)).tolist())
        state.step += 1
        self._average.update()
        return value * state.target_share

    def synchronise(self, loss: float, stop: BaseException | None) -> BaseException | None:
        """Combine loss and CPU time of all processes; return the exception to raise if any process must stop."""
        seconds = self._cpu_seconds() if distributed.rank() == 0 else 0.0
        losses, seconds, stops = distributed.all_reduce_sum([loss, seconds, float(stop is not None)])
        self.state.cpu_seconds = seconds
        self.state.loss_sum += losses / distributed.world_size()
        self.state.loss_count += 1
        return stop or (KeyboardInterrupt() if stops else None)

    def validate(self, validation: ValidationSet) -> Row:
        """Add a row to the learning curve, and keep the weights if they are the best."""
        state, settings = self.state, self._settings
        esr = distributed.broadcast(validation.esr(self._average.model) if distributed.rank() == 0 else 0.0)
        if not math.isfinite(esr):
            raise self._divergence([])
        if state.best_esr is None or esr < state.best_esr:
            state.best_esr, state.best_step, self._best = esr, state.step, _copy_weights(self._average.model)
        rate = settings.muon_rate if settings.optimiser == "muon" else settings.adamw_rate
        row: Row = {
            "seed": settings.seed,
            "step": state.step,
            "cpu_seconds": state.cpu_seconds,
            "learning_rate": rate * self.schedule.rate_factor,
            "loss": state.loss_sum / max(1, state.loss_count),
            "valid_esr": esr,
            "best_esr": state.best_esr,
        }
        state.rows.append(row)
        state.loss_sum, state.loss_count = 0.0, 0
        return row

    def checkpoint_is_due(self) -> bool:
        """Whether `checkpoint_seconds` have passed since the last checkpoint."""
        return time.monotonic() - self._saved >= self._settings.checkpoint_seconds

    def save(self) -> None:
        """Write a checkpoint and publish the best twin; rank 0 only."""
        self._saved = time.monotonic()
        if distributed.rank():
            return
        self.state.cpu_seconds = self._cpu_seconds()
        linear = {name: torch.from_numpy(kernel) for name, kernel in self._linear.tensors.items()}
        tensors = self._model.state_dict(), self._best, self._average.state(), self._optimiser.state(), linear
        try:
            save_checkpoint(self._folder, self._identity, Checkpoint(self.state, *tensors))
        except ModelError:
            raise self._divergence([]) from None
        self._publish_best()
        self._saved = time.monotonic()

    def publish_current(self, validation: ValidationSet) -> None:
        """Publish the current twin if there is no best twin yet; keep the state unchanged, for exact resumption."""
        if self.state.best_esr is None and distributed.rank() == 0:
            model = self._average.model
            self._on_best(self._twin(_copy_weights(model), validation.esr(model), self.state.step))

    def result(self) -> Trained:
        """Return the best twin and the learning curve."""
        state = self.state
        assert state.best_esr is not None
        twin = self._twin(self._best, state.best_esr, state.best_step)
        return Trained(twin, pd.DataFrame(state.rows, columns=COLUMNS), state.best_esr, state.step, state.cpu_seconds)

    def _to_device(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Return dry and the target of the network on the device, scaled to its levels."""
        signals = pair[0], self._linear.remove(*pair)
        dry, wanted = (torch.from_numpy(np.ascontiguousarray(signal)).to(self._device) for signal in signals)
        return dry * self.state.input_gain, wanted / self.state.output_gain

    def _cpu_seconds(self) -> float:
        return self._previous_cpu_seconds + time.process_time() - self._process_start

    def _divergence(self, finite: list[bool]) -> TrainingError:
        """Return the error of a failed step; `finite` flags the crops without NaN and Inf."""
        crops, step = self._data.crop_positions(self.state.step), self.state.step
        if not all(finite):
            bad = "; ".join(crop for crop, is_finite in zip(crops, finite, strict=True) if not is_finite)
            return TrainingError(
                f"The crops of step {step} contain NaN or Inf ({bad}). Repair or exclude the recording"
            )
        return DivergedError(
            f"The training of {self._name or 'the network'} diverged at step {step}, on the crops: {'; '.join(crops)}. "
            "Lower muon_rate and adamw_rate; if it diverges again, inspect these crops"
        )

    def _publish_best(self) -> None:
        if self.state.best_esr is not None and self.state.best_step != self._published_step:
            self._published_step = self.state.best_step
            self._on_best(self._twin(self._best, self.state.best_esr, self.state.best_step))

    def _twin(self, weights: dict[str, Tensor], valid_esr: float, step: int) -> Twin:
        state, data = self.state, self._data
        metadata = {"valid_esr": valid_esr, "step": step, "seed": self._settings.seed, "kernels": self._kernels}
        metadata |= {"linear_taps": len(self._linear.kernel), "linear_esr": self._linear.esr}
        return Twin(
            network=self._network,
            weights={name: weight.numpy() for name, weight in weights.items()} | self._linear.tensors,
            sample_rate=data.sample_rate,
            guard_samples=data.guard_samples,
            input_gain=state.input_gain,
            output_gain=state.output_gain,
            device=data.device,
            model=self._name,
            dataset=data.digest,
            metadata=metadata | ({"warm_start": self._warm_start.sha256} if self._warm_start else {}),
        )


def _copy_weights(model: WaveNet) -> dict[str, Tensor]:
    return {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


def _identity(identity: str, dataset: str, network: Network, settings: Training, warm_start: WarmStart | None) -> str:
    """Return the sha256 of all inputs that determine the weights."""
    start = warm_start.sha256 if warm_start else None
    content = [identity, dataset, network.model_dump(mode="json"), settings.model_dump(mode="json"), start]
    constants = [INPUT_RMS, HEAD_RMS, LEVEL_BATCHES, LENGTHS, TOLERANCE, LARGEST_ESR, FIT_SAMPLES]
    return hashlib.sha256(json.dumps([content, constants], sort_keys=True).encode()).hexdigest()
