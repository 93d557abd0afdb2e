#!/usr/bin/env bash
# safetensors 0.8.0 writes the memory of a NumPy array as it is, under the shape of the array. An array in Fortran order
# is "contiguous and dense", which is all that the docstring asks for; `load` returns its values in wrong places, without
# an error. safetensors 0.7.0 stores the same array correctly. np.copy and copy.deepcopy keep the order and do not help;
# the method `copy` of the array does. scipy.linalg.qr and scipy.linalg.lstsq return such arrays for ordinary input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
pip() {
    venv/bin/pip install --quiet --disable-pip-version-check "$@"
}
cat > store.py <<'CODE'
import copy

import numpy as np
import safetensors
import scipy.linalg
from safetensors.numpy import load, save

MATRIX = np.arange(12.0).reshape(4, 3) ** 2
TRANSPOSED = MATRIX.T
ARRAYS = {
    "transposed": TRANSPOSED,
    "np.copy": np.copy(TRANSPOSED),
    "deepcopy": copy.deepcopy(TRANSPOSED),
    "method copy": TRANSPOSED.copy(),
    "scipy.linalg.qr": scipy.linalg.qr(MATRIX)[0],
    "scipy.linalg.lstsq": scipy.linalg.lstsq(MATRIX, np.eye(4))[0],
}
wrong = [name for name, array in ARRAYS.items() if not np.array_equal(load(save({"array": array}))["array"], array)]
print(f"{safetensors.__version__} wrong: {', '.join(wrong) or 'none'}")
CODE

pip numpy==2.4.6 scipy==1.17.1 safetensors==0.7.0
seen=$(venv/bin/python store.py)
pip safetensors==0.8.0
seen+=" | $(venv/bin/python store.py)"
echo "$seen"
[ "$seen" = "0.7.0 wrong: none | 0.8.0 wrong: transposed, np.copy, deepcopy, scipy.linalg.qr, scipy.linalg.lstsq" ]
