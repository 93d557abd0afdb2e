import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinlib.kernels import instruction_set
from twinlib.kernels.build import build, find_compiler

pytestmark = pytest.mark.slow

FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1")


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizer is preloaded")
def test_random_shapes_under_the_address_and_undefined_behaviour_sanitizers(tmp_path):
    compiler = find_compiler()
    assert compiler is not None
    named = subprocess.run([*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True)
    if not Path(named.stdout.strip()).is_absolute():
        pytest.skip("this compiler has no address sanitizer")
    build(tmp_path, FLAGS)
    environment = {
        **os.environ,
        "LD_PRELOAD": named.stdout.strip(),
        # Python frees little at its end.
        "ASAN_OPTIONS": "detect_leaks=0",
        "TWINLIB_KERNELS": instruction_set() or "",
    }
    command = [sys.executable, "-m", "tests.kernels.sanitized", str(tmp_path), "45"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.strip() == "exercised 45"
