"""A small search on a device in memory. Run as a program, it is one worker of the search."""

import sys
from pathlib import Path

import torch

from tests.training.factories import MemoryData
from twinlib.errors import DivergedError
from twinlib.model.architecture import Architecture, Network
from twinlib.training.search import SearchTask, open_study, run_worker
from twinlib.training.search_settings import Parameters, Search, Space
from twinlib.training.settings import Training
from twinlib.training.trials import Trial

BASE = Architecture(channels=3, kernel_size=3, dilations=(1, 3))
RECIPE = Training(steps=1, batch=2, crop_samples=64, checkpoint_seconds=0)
SPACE = Space(
    channels=(2, 3, 4),
    kernel_size=(2, 3),
    dilations=((1, 3), (1, 2, 4)),
    activation=("tanh", "leaky_relu"),
    batch=(1, 2),
    crop_samples=(32, 64),
)
SEARCH = Search(device="box", base="tiny", trials=14, steps=(3, 9, 27), space=SPACE)
FIRST = Parameters.from_base(BASE, RECIPE)


def make_data(network: Network, settings: Training) -> MemoryData:
    return MemoryData(network.receptive_field, settings.batch, settings.crop_samples)


class Diverging(MemoryData):
    """Data whose training diverges at a step."""

    at = 2

    def batch(self, step):
        if step >= self.at:
            raise DivergedError("the training diverged")
        return super().batch(step)


def task(folder: Path, search: Search, data) -> SearchTask:
    return SearchTask(search, BASE, RECIPE, data, folder, "code")


def run_search(folder: Path, search: Search = SEARCH, data=make_data, on_trial=lambda trial: None) -> list[Trial]:
    study = open_study(folder, search, BASE, RECIPE)
    run_worker(study, task(folder, search, data), on_trial)
    return study.trials(search.trials)


def timeless(trials: list[Trial]) -> list[object]:
    return [
        (trial.number, trial.parameters, trial.outcome, [(rung.valid_esr, rung.steps) for rung in trial.rungs])
        for trial in trials
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_search(Path(sys.argv[1]), SEARCH.model_copy(update={"trials": int(sys.argv[2])}))
