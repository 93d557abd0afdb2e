"""Run `snakemake --lint`; of its findings only the missing containers are accepted: `.venv` is the environment."""

import json
import subprocess
import sys
from pathlib import Path

ACCEPTED = {"No environment specified"}
REPOSITORY = Path(__file__).parents[1]


def main() -> int:
    """Print what is left of the lint's findings and return 1 if anything is."""
    command = [Path(sys.executable).with_name("snakemake"), "--lint", "json", "--configfile", "config/demo.yaml"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    try:
        findings = json.loads(result.stdout)
    except ValueError:
        print(result.stdout, result.stderr, sep="\n", file=sys.stderr)
        return 1
    bad = 0
    for place in findings["rules"] + findings["snakefiles"]:
        for lint in place["lints"]:
            if not any(lint["title"].startswith(title) for title in ACCEPTED):
                print(f"{place.get('name') or place.get('path')}: {lint['title']}: {lint['body']}", file=sys.stderr)
                bad += 1
    print("snakemake --lint: " + (f"{bad} findings" if bad else "nothing to say"))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
