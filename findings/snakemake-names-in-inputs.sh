#!/usr/bin/env bash
# Snakemake 9.27.1 replaces names in the path that an input function returns, although the function has the wildcards
# already. A file named `riff {take}.wav` becomes `riff 1.wav`, and `riff <temp>.wav` becomes `riff temp.wav`: `temp` is
# one of seven path variables that exist without a declaration. If the other file exists, the job reads it without a
# warning. Doubled braces are no escape: `riff {{take}}.wav` becomes `riff {3}.wav`. Unknown names stop the workflow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'RULE'
RIFFS = {
    "1": "riff {take}.wav",
    "2": "riff <temp>.wav",
    "3": "riff {{take}}.wav",
    "4": "riff {live}.wav",
    "5": "riff <live>.wav",
}

def get_riff(wildcards):
    return RIFFS[wildcards.take]

rule copy:
    input: get_riff
    output: "copy {take}.wav"
    shell: "cp {input:q} {output:q}"
RULE
for name in "riff {take}" "riff 1" "riff <temp>" "riff temp" "riff {{take}}" "riff {3}" "riff {live}" "riff <live>"; do
    echo "$name" > "$name.wav"
done

venv/bin/snakemake --cores 1 "copy 1.wav" "copy 2.wav" "copy 3.wav" > log 2>&1

get_error() {
    venv/bin/snakemake --dry-run --cores 1 "copy $1.wav" > log 2>&1 ||
        grep --only-matching -E "WildcardError|Undefined pathvar" log
}

warnings=$(grep --count --ignore-case warning log || true)
seen="{take}: $(cat "copy 1.wav"); <temp>: $(cat "copy 2.wav"); {{take}}: $(cat "copy 3.wav")
warnings: $warnings; {live}: $(get_error 4); <live>: $(get_error 5)"
echo "$seen"
[ "$seen" = "{take}: riff 1; <temp>: riff temp; {{take}}: riff {3}
warnings: 0; {live}: WildcardError; <live>: Undefined pathvar" ]
