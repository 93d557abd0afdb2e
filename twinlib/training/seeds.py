"""Several trainings of one twin, which differ by their seed: the best of them becomes the twin."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from twinlib.contracts import TWIN_FILE
from twinlib.errors import ModelError
from twinlib.model.architecture import Network
from twinlib.model.twin import Twin, load_twin
from twinlib.progress import Progress, no_progress
from twinlib.training.checkpoint import Row
from twinlib.training.data import TrainingData
from twinlib.training.distributed import rank
from twinlib.training.loop import Trained, nothing, train
from twinlib.training.settings import Training
from twinlib.training.warm_start import Start


def of_seed(settings: Training, index: int) -> Training:
    """The settings of one of the trainings, counted from 0: those of a training with that seed alone."""
    return settings.model_copy(update={"seed": settings.seed + index, "seeds": 1})


def train_seeds(
    data_of: Callable[[Training], TrainingData],
    network: Network,
    settings: Training,
    checkpoints: Path,
    identity: str,
    progress: Progress = no_progress,
    on_rows: Callable[[list[Row]], None] = nothing,
    model_name: str = "",
    start: Start | None = None,
) -> Trained:
    """Train `settings.seeds` networks one after the other, as `train` does, and return the best by validation ESR.

    `data_of` makes the data of a training, whose crops depend on its seed. Each training has its state in
    `checkpoints/seed-S/`, and a budget of its own; `progress` counts all of them. `checkpoints/twin.safetensors` is
    the best twin of all so far, at every moment after the first validation, so that a stopped training can be played.
    The curves stand one below the other; steps and seconds are added up. Raises what `train` raises.
    """
    playable = checkpoints / TWIN_FILE
    if rank() == 0:
        # It might be that of another dataset or network; a resumed training writes its own again at once.
        playable.unlink(missing_ok=True)
    trained: list[Trained] = []
    done = 0.0

    def keep(twin: Twin) -> None:
        if twin.metadata["valid_esr"] < min((earlier.valid_esr for earlier in trained), default=math.inf):
            twin.save(playable)

    def advance(n: float, note: str = "") -> None:
        nonlocal done
        # What earlier trainings did, in this run or in one before, comes with the first report.
        progress(n + done, f"seed {one.seed}: {note}" if settings.seeds > 1 else note)
        done = 0.0

    budget = float(settings.steps or settings.cpu_seconds or 0)
    for index in range(settings.seeds):
        one = of_seed(settings, index)
        folder = checkpoints / f"seed-{one.seed}"
        reports = _Counted(advance)
        data = data_of(one)
        trained.append(train(data, network, one, folder, identity, reports, on_rows, model_name, start, keep))
        done += budget - reports.count
    if done:
        progress(done)
    best = min(trained, key=lambda each: each.valid_esr)
    return Trained(
        best.twin,
        pd.concat([each.curve for each in trained], ignore_index=True),
        best.valid_esr,
        sum(each.steps for each in trained),
        sum(each.cpu_seconds for each in trained),
    )


def stopped_sentence(checkpoints: Path) -> str:
    """What to tell who stopped a training: where its best twin so far is, how good, and how to play it."""
    try:
        twin = load_twin(checkpoints)
    except ModelError:
        return "The training was stopped before its first step: there is no twin yet."
    return (
        f"The best twin so far has a validation ESR of {twin.metadata['valid_esr']:.3%} (seed "
        f"{twin.metadata['seed']}, step {twin.metadata['step']}). To play it: twin render {checkpoints} IN.wav OUT.wav"
    )


class _Counted:
    """A progress that knows how much was reported to it."""

    def __init__(self, whole: Progress) -> None:
        self._whole, self.count = whole, 0.0

    def __call__(self, n: float, note: str = "") -> None:
        self.count += n
        self._whole(n, note)
