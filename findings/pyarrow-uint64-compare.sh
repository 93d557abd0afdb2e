#!/usr/bin/env bash
# pyarrow 25.0.1 compares a column of uint64 with a Python integer by casting both to int64, so that a valid column with
# a value above 2^63 - 1 raises ArrowInvalid, even if the integer itself is small. numpy compares the same values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.1 numpy==2.4.6
venv/bin/python - <<'CODE'
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

values = np.array([1, 2**63], np.uint64)
try:
    found = pc.less(pa.array(values), 5).to_pylist()
except pa.ArrowInvalid as error:
    found = f"ArrowInvalid: {error}"
print("pyarrow:", found)
print("pyarrow with a typed scalar:", pc.less(pa.array(values), pa.scalar(5, pa.uint64())).to_pylist())
print("numpy:", (values < 5).tolist())
assert str(found).startswith("ArrowInvalid")
CODE
