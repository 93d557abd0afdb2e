import pytest
import torch

from twinlib.kernels.build import find_compiler
from twinlib.kernels.library import load_library

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def compiled_library() -> None:
    if load_library() is None:
        if find_compiler() is None:
            pytest.skip("there is no C++ compiler for the kernels")
        pytest.fail("the kernels are not compiled: run `python -m twinlib.kernels.build`")
