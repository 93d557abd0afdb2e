#!/usr/bin/env bash
# The plugin `offline` of mkdocs-material 9.8.2, for pages that are opened as files, makes every page load a script from a
# server: unpkg.com, without a version and without a checksum. (Seen, not tested here: without a network, Chromium shows
# no search.)
# A path with "iframe-worker" under `extra.polyfills` replaces the script.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mkdocs-material==9.8.2
mkdir docs
echo "# Page" > docs/index.md
cat > mkdocs.yml <<'CONFIG'
site_name: test
theme: {name: material, font: false}
plugins: [search, offline]
CONFIG
venv/bin/mkdocs build --quiet 2> log
first=$(grep --only-matching 'src="http[^"]*"' site/index.html)
echo "extra: {polyfills: [iframe-worker.js]}" >> mkdocs.yml
venv/bin/mkdocs build --quiet 2> log
seen="$first; replaced: $(grep --count 'src="http' site/index.html || true)"
echo "$seen"
[ "$seen" = 'src="https://unpkg.com/iframe-worker/shim"; replaced: 0' ]
