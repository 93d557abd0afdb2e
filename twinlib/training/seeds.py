"""Several trainings that differ by their seed; the best becomes the twin."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from twinlib.contracts import TWIN_FILE
from twinlib.errors import ModelError
from twinlib.model import Network, Twin, load_twin
from twinlib.progress import Progress, no_progress
from twinlib.training.checkpoint import Row
from twinlib.training.data import TrainingData
from twinlib.training.distributed import rank
from twinlib.training.loop import Trained, noop_rows, train
from twinlib.training.settings import Training
from twinlib.training.warm_start import WarmStart


def seed_settings(settings: Training, index: int) -> Training:
    """Return the settings of one training, counted from 0: those of a single training with its seed."""
    return settings.model_copy(update={"seed": settings.seed + index, "seeds": 1})


def seed_dir(checkpoints: Path, seed: int) -> Path:
    """Return the folder of a seed's checkpoint."""
    return checkpoints / f"seed-{seed}"


def train_seeds(
    make_data: Callable[[Training], TrainingData],
    network: Network,
    settings: Training,
    checkpoints: Path,
    identity: str,
    progress: Progress = no_progress,
    on_rows: Callable[[list[Row]], None] = noop_rows,
    model_name: str = "",
    warm_start: WarmStart | None = None,
) -> Trained:
    """Train `settings.seeds` networks in sequence, as `train` does, and return the best by validation ESR.

    `make_data` returns the data of one training; its crops depend on the seed. Each training has its own state,
    `checkpoints/seed-S/`, and its own budget; `progress` counts all of them. From the first validation,
    `checkpoints/twin.safetensors` is the best twin so far, for rendering after a stop. The result concatenates the
    curves and sums steps and seconds. Raises what `train` raises.
    """
    best_file = checkpoints / TWIN_FILE
    if rank() == 0:
        # The file may belong to another dataset or network; a resumed training writes its own immediately.
        best_file.unlink(missing_ok=True)
    trained: list[Trained] = []
    skipped = 0.0

    def save_if_best(twin: Twin) -> None:
        if twin.metadata["valid_esr"] < min((result.valid_esr for result in trained), default=math.inf):
            twin.save(best_file)

    def advance(n: float, note: str = "") -> None:
        nonlocal skipped
        # The first report includes the unused budget of finished trainings.
        progress(n + skipped, f"seed {single.seed}: {note}" if settings.seeds > 1 else note)
        skipped = 0.0

    budget = float(settings.steps or settings.cpu_seconds or 0)
    for index in range(settings.seeds):
        single = seed_settings(settings, index)
        folder, reports, data = seed_dir(checkpoints, single.seed), CountingProgress(advance), make_data(single)
        result = train(data, network, single, folder, identity, reports, on_rows, model_name, warm_start, save_if_best)
        trained.append(result)
        skipped += budget - reports.count
    if skipped:
        progress(skipped)
    best = min(trained, key=lambda result: result.valid_esr)
    return Trained(
        best.twin,
        pd.concat([result.curve for result in trained], ignore_index=True),
        best.valid_esr,
        sum(result.steps for result in trained),
        sum(result.cpu_seconds for result in trained),
    )


def stop_message(checkpoints: Path) -> str:
    """Return the message after a stop: the best twin so far, its error, and the command to render with it."""
    try:
        twin = load_twin(checkpoints)
    except ModelError:
        return "The training stopped before its first step: there is no twin yet."
    return (
        f"The best twin so far has a validation ESR of {twin.metadata['valid_esr']:.3%} (seed "
        f"{twin.metadata['seed']}, step {twin.metadata['step']}). To render with it: twin render {checkpoints} IN.wav "
        "OUT.wav"
    )


class CountingProgress:
    """A `Progress` that counts the reported units and forwards them."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.count = progress, 0.0

    def __call__(self, n: float, note: str = "") -> None:
        """Report `n` more units."""
        self.count += n
        self._progress(n, note)
