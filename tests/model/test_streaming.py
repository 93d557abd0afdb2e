import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.factories import make_twin, one_pass, with_filter
from twinlib.errors import ModelError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.streaming import Stream

SMALL = make_twin(Architecture(channels=4, kernel_size=3, dilations=(1, 5, 17), head_kernel_size=2).network)
DRY_PATH = make_twin(
    Architecture(channels=2, kernel_size=2, dilations=(1, 6), activation="adaptive", dry_path=True).network
)
FILTERED = with_filter(SMALL, 40)


def noise(frames: int, channels: int, seed: int = 0) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal((frames, channels))).astype(np.float32)


def in_blocks(twin, dry: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Process `(frames, channels)` in blocks of cyclic sizes."""
    stream, parts, start = Stream(twin, dry.shape[1]), [], 0
    while start < len(dry):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stream.process(dry[start : start + size]))
        start += size
    return np.concatenate(parts)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([SMALL, DRY_PATH, FILTERED]),
    st.integers(1, 3),
    st.lists(st.integers(1, 120), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_any_block_sizes_match_one_pass(twin, channels, sizes, seed):
    dry = noise(300, channels, seed)
    wet = in_blocks(twin, dry, sizes)
    assert wet.shape == dry.shape
    assert wet.dtype == np.float32
    for channel in range(channels):
        np.testing.assert_allclose(wet[:, channel], one_pass(twin, dry[:, channel]), atol=1e-6)


@pytest.mark.parametrize("name", ["small", *sorted(PRESETS)])
def test_presets_stream_as_in_training(name):
    network = Architecture().network if name == "small" else PRESETS[name]
    twin, dry = make_twin(network), noise(3000, 1)
    wanted = one_pass(twin, dry[:, 0])
    for sizes in ([3000], [1, 64, 511], [2999]):
        np.testing.assert_allclose(in_blocks(twin, dry, sizes)[:, 0], wanted, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 64, 4096, 65536])
def test_blocks_from_1_to_65536_match_one_pass(size):
    dry = noise(70_000 if size > 64 else 1500, 2)
    wet = in_blocks(DRY_PATH, dry, [size])
    for channel in range(2):
        np.testing.assert_allclose(wet[:, channel], one_pass(DRY_PATH, dry[:, channel]), atol=1e-6)


@pytest.mark.parametrize("kernels", ["", "off"])
@pytest.mark.parametrize("size", [1, 64, 4096, 40_000])
def test_network_and_filter_in_blocks_match_one_pass(monkeypatch, size, kernels):
    monkeypatch.setenv("TWINLIB_KERNELS", kernels)
    twin, dry = with_filter(make_twin(Architecture().network), 1024), noise(40_000 if size > 64 else 1500, 2)
    wet = in_blocks(twin, dry, [size])
    for channel in range(2):
        np.testing.assert_allclose(wet[:, channel], one_pass(twin, dry[:, channel]), atol=3e-6)


def test_blocks_larger_than_a_chunk():
    dry = noise(65536, 2)
    wet = Stream(SMALL, 2).process(dry)
    np.testing.assert_allclose(wet[:, 1], one_pass(SMALL, dry[:, 1]), atol=1e-6)


def test_mono_block_without_channel_axis(tiny):
    dry = noise(50, 1)
    with_axis, without = Stream(tiny), Stream(tiny)
    assert np.array_equal(with_axis.process(dry)[:, 0], without.process(dry[:, 0]))
    assert without.process(dry[:0, 0]).shape == (0,)


def test_channels_are_independent(tiny):
    left, right = noise(100, 1, 1), noise(100, 1, 2)
    both = Stream(tiny, 2).process(np.hstack([left, right]))
    np.testing.assert_allclose(both[:, :1], Stream(tiny).process(left), atol=1e-6)
    np.testing.assert_allclose(both[:, 1:], Stream(tiny).process(right), atol=1e-6)


def test_silence_gives_constant_output(tiny):
    wet = Stream(tiny).process(np.zeros(100, np.float32))
    np.testing.assert_allclose(wet, wet[-1], atol=1e-7)


def test_streams_of_one_twin_are_independent(tiny):
    dry = noise(60, 1)
    first, second = Stream(tiny), Stream(tiny)
    wanted = first.process(dry)
    first.process(dry)
    assert np.array_equal(second.process(dry), wanted)


def test_input_is_not_modified(tiny):
    dry = noise(60, 1)
    before = dry.copy()
    Stream(tiny).process(dry)
    assert np.array_equal(dry, before)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 2, 1)])
def test_wrong_channel_count_raises(tiny, shape):
    with pytest.raises(ModelError, match="2 channels"):
        Stream(tiny, 2).process(np.zeros(shape, np.float32))


def test_zero_channels_raise(tiny):
    with pytest.raises(ModelError, match="at least 1"):
        Stream(tiny, 0)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_non_finite_sample_raises_with_its_index(tiny, value):
    block = np.zeros(9)
    block[4] = value
    with pytest.raises(ModelError, match="sample 4"):
        Stream(tiny).process(block)
