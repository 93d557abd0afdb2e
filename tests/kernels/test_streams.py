import resource

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.factories import (
    INSTRUCTIONS,
    NETWORKS,
    assert_close,
    by_torch,
    make_twin,
    music,
    networks,
    using,
)
from twinlib.errors import ModelError
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin


def in_blocks(twin: Twin, dry: np.ndarray, sizes: list[int], threads: int = 1) -> np.ndarray:
    """Process `(frames, channels)` in blocks of cyclic sizes."""
    stream, parts, start = Stream(twin, dry.shape[1], threads), [], 0
    while start < len(dry):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stream.process(dry[start : start + size]))
        start += size
    return np.concatenate(parts)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_presets_equal_torch_with_every_instruction_set(name):
    twin, dry = make_twin(NETWORKS[name]), music(1200)
    wanted = by_torch(twin, dry)
    for instructions in INSTRUCTIONS:
        with using(instructions):
            wet = in_blocks(twin, dry[:, None], [1200])
            assert np.array_equal(in_blocks(twin, dry[:, None], [64, 1, 511]), wet)
        assert_close(wet[:, 0], wanted, 5e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(INSTRUCTIONS),
    networks(),
    st.integers(1, 3),
    st.integers(0, 20),
    st.lists(st.integers(1, 500), min_size=1, max_size=4),
    st.integers(0, 300),
    st.integers(0, 99),
)
def test_any_network_in_any_blocks_equals_torch(instructions, network, channels, guard, sizes, taps, seed):
    twin = make_twin(network, seed, min(guard, network.receptive_field - 1), taps)
    dry = music(channels, 900, seed=seed).T
    with using(instructions):
        wet = in_blocks(twin, dry, [900])
        assert np.array_equal(in_blocks(twin, dry, sizes), wet)
    for channel in range(channels):
        assert_close(wet[:, channel], by_torch(twin, dry[:, channel]))


def test_channels_on_threads_equal_one_thread():
    twin, dry = make_twin(NETWORKS["nam-nano"]), music(5, 9000).T
    assert np.array_equal(in_blocks(twin, dry, [3000], threads=3), in_blocks(twin, dry, [3000]))


def test_streams_of_one_twin_are_independent():
    twin, dry = make_twin(NETWORKS["wide taps"]), music(1, 400).T
    first, second = Stream(twin), Stream(twin)
    wanted = first.process(dry)
    del first
    assert np.array_equal(second.process(dry), wanted)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("scale", [1e-38, 1e-42, 0.0])
def test_denormal_input_gives_the_output_of_silence(instructions, scale):
    twin = make_twin(NETWORKS["wide taps"])
    dry = (scale * music(700)).astype(np.float32)
    with using(instructions):
        wet = Stream(twin).process(dry)
    assert np.isfinite(wet).all()
    assert_close(wet, by_torch(twin, dry), 5e-6)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_a_signal_that_decays_into_denormals_equals_torch(instructions):
    twin = make_twin(NETWORKS["nam-nano"])
    dry = (music(3000) * np.exp(-np.arange(3000) / 25.0)).astype(np.float32)
    with using(instructions):
        wet = Stream(twin).process(dry)
    assert_close(wet, by_torch(twin, dry), 5e-6)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("level", [1e3, 1e30])
@pytest.mark.parametrize("activation", ["tanh", "gated"])
def test_extreme_levels_saturate(instructions, level, activation):
    network = NETWORKS["wide taps"].model_copy(update={"dry_path": False})
    stack = network.stacks[0].model_copy(update={"activation": activation})
    twin = make_twin(network.model_copy(update={"stacks": (stack,)}))
    with using(instructions):
        wet = Stream(twin).process((level * music(500)).astype(np.float32))
    assert np.isfinite(wet).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 4, 8191, 8192, 20_001])
def test_a_sample_that_is_not_finite_is_refused_with_its_frame(value, place):
    block = np.zeros((20_002, 2), np.float32)
    block[place, 1] = value
    with pytest.raises(ModelError, match=f"sample {place} of"):
        Stream(make_twin(NETWORKS["nam-nano"]), 2).process(block)


def test_memory_does_not_grow_with_the_length():
    stream, block = Stream(make_twin(NETWORKS["nam-nano"])), music(1, 512).T
    before = 0
    for index in range(1200):
        stream.process(block)
        if index == 100:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096
