"""Run `snakemake --lint`. Only missing containers are accepted: `.venv` is the environment."""

import subprocess
import sys
from pathlib import Path

ACCEPTED = "Specify a conda environment or container for each rule"
REPOSITORY = Path(__file__).parents[1]


def main() -> int:
    """Print the other findings and return 1 if there are any."""
    command = [sys.executable, "-m", "snakemake", "--lint", "--configfile", "config/demo.yaml"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    place, found = "", []
    for line in lines:
        if line.startswith("Lints for "):
            place = line.removeprefix("Lints for ")
        elif line.startswith("    * ") and ACCEPTED not in line:
            found.append(f"{place} {line.strip(' *')}")
    if not any(line.startswith("Lints for ") for line in lines):
        found = ["the lint did not run:", *lines]
    print("\n".join(found) if found else "snakemake --lint: no findings")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
