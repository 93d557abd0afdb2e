"""Try many seeds and print the table."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from .run import attempt, described, table


def main() -> None:
    """Try many seeds and print the table."""
    parser = argparse.ArgumentParser(description="Align randomly damaged takes and print the table of verdicts.")
    parser.add_argument("--count", type=int, default=1000, help="number of seeds from the first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1, help="stride between these seeds")
    parser.add_argument("--seeds", type=int, nargs="*", help="only these seeds")
    parser.add_argument("--out", type=Path, help="write a line of JSON for each seed")
    args = parser.parse_args()
    outcomes = []
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for seed in args.seeds or range(args.first, args.first + args.count, args.step):
            outcome = attempt(seed, folder)
            outcomes.append(outcome)
            if outcome.failures or outcome.warned:
                print(described(outcome), flush=True)
            if args.out:
                with args.out.open("a") as stream:
                    stream.write(json.dumps(vars(outcome)) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(outcomes))
    sys.exit(any(outcome.failures or outcome.warned for outcome in outcomes))


if __name__ == "__main__":
    main()
