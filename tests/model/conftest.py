import pytest
import torch

from tests.model.factories import make_twin
from twinlib.model.architecture import Architecture
from twinlib.model.twin import Twin

torch.set_num_threads(1)


@pytest.fixture
def tiny() -> Twin:
    return make_twin(Architecture(channels=3, kernel_size=3, dilations=(1, 4)).network)
