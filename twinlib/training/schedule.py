"""The budget of a training and its learning rate: warm-up, constant, linear decay to zero."""

from twinlib.training.checkpoint import State
from twinlib.training.settings import Training


def rate_factor(step: int, fraction: float, warmup_steps: int, decay_fraction: float) -> float:
    """Return the factor of the learning rates, 0 to 1.

    `step` counts from 0; `fraction` is the used part of the budget, 0 to 1. The decay over the last `decay_fraction`
    of the budget lowers the error by a factor of two to three.
    """
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    decay = min(1.0, max(0.0, 1.0 - fraction) / decay_fraction) if decay_fraction else 1.0
    return min(warmup, decay)


def end_of_decay(used: float, decay_fraction: float) -> float:
    """Return the end of a training whose decay starts after `used` of its budget.

    The decay keeps its fraction of the shortened training.
    """
    return used / (1 - decay_fraction)


class Schedule:
    """Budget, decay and patience of a training, in steps or CPU seconds; reads and writes its `State`."""

    def __init__(self, settings: Training, state: State) -> None:
        self._settings, self._state = settings, state
        self._budget = float(settings.steps or settings.cpu_seconds or 0)

    @property
    def is_finished(self) -> bool:
        """Whether the budget is used up."""
        return self._budget_used >= self._end

    @property
    def is_decaying(self) -> bool:
        """Whether the learning rate decays."""
        return self._budget_used >= (1 - self._settings.decay_fraction) * self._end

    @property
    def rate_factor(self) -> float:
        """Factor of the learning rates for the next step."""
        settings, fraction = self._settings, min(1.0, self._budget_used / self._end)
        return rate_factor(self._state.step, fraction, settings.warmup_steps, settings.decay_fraction)

    @property
    def progress(self) -> float:
        """Used part of the budget, in its units."""
        return min(self._budget_used, self._budget)

    @property
    def note(self) -> str:
        """Why and until when the learning rate decays, if patience started the decay; else empty."""
        if self._state.end is None:
            return ""
        unit = "steps" if self._settings.steps else "CPU-s"
        return f", {self._settings.patience} validations without a new best: decay until {self._end:.0f} {unit}"

    def check_plateau(self) -> None:
        """Start the decay now after `patience` validations at the constant rate without a new best."""
        state, patience = self._state, self._settings.patience
        if patience is None or state.end is not None or self.is_decaying:
            return
        if sum(int(str(row["step"])) > state.best_step for row in state.rows) >= patience:
            state.end = end_of_decay(self._budget_used, self._settings.decay_fraction)

    @property
    def _budget_used(self) -> float:
        return float(self._state.step) if self._settings.steps else self._state.cpu_seconds

    @property
    def _end(self) -> float:
        """End of the decay, in units of the budget."""
        return self._budget if self._state.end is None else min(self._budget, self._state.end)
