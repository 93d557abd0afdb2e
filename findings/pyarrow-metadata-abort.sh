#!/usr/bin/env bash
# pyarrow 25.0.1 can abort the Python process (SIGABRT) when it reads the metadata of a column of a Parquet file with a
# damaged footer, instead of raising an error. `read_table` never aborts on the same files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.1
venv/bin/python - <<'CODE'
import os
import signal

import pyarrow as pa
import pyarrow.parquet as pq


def ended(action) -> int:
    """Return the signal that ends a process which runs the action; 0 if it ends by itself."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            action()
        except Exception:
            pass
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


sink = pa.BufferOutputStream()
pq.write_table(pa.table({"a": [1, 2, 3]}), sink)
good = sink.getvalue().to_pybytes()
footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
counts = {"row_group(0).column(0)": 0, "read_table": 0}
for place in range(footer, len(good) - 8):
    for bit in range(8):
        bad = bytearray(good)
        bad[place] ^= 1 << bit
        file = pa.py_buffer(bytes(bad))
        actions = {
            "row_group(0).column(0)": lambda: pq.read_metadata(pa.BufferReader(file)).row_group(0).column(0),
            "read_table": lambda: pq.read_table(pa.BufferReader(file)),
        }
        for name, action in actions.items():
            counts[name] += ended(action) == signal.SIGABRT
print("aborted processes of", 8 * (len(good) - 8 - footer), "flipped bits:", counts)
assert counts["row_group(0).column(0)"] > 0
assert counts["read_table"] == 0
CODE
