#!/usr/bin/env bash
# safetensors 0.8.0 with NumPy saves types of ml_dtypes that it does not load. `save` and `save_file` accept bfloat16
# and 8-bit floats without a warning. `load_file` returns bfloat16, but `load` of the bytes of the same file raises
# KeyError. Neither reads 8-bit floats, and one such array keeps `load_file` from returning all others of the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 ml_dtypes==0.6.0
cat > store.py <<'CODE'
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import load, load_file, save_file


def attempt(function, *arguments):
    try:
        return ", ".join(sorted(str(array.dtype) for array in function(*arguments).values()))
    except Exception as error:
        return type(error).__name__


for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"):
    dtype = getattr(ml_dtypes, name, name)
    save_file({"gain": np.ones(3, dtype), "bias": np.ones(3, "float32")}, "file")
    print(f"{name}: load_file {attempt(load_file, 'file')}; load {attempt(load, Path('file').read_bytes())}")
CODE
seen=$(venv/bin/python store.py)
echo "$seen"
[ "$seen" = "float16: load_file float16, float32; load float16, float32
bfloat16: load_file bfloat16, float32; load KeyError
float8_e4m3fn: load_file AttributeError; load KeyError
float8_e5m2: load_file AttributeError; load KeyError" ]
