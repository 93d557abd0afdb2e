#!/usr/bin/env bash
# soxr 1.1.0 adds dither to int16 output, and only to that; its docstrings do not mention it. Even at equal input and
# output rates, a quarter of the samples of a sine change by 1, silence becomes noise of -1, 0 and 1, and two equal
# channels differ. ResampleStream.clear() does not restart the dither, so the same stream gives different samples for
# the same input. int32, float32 and float64 output has no dither.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soxr==1.1.0 numpy==2.4.6
cat > resample.py <<'CODE'
import numpy as np
import soxr

RATE = 44100
SINE = 8000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def count_changes(samples):
    return np.count_nonzero(soxr.resample(samples, RATE, RATE) != samples)


def is_same_after_clear(samples):
    stream = soxr.ResampleStream(RATE, 48000, 1, dtype=samples.dtype)
    first = stream.resample_chunk(samples, last=True)
    stream.clear()
    return np.array_equal(first, stream.resample_chunk(samples, last=True))


for dtype in ("int16", "int32", "float32", "float64"):
    sine = SINE.astype("int16").astype(dtype)
    silence = np.zeros(RATE, dtype)
    left, right = soxr.resample(np.stack([sine, sine], axis=1), RATE, RATE).T
    levels = sorted({int(level) for level in soxr.resample(silence, RATE, RATE)})
    sine_changes = round(100 * count_changes(sine) / RATE)
    print(
        f"{dtype}: {sine_changes} % changed, silence {levels}, channels equal {np.array_equal(left, right)}, "
        f"equal after clear {is_same_after_clear(sine)}"
    )
CODE
seen=$(venv/bin/python resample.py)
echo "$seen"
[ "$seen" = "int16: 25 % changed, silence [-1, 0, 1], channels equal False, equal after clear False
int32: 0 % changed, silence [0], channels equal True, equal after clear True
float32: 0 % changed, silence [0], channels equal True, equal after clear True
float64: 0 % changed, silence [0], channels equal True, equal after clear True" ]
