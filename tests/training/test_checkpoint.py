import dataclasses

import pytest
import torch

from twinlib.contracts import CHECKPOINT_FILE
from twinlib.errors import ModelError
from twinlib.training.checkpoint import Checkpoint, State, load_checkpoint, save_checkpoint

STATE = State(
    step=7,
    cpu_seconds=0.1 + 0.2,
    input_gain=1 / 3,
    output_gain=2.0,
    loss_sum=0.1,
    loss_count=2,
    best_esr=1e-3,
    best_step=5,
    end=12.5,
    finished=True,
    rows=[{"step": 5, "loss": 1 / 7}],
)
LINEAR = {"linear.kernel": torch.arange(3.0)}
TENSORS = {"a.b": torch.arange(4.0), "muon/x/mean": torch.tensor(3.0)}


def checkpoint() -> Checkpoint:
    best = {name: 2 * tensor for name, tensor in TENSORS.items()}
    average = {name: 3 * tensor for name, tensor in TENSORS.items()}
    return Checkpoint(dataclasses.replace(STATE), TENSORS, best, average, TENSORS, LINEAR)


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_save_load_round_trip(tmp_path):
    save_checkpoint(tmp_path / "new", "me", checkpoint())
    found = load_checkpoint(tmp_path / "new", "me")
    assert found.state == STATE
    assert same(found.weights, checkpoint().weights)
    assert same(found.best, checkpoint().best)
    assert same(found.average, checkpoint().average)
    assert same(found.optimiser, checkpoint().optimiser)
    assert same(found.linear, LINEAR)


def test_equal_states_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, "me", checkpoint())
    assert (tmp_path / "a" / CHECKPOINT_FILE).read_bytes() == (tmp_path / "b" / CHECKPOINT_FILE).read_bytes()


def test_missing_and_invalid_checkpoints_are_ignored(tmp_path):
    assert load_checkpoint(tmp_path, "me") is None
    save_checkpoint(tmp_path, "me", checkpoint())
    assert load_checkpoint(tmp_path, "you") is None


@pytest.mark.parametrize("keep", [0, 50, 500])
def test_corrupted_checkpoint_is_ignored(tmp_path, keep):
    save_checkpoint(tmp_path, "me", checkpoint())
    (tmp_path / CHECKPOINT_FILE).write_bytes((tmp_path / CHECKPOINT_FILE).read_bytes()[:keep])
    assert load_checkpoint(tmp_path, "me") is None


def test_non_finite_state_keeps_the_last_good_checkpoint(tmp_path):
    save_checkpoint(tmp_path, "me", checkpoint())
    bad = dataclasses.replace(checkpoint(), weights={"a.b": torch.tensor(float("nan"))})
    with pytest.raises(ModelError, match=r"a\.b"):
        save_checkpoint(tmp_path, "me", bad)
    assert load_checkpoint(tmp_path, "me").state == STATE
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
