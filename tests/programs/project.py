"""A finished project for bad input, and the options of each program as in the workflow."""

import json
from pathlib import Path
from typing import Any

from tests.cli_harness import EXCITATION, TWIN
from twinlib.config import Config

CAPTURE = "results/devices/amp/tiny-01"
DEVICE = "results/devices/amp"
REEL = f"{EXCITATION}/reels/tiny-01.wav"
SHARD = f"{DEVICE}/shards/tiny-01.arrow"
ALIGNMENT = f"{CAPTURE}/alignment.json"

STAGES = (
    "index_corpus",
    "plan_excitation",
    "render_reel",
    "fingerprint_reels",
    "simulate_take",
    "ingest_take",
    "align_take",
    "compare_captures",
    "build_contact_sheet",
    "cut_shard",
    "build_manifest",
    "check_leaks",
    "train_twin",
    "evaluate_twin",
    "write_device_card",
    "export_twin",
    "build_summary",
    "build_comparison",
)


def options_of(config: Config) -> dict[str, dict[str, Any]]:
    """Return the options of each program as in the workflow."""
    assert config.corpus is not None
    device = config.devices["amp"]
    assert device.simulate is not None
    corpus, dataset = config.corpus.model_dump_json(), config.dataset.model_dump_json()
    files = {"channel": 1, "dry": REEL, "wet": f"{CAPTURE}/take.wav"}
    capture = {**files, "pair": "null"}
    cues, excitation, tracks = (
        f"{EXCITATION}/cues.parquet",
        f"{EXCITATION}/excitation.json",
        "results/corpus/tracks.parquet",
    )
    table, manifest = f"{DEVICE}/segments.parquet", f"{DEVICE}/dataset.json"
    return {
        "index_corpus": {"settings": corpus, "tracks": tracks, "index": "results/corpus/index.json"},
        "plan_excitation": {
            "name": "tiny",
            "settings": config.excitations["tiny"].model_dump_json(),
            "corpus": corpus,
            "tracks": tracks,
            "exclude": "excluded.tsv",
            "cues": cues,
            "excitation": excitation,
        },
        "render_reel": {
            "name": "tiny-01",
            "root": "corpus",
            "cues": cues,
            "excitation": excitation,
            "devices": "results/devices",
            "reel": REEL,
        },
        "fingerprint_reels": {
            "name": "tiny",
            "cues": cues,
            "reels": REEL,
            "fingerprints": f"{EXCITATION}/fingerprints.parquet",
        },
        "render_probe_reel": {
            "name": "tiny",
            "root": "corpus",
            "cues": cues,
            "excitation": excitation,
            "devices": "results/devices",
            "reel": f"{EXCITATION}/reels/tiny-probe.wav",
            "probe": f"{EXCITATION}/probe.json",
        },
        "write_recording_guide": {
            "name": "tiny",
            "excitation": excitation,
            "probe": [],
            "takes": json.dumps({"amp": "takes/{reel}.wav"}),
            "guide": f"{EXCITATION}/recording.md",
            "page": f"{EXCITATION}/recording.html",
        },
        "simulate_take": {
            "device": "amp",
            "name": "tiny-01",
            "settings": device.simulate.model_dump_json(),
            "reel": REEL,
            "take": f"{CAPTURE}/take.wav",
            "truth": f"{CAPTURE}/truth.json",
        },
        "ingest_take": {
            **files,
            "reference_channel": 0,
            "kind": "simulated",
            "knobs": '{"drive": 1}',
            "accept": "null",
            "take": f"{CAPTURE}/take.json",
        },
        "align_take": {
            **files,
            "reference_channel": 0,
            "repair": device.repair,
            "programme": [],
            "name": "tiny-01",
            "guard": config.dataset.guard_samples,
            "dry_range": "null",
            "known": "{}",
            "excitation": excitation,
            "alignment": f"{CAPTURE}/alignment.json",
            "picture": f"{CAPTURE}/alignment.svg",
        },
        "compare_captures": {
            "device": "amp",
            "names": ["tiny-01"],
            "alignments": f"{CAPTURE}/alignment.json",
            "captures": f"{DEVICE}/captures.json",
        },
        "build_contact_sheet": {
            "device": "amp",
            "missing": '["tiny-02"]',
            "takes": f"{CAPTURE}/take.json",
            "alignments": f"{CAPTURE}/alignment.json",
            "sheet": f"{DEVICE}/takes.html",
        },
        "cut_shard": {
            **capture,
            "captures": [],
            "device": "amp",
            "name": "tiny-01",
            "settings": dataset,
            "withdrawn": "[]",
            "take": f"{CAPTURE}/take.json",
            "alignment": f"{CAPTURE}/alignment.json",
            "cues": cues,
            "excitation": excitation,
            "shard": SHARD,
            "segments": SHARD.replace(".arrow", ".parquet"),
        },
        "build_manifest": {
            "device": "amp",
            "missing": "[]",
            "tolerant": "false",
            "divided": "{}",
            "shards": SHARD,
            "takes": f"{CAPTURE}/take.json",
            "alignments": f"{CAPTURE}/alignment.json",
            "captures": f"{DEVICE}/captures.json",
            "segments": table,
            "dataset": manifest,
        },
        "check_leaks": {
            "by": "artist",
            "artists": "{}",
            "segments": table,
            "cues": cues,
            "fingerprints": f"{EXCITATION}/fingerprints.parquet",
            "leaks": f"{DEVICE}/leaks.json",
        },
        "train_twin": {
            "nodes": "1",
            "device": "amp",
            "model": "tiny",
            "network": config.models["tiny"].model_dump_json(exclude_unset=True),
            "settings": config.training.model_dump_json(),
            "best": [],
            "tracking": config.tracking.model_dump_json(),
            "segments": table,
            "dataset": manifest,
            "leaks": f"{DEVICE}/leaks.json",
            "shards": SHARD,
            "results": "results",
            "twin": f"{TWIN}/twin.safetensors",
            "curve": f"{TWIN}/training.parquet",
        },
        "evaluate_twin": {
            "measurements": [],
            "probe_take": [],
            "probe_alignment": [],
            "device": "amp",
            "model": "tiny",
            "settings": config.evaluation.model_dump_json(),
            "twin": f"{TWIN}/twin.safetensors",
            "curve": f"{TWIN}/training.parquet",
            "segments": table,
            "dataset": manifest,
            "shards": SHARD,
            "outputs": f"{TWIN}/evaluation/metrics.json",
        },
        "write_device_card": {"device": "amp", "card": "{}", "output": f"{DEVICE}/device_card.json"},
        "export_twin": {
            "twin": f"{TWIN}/twin.safetensors",
            "record": f"{TWIN}/twin.safetensors.prov.json",
            "card": f"{DEVICE}/device_card.json",
            "verdict": f"{TWIN}/evaluation/verdict.json",
            "outputs": [f"{TWIN}/twin.nam", f"{TWIN}/twin.onnx"],
        },
        "build_summary": {"metrics": [], "summary": "results/summary.txt"},
        "build_comparison": {"metrics": [], "comparison": "results/comparison.html"},
    }


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
