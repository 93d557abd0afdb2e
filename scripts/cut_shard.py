"""Divide an aligned capture into segments and write them as a shard; excluded tracks become silence.

If there is a loop-back channel, its samples on the dry clock replace the dry signal.
"""

import json
from contextlib import ExitStack
from pathlib import Path

from twinlib.alignment import Alignment, WarpedReader, reference_alignment
from twinlib.audio import Reader, Signal
from twinlib.capture import find_silence, used_range
from twinlib.cli_runtime import options, run
from twinlib.contracts import ALIGNMENT, CAPTURES, CUES, SEGMENTS, TAKE
from twinlib.dataset import Dataset, capture_source, excluded_ranges, shard_metadata, tile_pair, tile_reel, write_shard
from twinlib.diagnosis import with_constant_lag
from twinlib.excitation import read_reel
from twinlib.files import read_json, read_table, write_table
from twinlib.progress import show_progress
from twinlib.provenance import require_take_files, stage_record


def main() -> None:
    """Write a shard and its table of segments."""
    args = options(
        __doc__,
        device=str,
        name=str,
        settings=str,
        withdrawn=str,
        pair=str,
        channel=int,
        dry=Path,
        wet=Path,
        take=Path,
        alignment=Path,
        captures=[Path],
        cues=[Path],
        excitation=[Path],
        shard=Path,
        segments=Path,
    )
    settings, pair = Dataset.model_validate_json(args.settings), json.loads(args.pair)
    params = {"settings": args.settings, "withdrawn": args.withdrawn, "pair": args.pair, "channel": str(args.channel)}
    inputs = [args.dry, args.wet, args.take, args.alignment, *args.captures, *args.cues, *args.excitation]
    with stage_record(Path(__file__), inputs, [args.shard, args.segments], params) as record:
        require_take_files(record, args.take, args.wet, args.dry)
        take, alignment = read_json(args.take, TAKE), Alignment.from_dict(read_json(args.alignment, ALIGNMENT))
        for path in args.captures:
            shift = read_json(path, CAPTURES)["captures"][args.name]["shift"]
            alignment = alignment if shift is None else with_constant_lag(alignment, shift)
        source = capture_source(args.device, args.name, take, alignment, used_range(args.dry, pair))
        silenced: list[tuple[int, int]] = []
        if pair is not None:
            with Reader(args.dry) as dry:
                silence = find_silence(dry, args.channel - 1 if args.channel <= dry.info.channels else 0)
            segments = tile_pair(
                source,
                args.dry.as_posix(),
                settings,
                split=pair["split"],
                clip_samples=pair["clip_samples"],
                silence=silence,
            )
        else:
            cues = read_table(args.cues[0], CUES)
            cues = cues[cues.reel == args.name]
            withdrawn = set(json.loads(args.withdrawn))
            reel = read_reel(args.excitation[0], args.name)
            segments = tile_reel(source, cues, reel, settings, withdrawn)
            silenced = excluded_ranges(cues, withdrawn, source.guard_samples)
        title = f"shard {args.device}/{args.name}"
        samples = len(segments) * settings.segment_samples
        with ExitStack() as open_files, show_progress(title, samples, "samples") as done:
            dry = open_files.enter_context(Reader(args.dry))
            column = args.channel - 1 if args.channel <= dry.info.channels else 0
            wet, looped_back = None, None
            if not source.refused:
                wet = open_files.enter_context(WarpedReader(args.wet, alignment, args.channel - 1))
            if wet and alignment.reference:
                channel = alignment.reference.channel
                looped_back = open_files.enter_context(WarpedReader(args.wet, reference_alignment(alignment), channel))
            written = write_shard(
                args.shard,
                segments,
                looped_back.read if looped_back else lambda start, stop: dry.read(start, stop)[:, column],
                wet.read if wet else _read_nothing,
                shard_metadata(source, settings.segment_samples),
                silenced,
                done,
            )
        write_table(args.segments, SEGMENTS, written)


def _read_nothing(start: int, stop: int) -> Signal:
    raise AssertionError("a refused take has no rows to write")


if __name__ == "__main__":
    run(main)
