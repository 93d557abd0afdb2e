"""The training loop: from crops to a twin, resumable at any step."""

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
from twinlib.model.architecture import Network
from twinlib.model.twin import Twin
from twinlib.model.wavenet import WaveNet
from twinlib.progress import Progress, no_progress
from twinlib.training import distributed
from twinlib.training.checkpoint import Checkpoint, Row, State, load_checkpoint, save_checkpoint
from twinlib.training.data import Pair, TrainingData
from twinlib.training.ema import Average
from twinlib.training.losses import combined, spectral
from twinlib.training.normalisation import HEAD_LEVEL, INPUT_LEVEL, LEVEL_BATCHES, gains, output_level
from twinlib.training.optimiser import Optimiser
from twinlib.training.schedule import rate_factor, shortened
from twinlib.training.settings import Training
from twinlib.training.signals import stop_requests
from twinlib.training.validation import Validation
from twinlib.training.warm_start import Start, check_start, folded

COLUMNS = ["seed", "step", "cpu_seconds", "learning_rate", "loss", "valid_esr", "best_esr"]
"""The columns of the learning curve."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves."""

    twin: Twin
    """The weights of the lowest validation error."""
    curve: pd.DataFrame
    """A row a validation: seed, step, cpu_seconds, learning_rate, loss (mean since the row before), valid_esr,
    best_esr."""
    valid_esr: float
    """Validation error of the twin."""
    steps: int
    """Steps done."""
    cpu_seconds: float
    """Processor time spent, over all resumptions; of the first process, if there are several."""


def nothing(rows: list[Row]) -> None:
    """Take new rows of the curve and do nothing."""


def forgotten(twin: Twin) -> None:
    """Take the best twin so far and do nothing."""


def train(
    data: TrainingData,
    network: Network,
    settings: Training,
    checkpoints: Path,
    identity: str,
    progress: Progress = no_progress,
    on_rows: Callable[[list[Row]], None] = nothing,
    model_name: str = "",
    start: Start | None = None,
    on_best: Callable[[Twin], None] = forgotten,
) -> Trained:
    """Train a network on a dataset with one seed until the budget is spent, or until patience is and the decay is done.

    `checkpoints` is a folder for the state, from which a training that was stopped or killed goes on; on one CPU
    thread, with a budget in steps, it ends with the same weights bit for bit. A checkpoint counts only if dataset,
    network, settings, the twin that it starts from and `identity` (the digest of the code) are the same. A finished
    training returns at once. SIGINT and SIGTERM save a checkpoint after the current step and then raise
    `KeyboardInterrupt` or `SystemExit`.

    `progress` counts steps or CPU seconds, whichever the budget is in; a training that ends before its budget reports
    all of it. `on_rows` gets new rows of the curve; rows after the last checkpoint come again when a killed training is
    resumed. `on_best` gets the best twin so far when a checkpoint holds a new one, when a training is resumed, and, if
    it is stopped before the first validation, the twin of that moment; its metadata hold `valid_esr`.

    In a group of processes (`distributed.group`) all call it alike, with `data` whose batches are those of the whole
    group; only the first process writes and reports.

    Raises `TrainingError` if the data are silent or not finite, if no GPU is there that was asked for, if `start` is a
    twin of another network, and if the training diverges (`DivergedError`): it names step and crops, and the last good
    checkpoint stays.
    """
    if distributed.rank():
        progress, on_rows, on_best = no_progress, nothing, forgotten
    session = _Session(data, network, settings, checkpoints, identity, model_name, start, on_best)
    return session.run(progress, on_rows)


class _Session:
    """A training between two interruptions."""

    def __init__(
        self,
        data: TrainingData,
        network: Network,
        settings: Training,
        checkpoints: Path,
        identity: str,
        model_name: str,
        start: Start | None,
        on_best: Callable[[Twin], None],
    ) -> None:
        self._data, self._network, self._settings = data, network, settings
        self._folder, self._name, self._start, self._on_best = checkpoints, model_name, start, on_best
        self._identity = _identity(identity, data.digest, network, settings, start)
        self._place = distributed.place(settings.device)
        self._started = time.process_time()
        if start is not None:
            check_start(start, network, data.sample_rate, data.guard_samples)
        self._model = WaveNet(network, settings.seed, data.guard_samples)
        found = load_checkpoint(checkpoints, self._identity)
        if found is None:
            input_gain, output_gain = gains(data, network)
            self._state = State(input_gain=input_gain, output_gain=output_gain)
            if start is not None:
                self._model.load_state_dict(folded(start.twin, input_gain, output_gain))
        else:
            self._state = found.state
            self._model.load_state_dict(dict(found.weights))
        self._model.to(self._place)
        self._average = Average(self._model, settings.average)
        self._optimiser = Optimiser(self._model, settings.optimiser == "muon", settings.muon_rate, settings.adamw_rate)
        if found is None:
            self._best = _copies(self._average.model)
        else:
            self._best = dict(found.best)
            self._average.load(found.average)
            self._optimiser.load(found.optimiser)
        # All processes have read the checkpoint before one of them gets past this line and writes another.
        self._forward = distributed.parallel(self._model)
        self._before = self._state.cpu_seconds
        self._saved = time.monotonic()
        self._told: int | None = None
        self._tell()

    def run(self, progress: Progress, on_rows: Callable[[list[Row]], None]) -> Trained:
        """Go on until the budget is spent, or until asked to stop."""
        state, settings = self._state, self._settings
        if state.finished:
            return self._trained()
        validation = Validation(
            [self._tensors(pair) for pair in self._data.excerpts(settings.valid_seconds)], self._data.device
        )
        reported, note = self._shown(), f"resumed at step {state.step}" if state.step else ""
        progress(reported, note)
        with stop_requests() as asked:
            while not state.finished:
                loss = self._step()
                stop = self._agree(loss, asked())
                if self._spent or state.step % settings.validate_every == 0:
                    row = self._validate(validation)
                    note = f"loss {row['loss']:.3g}, validation ESR {row['valid_esr']:.3%}, best {row['best_esr']:.3%}"
                    on_rows([row])
                    self._lose_patience()
                state.finished = self._spent
                shown = self._shown()
                progress(shown - reported, note)
                reported = shown
                late = time.monotonic() - self._saved >= settings.checkpoint_seconds
                if state.finished or late or stop is not None:
                    self._save()
                if stop is not None and not state.finished:
                    self._leave_a_twin(validation)
                    # Whoever leaves first brings the others down, so none goes before the first has written.
                    distributed.total([])
                    raise stop
        return self._trained()

    @property
    def _end(self) -> float:
        """Where the decay ends, in the unit of the budget: at the budget, or sooner once patience was lost."""
        budget = float(self._settings.steps or self._settings.cpu_seconds or 0)
        return budget if self._state.end is None else min(budget, self._state.end)

    @property
    def _used(self) -> float:
        """What is used of the budget, in its unit."""
        return float(self._state.step) if self._settings.steps else self._state.cpu_seconds

    @property
    def _spent(self) -> bool:
        return self._used >= self._end

    def _shown(self) -> float:
        """How much of the budget is done as people see it: all of it at the end, wherever that lies."""
        budget = float(self._settings.steps or self._settings.cpu_seconds or 0)
        return min(1.0, self._used / self._end) * budget

    def _cpu_seconds(self) -> float:
        return self._before + time.process_time() - self._started

    def _factor(self) -> float:
        settings, fraction = self._settings, min(1.0, self._used / self._end)
        return rate_factor(self._state.step, fraction, settings.warmup_steps, settings.decay_fraction)

    @property
    def _decaying(self) -> bool:
        return self._used >= (1 - self._settings.decay_fraction) * self._end

    def _lose_patience(self) -> None:
        """Begin the decay now if the constant rate has brought nothing for too long."""
        state, patience = self._state, self._settings.patience
        if patience is None or state.end is not None or self._decaying:
            return
        if sum(int(str(row["step"])) > state.best_step for row in state.rows) >= patience:
            state.end = shortened(self._used, self._settings.decay_fraction)

    def _tensors(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Dry and wet at the levels of the network."""
        dry, wet = (torch.from_numpy(np.ascontiguousarray(part)).to(self._place) for part in pair)
        return dry * self._state.input_gain, wet / self._state.output_gain

    def _step(self) -> float:
        """Move the weights once; returns the loss of this process's crops."""
        state, settings = self._state, self._settings
        factor = self._factor()
        dry, wet = self._tensors(self._data.batch(state.step))
        level = output_level(self._network)
        pool = wet / level
        prediction, target = self._forward(distributed.part(dry)) / level, distributed.part(pool)
        loss = combined(prediction, target, settings.preemphasis, settings.preemphasis_weight, settings.dc_weight, pool)
        if settings.stft_weight and self._decaying:
            loss = loss + settings.stft_weight * spectral(prediction, target, pool)
        self._model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.clip_norm)
        value = loss.item()
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            raise self._diverged((torch.isfinite(dry).all(dim=1) & torch.isfinite(wet).all(dim=1)).tolist())
        self._optimiser.step(factor)
        state.step += 1
        self._average.update(state.step)
        return value

    def _agree(self, loss: float, stop: BaseException | None) -> BaseException | None:
        """Note loss and time, the same ones in all processes; returns how to stop if any process was asked to."""
        seconds = self._cpu_seconds() if distributed.rank() == 0 else 0.0
        losses, seconds, stops = distributed.total([loss, seconds, float(stop is not None)])
        self._state.cpu_seconds = seconds
        self._state.loss_sum += losses / distributed.world()
        self._state.loss_count += 1
        return stop or (KeyboardInterrupt() if stops else None)

    def _diverged(self, finite: list[bool]) -> TrainingError:
        """What to say of a step: whose crops are not finite, or that the rates are too high."""
        places = self._data.places(self._state.step)
        if not all(finite):
            bad = "; ".join(place for place, good in zip(places, finite, strict=True) if not good)
            return TrainingError(
                f"The crops of step {self._state.step} hold samples that are not finite numbers ({bad}): repair "
                "or leave out the recording"
            )
        return DivergedError(
            f"The training of {self._name or 'the network'} diverged at step {self._state.step}, on the crops: "
            f"{'; '.join(places)}. Lower muon_rate and adamw_rate; if it happens again, listen to these crops"
        )

    def _validate(self, validation: Validation) -> Row:
        """Add a row to the curve and keep the weights if they are the best so far."""
        state, settings = self._state, self._settings
        found = distributed.of_first(validation.esr(self._average.model) if distributed.rank() == 0 else 0.0)
        if not math.isfinite(found):
            raise self._diverged([])
        if state.best_esr is None or found < state.best_esr:
            state.best_esr, state.best_step, self._best = found, state.step, _copies(self._average.model)
        rate = settings.muon_rate if settings.optimiser == "muon" else settings.adamw_rate
        row: Row = {
            "seed": settings.seed,
            "step": state.step,
            "cpu_seconds": state.cpu_seconds,
            "learning_rate": rate * self._factor(),
            "loss": state.loss_sum / max(1, state.loss_count),
            "valid_esr": found,
            "best_esr": state.best_esr,
        }
        state.rows.append(row)
        state.loss_sum, state.loss_count = 0.0, 0
        return row

    def _save(self) -> None:
        self._saved = time.monotonic()
        if distributed.rank():
            return
        state = self._state
        state.cpu_seconds = self._cpu_seconds()
        tensors = self._model.state_dict(), self._best, self._average.state(), self._optimiser.state()
        try:
            save_checkpoint(self._folder, self._identity, Checkpoint(state, *tensors))
        except ModelError:
            raise self._diverged([]) from None
        self._tell()
        self._saved = time.monotonic()

    def _tell(self) -> None:
        """Hand out the best twin if it is a new one."""
        if self._state.best_esr is not None and self._state.best_step != self._told:
            self._told = self._state.best_step
            self._on_best(self._twin(self._best, self._state.best_esr, self._state.best_step))

    def _leave_a_twin(self, validation: Validation) -> None:
        """Hand out the twin of this moment if there is none yet; the state knows nothing of it, so as to stay exact."""
        if self._state.best_esr is None and distributed.rank() == 0:
            model = self._average.model
            self._on_best(self._twin(_copies(model), validation.esr(model), self._state.step))

    def _twin(self, weights: dict[str, Tensor], valid_esr: float, step: int) -> Twin:
        state, data = self._state, self._data
        metadata = {"valid_esr": valid_esr, "step": step, "seed": self._settings.seed}
        return Twin(
            network=self._network,
            weights=weights,
            sample_rate=data.sample_rate,
            guard_samples=data.guard_samples,
            input_gain=state.input_gain,
            output_gain=state.output_gain,
            device=data.device,
            model=self._name,
            dataset=data.digest,
            metadata=metadata | ({"warm_start": self._start.sha256} if self._start else {}),
        )

    def _trained(self) -> Trained:
        state = self._state
        assert state.best_esr is not None
        twin = self._twin(self._best, state.best_esr, state.best_step)
        return Trained(twin, pd.DataFrame(state.rows, columns=COLUMNS), state.best_esr, state.step, state.cpu_seconds)


def _copies(model: WaveNet) -> dict[str, Tensor]:
    return {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


def _identity(identity: str, digest: str, network: Network, settings: Training, start: Start | None) -> str:
    content = [identity, digest, network.model_dump(mode="json"), settings.model_dump(mode="json")]
    further = [INPUT_LEVEL, HEAD_LEVEL, LEVEL_BATCHES, start.sha256 if start else None]
    return hashlib.sha256(json.dumps([content, further], sort_keys=True).encode()).hexdigest()
