"""Measure a twin with the probe reel, like its device, and compare their harmonics."""

from pathlib import Path

from twinlib.audio import Reader
from twinlib.cli_runtime import options, run
from twinlib.contracts import MEASUREMENTS, PROBE
from twinlib.evaluation import load_twin_at_rate, play_reel_through_twin
from twinlib.excitation import parse_layout
from twinlib.files import read_json, sha256_file, write_json
from twinlib.kernels import engine_name
from twinlib.measurement import compare_harmonics, measure_probe_reel
from twinlib.progress import show_progress
from twinlib.provenance import stage_record
from twinlib.reports import draw_probe


def main() -> None:
    """Write `measurements.json` of device and twin, and the figures."""
    args = options(__doc__, device=str, model=str, twin=Path, reel=Path, probe=Path, measured=Path, outputs=[Path])
    inputs = [args.twin, args.reel, args.probe, args.measured]
    with stage_record(Path(__file__), inputs, args.outputs, {}) as record:
        record.environment["kernels"] = engine_name()
        layout = parse_layout(read_json(args.probe, PROBE))
        device = read_json(args.measured, MEASUREMENTS)["device"]
        loaded = load_twin_at_rate(args.twin, layout.sample_rate)
        title = f"measure {args.device}/{args.model}"
        with Reader(args.reel) as dry, show_progress(title, layout.frames, "samples") as done:
            wet = play_reel_through_twin(loaded, lambda start, stop: dry.read(start, stop)[:, 0], layout.frames, done)
            twin = measure_probe_reel(
                layout,
                lambda start, stop: dry.read(start, stop)[:, 0],
                lambda start, stop: wet[start:stop],
                device["music_withdrawn"],
            )
        comparison = compare_harmonics(device, twin)
        content = {"device": device, "twin": twin, "comparison": comparison, "twin_sha256": sha256_file(args.twin)}
        write_json(args.outputs[0], MEASUREMENTS, content)
        draw_probe(args.outputs[0].parent / "probe", f"{args.device}, {args.model}", device, twin)
    worst = comparison["worst_db"]
    print(
        f"{args.device}/{args.model}: {comparison['within']} of {comparison['compared']} harmonics are within 1 dB of "
        "the device's" + (f"; the largest deviation is {worst:.1f} dB" if worst is not None else "")
    )


if __name__ == "__main__":
    run(main)
