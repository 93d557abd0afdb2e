#!/usr/bin/env bash
# Snakemake 9.27.1 locks the outputs of a run by files in `.snakemake/locks`, so that two runs in one folder may make
# different files at the same time, but not the same. The end of either run removes the locks of both: while the longer
# run still works on its output, a third run on that output is no longer refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'RULE'
rule long:
    output: "long.txt"
    shell: "sleep 60; touch {output}"
rule short:
    output: "short.txt"
    shell: "touch {output}"
RULE
snakemake() { venv/bin/snakemake --cores 1 --nocolor "$@"; }

snakemake long.txt --quiet all > long.log 2>&1 &
for _ in $(seq 150); do [ -z "$(ls .snakemake/locks 2> /dev/null)" ] || break; sleep 0.2; done
sleep 2
before=$(snakemake long.txt 2>&1 | grep --only-matching --max-count=1 "Directory cannot be locked" || true)
snakemake short.txt --quiet all > short.log 2>&1
left=$(ls .snakemake/locks 2> /dev/null | wc -l || true)
kill -0 $! && running=yes
kill $! 2> /dev/null || true
wait || true
seen="same output: $before; after a run on another output: $left lock files, first run still works: ${running:-no}"
echo "$seen"
[ "$seen" = "same output: Directory cannot be locked; after a run on another output: 0 lock files, first run still works: yes" ]
