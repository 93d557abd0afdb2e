#!/usr/bin/env bash
# `python -m ziglang c++` (ziglang 0.17.1 from PyPI) compiles for the CPU of the build machine by default, GCC and Clang
# for any x86-64 CPU. One `-m` option of an instruction set turns off every set that it does not imply: `-mavx2` yields
# fewer instructions than no option, and `-mno-avx512f` removes AVX2 and FMA as well. Results change too: without an
# option, a * b - c is one fused operation, and a square minus itself is not zero. `-msse2`, part of every x86-64 CPU,
# gives code without AVX2 and FMA.
# (Needs a CPU with AVX2 and FMA, and takes minutes of CPU time: each option compiles the C++ library again.)
set -euo pipefail
grep --quiet --word-regexp fma /proc/cpuinfo && grep --quiet --word-regexp avx2 /proc/cpuinfo ||
    { echo "This script needs an x86-64 CPU with AVX2 and FMA."; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ziglang==0.17.1
cat > square.cpp <<'CODE'
#include <cstdio>
#include <cstdlib>

int main(int, char **arguments) {
    double value = std::atof(arguments[1]);
    double square = value * value;
#ifdef __AVX2__
    std::printf("AVX2 ");
#endif
#ifdef __FMA__
    std::printf("FMA ");
#endif
    std::printf("%g\n", value * value - square);
}
CODE

try() {
    venv/bin/python -m ziglang c++ -O2 "$@" square.cpp -o square
    echo "${*:-no option}: $(./square 0.1)"
}

seen=$(try; try -mavx2; try -mfma; try -mno-avx512f; try -msse2)
echo "$seen"
[ "$seen" = "no option: AVX2 FMA -8.32667e-19
-mavx2: AVX2 0
-mfma: FMA -8.32667e-19
-mno-avx512f: 0
-msse2: 0" ]
