#!/usr/bin/env bash
# Snakemake 9.27.1 compares modification times as 64-bit floats, which resolve about 240 ns at today's dates.
# An input that changed 100 ns after its output was made is "up to date"; after 300 ns the job runs again.
# `make` and `stat` compare whole nanoseconds. Equal times therefore do not imply equal content.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'RULE'
rule copy:
    input: "in.txt"
    output: "out.txt"
    shell: "cp {input} {output}"
RULE
echo before > in.txt
venv/bin/snakemake --quiet all --cores 1 out.txt
touch -d "2026-11-01 12:00:00.000000000 UTC" out.txt
echo after > in.txt

plan() {
    touch -d "2026-11-01 12:00:00.$1 UTC" in.txt
    venv/bin/snakemake --dry-run --cores 1 out.txt 2>&1 | grep --only-matching --max-count=1 -E "Nothing to be done|Updated input files"
}

seen="100 ns newer: $(plan 000000100); 300 ns newer: $(plan 000000300)"
echo "$seen"
[ "$seen" = "100 ns newer: Nothing to be done; 300 ns newer: Updated input files" ]
