import os
import signal
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.factories import GUARD, MemoryData, ToneData, kill_at
from twinlib.contracts import CHECKPOINT, CHECKPOINT_FILE, TRAINING
from twinlib.errors import TrainingError
from twinlib.files import read_table, write_table
from twinlib.model.architecture import Architecture
from twinlib.model.streaming import Stream
from twinlib.model.tensors import load_tensors, save_tensors
from twinlib.model.twin import load_twin
from twinlib.training.checkpoint import load_checkpoint
from twinlib.training.loop import Trained, train
from twinlib.training.settings import Training
from twinlib.training.signals import stop_requests

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 3)).network
SETTINGS = Training(steps=40, batch=2, crop_samples=64, validate_every=7, checkpoint_seconds=0)


def run(folder, data=None, setup=SETTINGS, network=NETWORK, identity="code", **rest) -> Trained:
    return train(data or MemoryData(network.receptive_field), network, setup, folder, identity, **rest)


def equal(left: Trained, right: Trained) -> bool:
    names = left.twin.weights.keys()
    return names == right.twin.weights.keys() and all(
        np.array_equal(left.twin.weights[name], right.twin.weights[name]) for name in names
    )


def timeless(trained: Trained):
    return trained.curve.drop(columns="cpu_seconds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Trained:
    return run(tmp_path_factory.mktemp("whole"))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=4), st.sampled_from([0.0, 0.05, 1e9]))
def test_killed_training_resumes_exactly(tmp_path_factory, whole, kills, seconds):
    folder = tmp_path_factory.mktemp("killed")
    setup = SETTINGS.model_copy(update={"checkpoint_seconds": seconds})
    for kill in kills:
        with pytest.raises(InterruptedError):
            run(folder, setup=setup, progress=kill_at(kill))
    resumed = run(folder, setup=setup)
    assert equal(resumed, whole)
    assert resumed.valid_esr == whole.valid_esr
    assert timeless(resumed).equals(timeless(whole))


def test_equal_trainings_give_equal_bytes(tmp_path, whole):
    torch.manual_seed(123)  # nothing may depend on global state
    run(tmp_path / "b").twin.save(tmp_path / "b.safetensors")
    whole.twin.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_finished_training_returns_at_once(tmp_path):
    first = run(tmp_path)
    data = MemoryData(NETWORK.receptive_field)
    data.batch = None
    again = run(tmp_path, data)
    assert equal(again, first)
    assert again.curve.equals(first.curve)
    assert again.cpu_seconds == first.cpu_seconds


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "other code"},
        {"setup": SETTINGS.model_copy(update={"seed": 1})},
        {"network": Architecture(channels=3, kernel_size=3, dilations=(1, 3), activation="relu").network},
    ],
)
def test_checkpoint_of_another_training_is_ignored(tmp_path, whole, change):
    run(tmp_path)
    done: list[float] = []
    run(tmp_path, progress=lambda n, note="": done.append(n), **change)
    assert done[0] == 0
    assert sum(done) == 40


def test_learning_curve(tmp_path, whole):
    curve = whole.curve
    assert curve["step"].tolist() == [7, 14, 21, 28, 35, 40]
    assert curve["best_esr"].tolist() == np.minimum.accumulate(curve["valid_esr"]).tolist()
    assert (curve["learning_rate"].iloc[:3] <= SETTINGS.muon_rate).all()
    assert curve["learning_rate"].iloc[-1] == 0
    assert curve["cpu_seconds"].is_monotonic_increasing
    write_table(tmp_path / "training.parquet", TRAINING, curve)
    assert read_table(tmp_path / "training.parquet", TRAINING).equals(curve)


def test_rows_and_progress_are_reported_once(tmp_path):
    rows, done, notes = [], [], []

    def progress(n: float, note: str = "") -> None:
        done.append(n)
        notes.append(note)

    trained = run(tmp_path, progress=progress, on_rows=rows.extend)
    assert rows == trained.curve.to_dict("records")
    assert sum(done) == 40
    assert "validation ESR" in notes[-1]


def test_twin_file_reproduces_the_validation_error(tmp_path):
    data = MemoryData(NETWORK.receptive_field)
    trained = run(tmp_path, data, model_name="small")
    trained.twin.save(tmp_path / "twin.safetensors")
    twin = load_twin(tmp_path)
    assert (twin.sample_rate, twin.guard_samples, twin.device) == (44100, GUARD, "box")
    assert (twin.model, twin.dataset) == ("small", "d1ge57")
    error = energy = 0.0
    for dry, wet in data.excerpts(1):
        played = Stream(twin).process(dry)[data.context :]
        error += float(np.sum(np.square(played - wet, dtype=np.float64)))
        energy += float(np.sum(np.square(wet, dtype=np.float64)))
    assert error / energy == pytest.approx(trained.valid_esr, rel=1e-4)


def test_short_training_beats_the_best_gain(tmp_path):
    network = Architecture(channels=6, kernel_size=4, dilations=(1, 3)).network
    data = MemoryData(network.receptive_field, batch=4, crop=256)
    setup = Training(steps=300, batch=4, crop_samples=256, validate_every=1000)
    trained = run(tmp_path, data, setup, network)
    pairs = data.excerpts(1)
    dry = np.concatenate([dry[data.context - GUARD : len(dry) - GUARD] for dry, _ in pairs]).astype(np.float64)
    wet = np.concatenate([wet for _, wet in pairs]).astype(np.float64)
    by_gain = 1 - (dry @ wet) ** 2 / (dry @ dry) / (wet @ wet)
    assert trained.valid_esr < 0.1 * by_gain


def test_cpu_budget_spans_resumptions(tmp_path):
    setup = Training(cpu_seconds=0.6, batch=2, crop_samples=64, checkpoint_seconds=0)
    with pytest.raises(InterruptedError):
        run(tmp_path, setup=setup, progress=kill_at(0.4))
    done: list[float] = []
    trained = run(tmp_path, setup=setup, progress=lambda n, note="": done.append(n))
    assert 0.3 < done[0] < 0.6
    assert sum(done) == pytest.approx(0.6)
    assert 0.6 <= trained.cpu_seconds < 3


def test_best_weights_are_kept_instead_of_the_last(tmp_path):
    setup = Training(steps=30, batch=2, crop_samples=64, validate_every=1, decay_fraction=0, muon_rate=2.0)
    trained = run(tmp_path, setup=setup)
    best = trained.curve["valid_esr"].idxmin()
    assert best < 29
    assert trained.valid_esr == trained.curve["valid_esr"][best]
    assert trained.twin.metadata["step"] == trained.curve["step"][best]


def test_non_finite_crop_raises_and_the_last_checkpoint_stays(tmp_path):
    data = MemoryData(NETWORK.receptive_field)
    honest = data.batch

    def poisoned(step: int):
        dry, wet = honest(step)
        if data.armed and step == 12:
            wet[0, 3] = np.inf
        return dry, wet

    data.armed, data.batch = False, poisoned

    def arm(rows) -> None:
        data.armed = True

    with pytest.raises(TrainingError, match=r"step 12 .*\(memory at sample \d+\)\. Repair"):
        run(tmp_path, data, on_rows=arm)
    assert (tmp_path / CHECKPOINT_FILE).exists()
    assert equal(run(tmp_path), run(tmp_path / "clean"))


def test_divergence_raises_with_step_and_crops(tmp_path):
    setup = SETTINGS.model_copy(update={"adamw_rate": 1e30, "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"diverged at step \d+, on the crops: memory .*Lower"):
        run(tmp_path, setup=setup)


@pytest.mark.parametrize(("value", "problem"), [(0, "silent"), (np.nan, "not finite")])
def test_unusable_validation_split_raises(tmp_path, value, problem):
    data = MemoryData(NETWORK.receptive_field)
    data.excerpts = lambda seconds: [(np.zeros(50, np.float32), np.full(42, value, np.float32))]
    with pytest.raises(TrainingError, match=f"validation split is {problem}"):
        run(tmp_path, data)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_raises(tmp_path):
    with pytest.raises(TrainingError, match="no GPU"):
        run(tmp_path, setup=SETTINGS.model_copy(update={"device": "cuda"}))


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_signal_saves_a_checkpoint_first(tmp_path, whole, number, raised):
    if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    setup = SETTINGS.model_copy(update={"checkpoint_seconds": 1e9})
    data, before = MemoryData(NETWORK.receptive_field), signal.getsignal(number)
    honest, calls = data.batch, []

    def batch(step: int):
        calls.append(step)
        if step == 17 and calls.count(17) == 2:  # the first call only measures the level
            os.kill(os.getpid(), number)
        return honest(step)

    data.batch = batch
    with pytest.raises(raised):
        run(tmp_path, data, setup)
    assert signal.getsignal(number) == before
    assert calls[-1] == 17
    resumed = run(tmp_path, setup=setup)
    assert equal(resumed, whole)


def test_ignored_hangups_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as stop_request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop_request() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_works_outside_the_main_thread(tmp_path, whole):
    found: list[Trained] = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert equal(found[0], whole)


def test_checkpoint_identity_covers_more_than_the_code(tmp_path):
    run(tmp_path)
    assert load_checkpoint(tmp_path, "code") is None  # the identity holds dataset, network and settings too


@pytest.mark.parametrize("part", ["weights", "best"])
def test_checkpoint_with_other_shapes_is_ignored(tmp_path, whole, part):
    run(tmp_path)
    header, tensors = load_tensors(tmp_path / CHECKPOINT_FILE, CHECKPOINT)
    name = f"{part}:stacks.0.layers.0.kernel"
    save_tensors(tmp_path / CHECKPOINT_FILE, CHECKPOINT, header, {**tensors, name: tensors[name][:, :, :1]})
    assert equal(run(tmp_path), whole)


AVERAGED = SETTINGS.model_copy(update={"average": 0.95, "stft_weight": 0.0})


@pytest.mark.parametrize("kill", [3, 20, 38])
def test_averaged_training_resumes_exactly(tmp_path, kill):
    whole = run(tmp_path / "whole", setup=AVERAGED)
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", setup=AVERAGED, progress=kill_at(kill))
    resumed = run(tmp_path / "cut", setup=AVERAGED)
    assert equal(resumed, whole)
    assert timeless(resumed).equals(timeless(whole))


def test_average_is_validated_and_kept(tmp_path, whole):
    averaged = run(tmp_path, setup=AVERAGED)
    assert not equal(averaged, whole)
    assert averaged.curve["loss"].tolist() == whole.curve["loss"].tolist(), "it does not change what is trained"
    assert averaged.curve["valid_esr"].tolist() != whole.curve["valid_esr"].tolist()


IMPATIENT = Training(
    steps=4000, batch=2, crop_samples=64, validate_every=5, checkpoint_seconds=0, patience=2, muon_rate=0.3,
    adamw_rate=0.1, decay_fraction=0.4,
)  # fmt: skip


def test_plateau_starts_the_decay_and_ends_the_training(tmp_path):
    reports: list[tuple[float, str]] = []
    trained = run(tmp_path, setup=IMPATIENT, progress=lambda n, note="": reports.append((n, note)))
    curve = trained.curve
    full = curve["learning_rate"] == IMPATIENT.muon_rate
    lost = int(curve["step"][full].max())
    best_before = curve["step"][curve["valid_esr"][curve["step"] <= lost].idxmin()]
    assert lost - best_before == 2 * IMPATIENT.validate_every
    assert trained.steps == int(np.ceil(lost / 0.6)) < 1000
    assert curve["learning_rate"].iloc[-1] == 0
    assert (np.diff(curve["learning_rate"][curve["step"] > lost]) < 0).all()
    assert sum(done for done, _ in reports) == trained.steps
    announced = [number for number, (_, note) in enumerate(reports) if "2 validations without a new best" in note]
    assert announced[0] == lost
    assert reports[lost][1].endswith(f": decay until {trained.steps} steps")


def test_training_after_a_plateau_resumes_exactly(tmp_path):
    whole = run(tmp_path / "whole", setup=IMPATIENT)
    lost = int(whole.curve["step"][whole.curve["learning_rate"] == IMPATIENT.muon_rate].max())
    for kill in (lost - 2, lost + 1):
        folder = tmp_path / f"{kill}"
        with pytest.raises(InterruptedError):
            run(folder, setup=IMPATIENT.model_copy(), progress=kill_at(kill))
        resumed = run(folder, setup=IMPATIENT)
        assert equal(resumed, whole)
        assert timeless(resumed).equals(timeless(whole))


def test_a_training_with_tones_resumes_exactly_and_depends_on_the_harmonics(tmp_path):
    setup = SETTINGS.model_copy(update={"checkpoint_seconds": 0})
    data = ToneData(NETWORK.receptive_field)
    whole = run(tmp_path / "whole", data, setup)
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", data, setup, progress=kill_at(17))
    assert equal(run(tmp_path / "cut", data, setup), whole)
    without = run(tmp_path / "without", data, setup.model_copy(update={"harmonic_weight": 0.0}))
    assert not equal(without, whole)
    weighted = run(tmp_path / "weighted", data, setup.model_copy(update={"harmonic_weight": 1.0}))
    assert equal(run(tmp_path / "again", data, setup.model_copy(update={"harmonic_weight": 1.0})), weighted)


def test_plateau_without_decay_ends_the_training(tmp_path):
    trained = run(tmp_path, setup=IMPATIENT.model_copy(update={"decay_fraction": 0}))
    assert trained.steps < 1000
    assert trained.steps - trained.twin.metadata["step"] == 2 * IMPATIENT.validate_every


def stopped(folder, step: int, setup=SETTINGS, best=None) -> None:
    """Ask a training to stop in the middle of a step."""
    data = MemoryData(NETWORK.receptive_field)
    honest, calls = data.batch, []

    def batch(number: int):
        calls.append(number)
        if number == step and (step > 63 or calls.count(step) == 2):
            os.kill(os.getpid(), signal.SIGINT)
        return honest(number)

    data.batch = batch
    with pytest.raises(KeyboardInterrupt):
        run(folder, data, setup, on_best=best)


@pytest.mark.parametrize("step", [3, 17])
def test_stop_publishes_a_twin_even_before_the_first_validation(tmp_path, whole, step):
    left = []
    stopped(tmp_path, step, SETTINGS.model_copy(update={"checkpoint_seconds": 1e9}), left.append)
    assert left[-1].metadata["step"] == (4 if step == 3 else 14)
    assert 0 < left[-1].metadata["valid_esr"] < 2
    left[-1].save(tmp_path / "twin.safetensors")
    resumed = run(tmp_path, setup=SETTINGS.model_copy(update={"checkpoint_seconds": 1e9}), on_best=left.append)
    assert equal(resumed, whole)
    assert timeless(resumed).equals(timeless(whole)), "the look at the stop has left no trace"
    assert left[-1].metadata == resumed.twin.metadata
