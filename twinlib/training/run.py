"""A training of a twin on the files of a dataset, as run in each process of the training stage."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from twinlib.contracts import DATASET, SEGMENTS
from twinlib.errors import NotLearnedError
from twinlib.files import read_json, read_table
from twinlib.model import Architecture
from twinlib.progress import no_progress, show_progress
from twinlib.training.checkpoint import Row
from twinlib.training.data import ShardData
from twinlib.training.distributed import rank
from twinlib.training.loop import Trained, noop_rows
from twinlib.training.seeds import stop_message, train_seeds
from twinlib.training.settings import Training
from twinlib.training.warm_start import WarmStart


@dataclass(frozen=True)
class TrainingRun:
    """Inputs of a training."""

    device: str
    """Name of the device in the configuration."""
    model: str
    """Name of the model in the configuration."""
    architecture: Architecture
    """Network to train."""
    settings: Training
    """Recipe."""
    warm_start: WarmStart | None
    """Twin with the initial weights; None for random weights."""
    segments: Path
    """Table of segments (segments/1)."""
    dataset: Path
    """Manifest of the dataset (dataset/1)."""
    shards: Sequence[Path]
    """Shards, in one folder."""
    checkpoints: Path
    """Folder of the checkpoints."""
    identity: str
    """From `training_identity`; a training with another identity ignores the checkpoints."""


def run_training(run: TrainingRun, on_rows: Callable[[list[Row]], None] = noop_rows) -> Trained:
    """Train, or resume, with a progress bar; on a stop, print the path of the best twin so far.

    `on_rows` receives new rows of the learning curve, and an empty list once the data of a seed have been read. Raises
    what `train_seeds` raises, and `NotLearnedError` if the lowest validation ESR is above 100 %.
    """
    network, settings, dataset = run.architecture.network, run.settings, read_json(run.dataset, DATASET)

    def make_data(single: Training) -> ShardData:
        # The table grows with the length of the audio, so keep no reference to it.
        segments = read_table(run.segments, SEGMENTS, ShardData.columns)
        data = ShardData(segments, dataset, run.shards[0].parent, network.receptive_field, single)
        on_rows([])
        return data

    unit, budget = ("steps", settings.steps) if settings.steps else ("CPU-s", settings.cpu_seconds)
    title = f"train {run.device}/{run.model}"
    reports = nullcontext(no_progress) if rank() else show_progress(title, settings.seeds * (budget or 0), unit)
    try:
        with reports as report:
            trained = train_seeds(
                make_data,
                network,
                settings,
                run.checkpoints,
                run.identity,
                report,
                on_rows,
                run.model,
                run.warm_start,
            )
    except (KeyboardInterrupt, SystemExit):
        if rank() == 0:
            print(stop_message(run.checkpoints), file=sys.stderr)
        raise
    require_learned(trained, run.device, run.model)
    return trained


def require_learned(trained: Trained, device: str, model: str) -> None:
    """Raise `NotLearnedError` if the lowest validation ESR is above 100 %, the ESR of silence."""
    if trained.valid_esr <= 1:
        return
    raise NotLearnedError(
        f"The training of {device}/{model} failed: its lowest validation ESR is {trained.valid_esr:.3%}, and silence "
        "has 100 %. Check that each recording is that of its dry file and not another's, and that its lag and sample "
        "rate are right: `twin check` for takes, `twin align DRY WET` for pairs. If they are, increase the budget of "
        f"the training (here {trained.steps} steps)"
    )
