#!/usr/bin/env bash
# Snakemake 9.27.1 takes every word after `--configfile FILE` for one more configuration file. A target there ends in a
# traceback of more than 20 lines, before the Snakefile is read, so that a workflow cannot explain it. A target that exists
# as a YAML file is read as a configuration, without a warning, and the default target is made instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'RULE'
rule all:
    output: "all.txt"
    shell: "touch {output}"

rule part:
    output: "part.yaml"
    shell: "echo 'colour: red' > {output}"
RULE
echo "colour: blue" > config.yaml

set +e
venv/bin/snakemake --cores 1 --configfile config.yaml part > log 2>&1
code=$?
set -e
first="exit code $code, $(grep --count Traceback log) traceback, $(grep --count "FileNotFoundError: .* 'part'" log) FileNotFoundError"
echo "colour: red" > part.yaml
venv/bin/snakemake --cores 1 --configfile config.yaml part.yaml > log 2>&1
seen="$first
made: $(ls all.txt); warnings: $(grep --count --ignore-case warning log || true)"
echo "$seen"
[ "$seen" = "exit code 1, 1 traceback, 1 FileNotFoundError
made: all.txt; warnings: 0" ]
