"""A few hundred inputs of the many that `python -m tests.hostile` tries, and special files at every door."""

import contextlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.hostile.doors import Door, open_doors
from tests.hostile.run import attempt
from twinlib.errors import TwinError

COUNT = 300


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> list[Door]:
    return open_doors(tmp_path_factory.mktemp("doors"))


def test_every_door_takes_its_good_example(doors: list[Door], tmp_path: Path) -> None:
    for door in doors:
        path = tmp_path / f"good{door.suffix}"
        path.write_bytes(door.good)
        door.read(path)


@pytest.mark.slow
def test_hostile_input_is_accepted_or_refused_with_a_sentence(doors: list[Door], tmp_path: Path) -> None:
    outcomes = [attempt(doors, seed, tmp_path) for seed in range(COUNT)]
    wrong = [outcome for outcome in outcomes if outcome.kind not in ("accepted", "sentence")]
    assert not wrong
    refused = [outcome for outcome in outcomes if outcome.kind == "sentence"]
    assert len(refused) > COUNT / 3
    assert {outcome.door for outcome in refused} > {
        door.name for door in doors if door.suffix in (".parquet", ".arrow")
    }


def test_no_door_waits_for_a_pipe_or_reads_a_device(doors: list[Door], tmp_path: Path) -> None:
    for door in doors:
        path = tmp_path / f"pipe{door.suffix}"
        if not path.exists():
            os.mkfifo(path)
        for special in (path, Path("/dev/zero"), tmp_path):
            with contextlib.suppress(TwinError, ValidationError, OSError):
                door.read(special)
