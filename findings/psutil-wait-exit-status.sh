#!/usr/bin/env bash
# psutil 7.2.2: `psutil.wait_procs` collects the exit status of a child that `subprocess.Popen` started. `Popen.wait` then
# finds no child and returns 0, so that a process killed by SIGKILL seems to have succeeded. psutil has the status, in
# `returncode` of its own object.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check psutil==7.2.2
venv/bin/python - <<'CODE'
import subprocess

import psutil

plain = subprocess.Popen(["sleep", "60"])
plain.kill()
child = subprocess.Popen(["sleep", "60"])
child.kill()
gone, alive = psutil.wait_procs([psutil.Process(child.pid)], timeout=10)
print("Popen.wait alone:", plain.wait())
print("Popen.wait after psutil.wait_procs:", child.wait())
print("psutil:", [process.returncode for process in gone])
assert (plain.returncode, child.returncode) == (-9, 0)
CODE
