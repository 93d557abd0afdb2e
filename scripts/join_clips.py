"""Join a folder of short sound files, in the order of the numbers in their names, into one file."""

import argparse
import re
from pathlib import Path

from twinlib.audio import Reader, Writer
from twinlib.errors import AudioError
from twinlib.program import run


def main() -> None:
    """Join the clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the clips, such as sample0.wav, sample1.wav, ...")
    parser.add_argument("out", type=Path, help="the WAV or FLAC file to write")
    parser.add_argument("--skip", type=int, default=0, help="samples to leave out at the start of every clip")
    args = parser.parse_args()
    clips = sorted(args.folder.glob("*.wav"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)])
    if not clips:
        raise AudioError(f"{args.folder} holds no .wav files")
    with Reader(clips[0]) as first:
        info = first.info
    with Writer(args.out, info.sample_rate, info.channels, "PCM_24") as writer:
        for clip in clips:
            with Reader(clip) as reader:
                if (reader.info.sample_rate, reader.info.channels) != (info.sample_rate, info.channels):
                    raise AudioError(f"{clip} differs from {clips[0]} in rate or channels: they do not belong together")
                if reader.info.frames != info.frames:
                    raise AudioError(f"{clip} and {clips[0]} differ in length: the borders between clips would be lost")
                writer.write(reader.read(args.skip))
    print(f"{args.out}: {len(clips)} clips")


if __name__ == "__main__":
    run(main)
