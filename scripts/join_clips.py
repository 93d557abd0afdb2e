"""Concatenate a folder of short sound files, ordered by the numbers in their names, into one file."""

import argparse
from pathlib import Path

from twinlib.capture import concatenate_clips
from twinlib.cli_runtime import run


def main() -> None:
    """Concatenate the clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the clips, such as sample0.wav, sample1.wav, ...")
    parser.add_argument("out", type=Path, help="the WAV (float) or FLAC (24 bit) file to write")
    parser.add_argument("--skip", type=int, default=0, help="samples to skip at the start of every clip")
    parser.add_argument("--subtract-drift", action="store_true", help="subtract the slow drift common to all clips")
    args = parser.parse_args()
    print(f"{args.out}: {concatenate_clips(args.folder, args.out, args.skip, args.subtract_drift)} clips")


if __name__ == "__main__":
    run(main)
