"""The training loop: from crops to a twin, resumable at any step."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
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
from twinlib.progress import Progress, silent
from twinlib.training.checkpoint import Checkpoint, Row, State, load_checkpoint, save_checkpoint
from twinlib.training.data import Pair, TrainingData
from twinlib.training.levels import HEAD_LEVEL, INPUT_LEVEL, LEVEL_BATCHES, gains, output_level
from twinlib.training.losses import combined
from twinlib.training.optimiser import Optimiser
from twinlib.training.schedule import rate_factor
from twinlib.training.settings import Training
from twinlib.training.stopping import stop_requests

CONTRACT = "training/1"
"""The contract of the learning curve."""

COLUMNS = ["step", "cpu_seconds", "learning_rate", "loss", "valid_esr", "best_esr"]
"""The columns of the learning curve."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves."""

    twin: Twin
    """The weights of the lowest validation error."""
    curve: pd.DataFrame
    """A row a validation: step, cpu_seconds, learning_rate, loss (mean since the row before), valid_esr, best_esr."""
    valid_esr: float
    """Validation error of the twin."""
    steps: int
    """Steps done."""
    cpu_seconds: float
    """Processor time spent, over all resumptions."""


def nothing(rows: list[Row]) -> None:
    """Take new rows of the curve and do nothing."""


def train(
    data: TrainingData,
    network: Network,
    settings: Training,
    checkpoints: Path,
    identity: str,
    progress: Progress = silent,
    on_rows: Callable[[list[Row]], None] = nothing,
    model_name: str = "",
) -> Trained:
    """Train a network on a dataset until the budget is spent.

    `checkpoints` is a folder for the state, from which a training that was stopped or killed goes on; on one CPU
    thread, with a budget in steps, it ends with the same weights bit for bit. A checkpoint counts only if dataset,
    network, settings and `identity` (the digest of the code) are the same. A finished training returns at once.
    SIGINT and SIGTERM save a checkpoint after the current step and then raise `KeyboardInterrupt` or `SystemExit`.
    `progress` counts steps or CPU seconds, whichever the budget is in. `on_rows` gets new rows of the curve; rows
    after the last checkpoint come again when a killed training is resumed.

    Raises `TrainingError` if the data are silent or not finite, if no GPU is there that was asked for, and if the
    training diverges (`DivergedError`): it names step and crops, and the last good checkpoint stays.
    """
    return _Session(data, network, settings, checkpoints, identity, model_name).run(progress, on_rows)


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
    ) -> None:
        self._data, self._network, self._settings = data, network, settings
        self._folder, self._name = checkpoints, model_name
        self._identity = _identity(identity, data.digest, network, settings)
        self._place = _place(settings.device)
        self._model = WaveNet(network, settings.seed, data.guard_samples).to(self._place)
        muon = settings.optimiser == "muon"
        self._optimiser = Optimiser(self._model, muon, settings.muon_rate, settings.adamw_rate)
        self._started = time.process_time()
        found = load_checkpoint(checkpoints, self._identity)
        if found is None:
            input_gain, output_gain = gains(data, network)
            self._state, self._best = State(input_gain=input_gain, output_gain=output_gain), self._weights()
        else:
            self._state, self._best = found.state, dict(found.best)
            self._model.load_state_dict(dict(found.weights))
            self._optimiser.load(found.optimiser)
        self._before = self._state.cpu_seconds
        self._saved = time.monotonic()

    def run(self, progress: Progress, on_rows: Callable[[list[Row]], None]) -> Trained:
        """Go on until the budget is spent, or until asked to stop."""
        state, settings = self._state, self._settings
        if state.finished:
            return self._trained()
        excerpts = self._excerpts()
        reported, note = self._used(), f"resumed at step {state.step}" if state.step else ""
        progress(reported, note)
        with stop_requests() as asked:
            while not state.finished:
                self._step()
                state.cpu_seconds = self._cpu_seconds()
                state.finished = self._used() >= self._budget
                if state.finished or state.step % settings.validate_every == 0:
                    row = self._validate(excerpts)
                    note = f"loss {row['loss']:.3g}, validation ESR {row['valid_esr']:.3%}"
                    on_rows([row])
                used = min(self._used(), self._budget)
                progress(used - reported, note)
                reported, stop = used, asked()
                late = time.monotonic() - self._saved >= settings.checkpoint_seconds
                if state.finished or late or stop is not None:
                    self._save()
                if stop is not None and not state.finished:
                    raise stop
        return self._trained()

    @property
    def _budget(self) -> float:
        return float(self._settings.steps or self._settings.cpu_seconds or 0)

    def _used(self) -> float:
        """What is used of the budget, in its unit."""
        return float(self._state.step) if self._settings.steps else self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        return self._before + time.process_time() - self._started

    def _factor(self) -> float:
        settings, fraction = self._settings, min(1.0, self._used() / self._budget)
        return rate_factor(self._state.step, fraction, settings.warmup_steps, settings.decay_fraction)

    def _tensors(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Dry and wet at the levels of the network."""
        dry, wet = (torch.from_numpy(np.ascontiguousarray(part)).to(self._place) for part in pair)
        return dry * self._state.input_gain, wet / self._state.output_gain

    def _step(self) -> None:
        state, settings = self._state, self._settings
        factor = self._factor()
        dry, wet = self._tensors(self._data.batch(state.step))
        level = output_level(self._network)
        loss = combined(
            self._model(dry) / level,
            wet / level,
            settings.preemphasis,
            settings.preemphasis_weight,
            settings.dc_weight,
        )
        self._model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.clip_norm)
        value = loss.item()
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            raise self._diverged(bool(torch.isfinite(dry).all() and torch.isfinite(wet).all()))
        self._optimiser.step(factor)
        state.step += 1
        state.loss_sum += value
        state.loss_count += 1

    def _diverged(self, finite: bool) -> TrainingError:
        places = "; ".join(self._data.places(self._state.step))
        if not finite:
            return TrainingError(
                f"The crops of step {self._state.step} hold samples that are not finite numbers ({places}): repair "
                "or leave out the recording"
            )
        return DivergedError(
            f"The training of {self._name or 'the network'} diverged at step {self._state.step}, on the crops: "
            f"{places}. Lower muon_rate and adamw_rate; if it happens again, listen to these crops"
        )

    def _excerpts(self) -> list[tuple[Tensor, Tensor]]:
        excerpts = [self._tensors(pair) for pair in self._data.excerpts(self._settings.valid_seconds)]
        energy = sum(wet.double().square().sum().item() for _, wet in excerpts)
        if not math.isfinite(energy) or not energy > 0:
            problem = "silent" if energy == 0 else "not finite"
            raise TrainingError(
                f"The wet signal of the validation split is {problem}: check the recordings of {self._data.device}"
            )
        return excerpts

    @torch.no_grad()
    def _validate(self, excerpts: Sequence[tuple[Tensor, Tensor]]) -> Row:
        """Add a row to the curve and keep the weights if they are the best so far."""
        state, settings = self._state, self._settings
        error = energy = 0.0
        for dry, wet in excerpts:
            error += (self._model(dry[None])[0] - wet).double().square().sum().item()
            energy += wet.double().square().sum().item()
        found = error / energy
        if not math.isfinite(found):
            raise self._diverged(True)
        if state.best_esr is None or found < state.best_esr:
            state.best_esr, state.best_step, self._best = found, state.step, self._weights()
        rate = settings.muon_rate if settings.optimiser == "muon" else settings.adamw_rate
        row: Row = {
            "step": state.step,
            "cpu_seconds": self._cpu_seconds(),
            "learning_rate": rate * self._factor(),
            "loss": state.loss_sum / max(1, state.loss_count),
            "valid_esr": found,
            "best_esr": state.best_esr,
        }
        state.rows.append(row)
        state.loss_sum, state.loss_count = 0.0, 0
        return row

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().cpu().clone() for name, weight in self._model.state_dict().items()}

    def _save(self) -> None:
        state = self._state
        state.cpu_seconds = self._cpu_seconds()
        try:
            optimiser = self._optimiser.state()
            save_checkpoint(self._folder, self._identity, Checkpoint(state, self._weights(), self._best, optimiser))
        except ModelError:
            raise self._diverged(True) from None
        self._saved = time.monotonic()

    def _trained(self) -> Trained:
        state, data = self._state, self._data
        assert state.best_esr is not None
        twin = Twin(
            network=self._network,
            weights=self._best,
            sample_rate=data.sample_rate,
            guard_samples=data.guard_samples,
            input_gain=state.input_gain,
            output_gain=state.output_gain,
            device=data.device,
            model=self._name,
            dataset=data.digest,
            metadata={"valid_esr": state.best_esr, "step": state.best_step, "seed": self._settings.seed},
        )
        return Trained(twin, pd.DataFrame(state.rows, columns=COLUMNS), state.best_esr, state.step, state.cpu_seconds)


def _identity(identity: str, digest: str, network: Network, settings: Training) -> str:
    content = [identity, digest, network.model_dump(mode="json"), settings.model_dump(mode="json")]
    levels = [INPUT_LEVEL, HEAD_LEVEL, LEVEL_BATCHES]
    return hashlib.sha256(json.dumps([content, levels], sort_keys=True).encode()).hexdigest()


def _place(device: str) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("training.device is cuda, but torch finds no GPU here: set it to auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
