#!/usr/bin/env bash
# Snakemake 9.27.1 compares modification times even if `--rerun-triggers` omits `mtime`. Its help offers the
# triggers code, input, mtime, params and software-env; with `--rerun-triggers params` a touched input still reruns the
# job. A workflow that decides by content cannot disable the comparison with this option.
# (The input is larger than 1 MB, because Snakemake first compares the checksums of smaller files.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'RULE'
rule copy:
    input: "in.bin"
    output: "out.bin"
    shell: "cp {input} {output}"
RULE
head -c 3000000 /dev/zero > in.bin
venv/bin/snakemake --quiet all --cores 1 out.bin
touch -d "2001-01-01 UTC" out.bin

plan() {
    venv/bin/snakemake --dry-run --cores 1 out.bin "$@" 2>&1 | grep --only-matching --max-count=1 -E "Nothing to be done|Updated input files"
}

seen="all triggers: $(plan); params alone: $(plan --rerun-triggers params)"
echo "$seen"
[ "$seen" = "all triggers: Updated input files; params alone: Updated input files" ]
