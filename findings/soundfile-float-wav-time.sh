#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2) stores the time of writing in float WAV and AIFF files, in seconds, in the chunk
# PEAK. Equal samples written in different seconds therefore make different bytes, at 60 to 63 of a mono WAV file and at
# 68 to 71 of AIFF, and a checksum of the file takes the same audio for another. soundfile has no option against it.
# A PCM WAV file, and float samples in RF64 and CAF files, are equal byte for byte.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cat > write.py <<'CODE'
import time
from pathlib import Path

import numpy as np
import soundfile

KINDS = [("WAV", "FLOAT"), ("AIFF", "FLOAT"), ("WAV", "PCM_24"), ("RF64", "FLOAT"), ("CAF", "FLOAT")]
ORDERS = {"WAV": "little", "AIFF": "big"}
SAMPLES = np.linspace(-0.5, 0.5, 1000)


def write_all():
    files = {}
    for kind, subtype in KINDS:
        soundfile.write("file", SAMPLES, 48000, format=kind, subtype=subtype)
        files[kind, subtype] = Path("file").read_bytes()
    return files


def describe(kind, before, after, times):
    if before == after:
        return "equal"
    start = before.index(b"PEAK") + 12
    stored = [int.from_bytes(data[start : start + 4], ORDERS[kind]) for data in (before, after)]
    same_rest = before[:start] == after[:start] and before[start + 4 :] == after[start + 4 :]
    is_time = all(abs(second - clock) <= 2 for second, clock in zip(stored, times))
    return f"time at {start}" if same_rest and is_time else "other difference"


times, runs = [], []
for _ in range(2):
    time.sleep(1.1)
    times.append(time.time())
    runs.append(write_all())
for key in KINDS:
    print(*key, describe(key[0], runs[0][key], runs[1][key], times))
CODE
seen=$(venv/bin/python write.py)
echo "$seen"
[ "$seen" = "WAV FLOAT time at 60
AIFF FLOAT time at 68
WAV PCM_24 equal
RF64 FLOAT equal
CAF FLOAT equal" ]
