"""A small finished run on disk, written by the library's own functions without running the workflow.

`make_results(folder)` writes `folder/results` with a corpus, an excitation, devices, twins and all stage records, and
the external inputs `folder/corpus`, `folder/recordings` and `folder/pairs`. The music is noise, the devices are a tanh,
the twins have random weights; the cue sheet, reels, take verdicts, segments, shards, manifests and leak reports are
real. The first device is recorded (its takes are outside the results folder, and the last is clipped at one place), the
others are simulated; a device of pairs is optional. `folder` is the working directory of the records, so their file
names start with `results/`.

    small = make_results(tmp_path)                                                      # two seconds
    large = make_results(tmp_path, tracks=200, slices=100_000, devices=3, **MANY)       # two minutes
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twinlib import audio
from twinlib.alignment.result import Alignment, Window
from twinlib.capture.ingest import ingest_take
from twinlib.contracts import (
    ALIGNMENT,
    CUES,
    DEVICE_CARD,
    DEVICE_CARD_FILE,
    EXCITATION,
    LEAKS,
    METRICS,
    SEGMENTS,
    TAKE,
    TRACKS,
    TRAINING,
)
from twinlib.corpus.index import CorpusIndex, write_index
from twinlib.dataset.leaks import find_leaks, leak_report
from twinlib.dataset.manifest import CaptureFiles, build_manifest, write_manifest
from twinlib.dataset.segments import excluded_ranges, tile_pair, tile_reel
from twinlib.dataset.settings import Dataset
from twinlib.dataset.shards import shard_metadata, write_shard
from twinlib.dataset.source import capture_source
from twinlib.errors import ExcitationError
from twinlib.evaluation.settings import Evaluation
from twinlib.excitation.cue_sheet import draw_cue_sheet, write_cue_sheet
from twinlib.excitation.layout import read_reel, reel_names
from twinlib.excitation.recording_guide import recording_guide
from twinlib.excitation.reels import render_reel
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.splits import assign_splits
from twinlib.files import read_json, read_table, sha256_file, write_json, write_table, write_text
from twinlib.provenance.record import stage_record
from twinlib.recording.guide_page import render_recording_page
from twinlib.resampling.time_map import TimeMap

REPOSITORY = Path(__file__).parents[2]
RATE, GUARD, LAG = 8000, 12, 500

MANY: dict[str, Any] = {"slice_samples": 64, "crossfade_samples": 0, "segment_samples": 64}
"""As many segments as slices, with a minimum of audio."""

LICENCES = ("CC0-1.0", "CC BY 4.0", "CC BY-NC-SA 4.0")
"""The default licences, assigned to the tracks in turn."""

NAMES = ("box", "fuzz", "tape")
GENRES = ("Jazz", "Rock", "Electronic/Fusion", "")


@dataclass(frozen=True)
class Made:
    """The run: its working directory `folder`, and the captures of every device except that of pairs."""

    folder: Path
    results: Path
    devices: tuple[str, ...]
    models: tuple[str, ...]
    captures: tuple[str, ...]
    tracks: tuple[str, ...]
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    """Settings and paths of the stages, relative to the working directory."""

    excitation: Excitation
    dataset: Dataset
    licences: Sequence[str]
    excluded: tuple[str, ...]
    results: Path = Path("results")
    corpus: Path = Path("corpus")
    name: str = "main"
    corpus_settings: str = field(init=False)

    def __post_init__(self) -> None:
        settings = {"root": "corpus", "layout": "folder", "audio": ["mix"], "licence": self.licences[0]}
        object.__setattr__(self, "corpus_settings", json.dumps(settings))

    @property
    def excitations(self) -> Path:
        return self.results / "excitations" / self.name

    def capture(self, device: str, capture: str) -> Path:
        return self.results / "devices" / device / capture

    def shard(self, device: str, capture: str) -> Path:
        return self.results / "devices" / device / "shards" / f"{capture}.arrow"


def make_results(
    folder: Path,
    *,
    tracks: int = 12,
    slices: int = 80,
    devices: int = 2,
    reels: int = 2,
    models: Sequence[str] = ("small",),
    licences: Sequence[str] = LICENCES,
    excluded: Sequence[str] = (),
    pairs: bool = False,
    slice_samples: int = 512,
    crossfade_samples: int = 64,
    segment_samples: int = 256,
) -> Made:
    """Make a run of `tracks` tracks (two per artist), `slices` slices, `reels` reels, `devices` devices and `models`.

    A device has about `slices * (slice_samples - crossfade_samples) / segment_samples` usable segments, and per reel
    about 500 000 / (8 * `segment_samples`) silent ones. Tracks in `excluded` are withdrawn after the recording: their
    segments are excluded. `pairs` adds a device `pedal` whose dry files belong to no track.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(
        _excitation(tracks, slices, reels, slice_samples, crossfade_samples),
        Dataset(segment_samples=segment_samples, guard_samples=GUARD),
        tuple(licences),
        tuple(excluded),
    )
    names = [NAMES[k] if k < len(NAMES) else f"device-{k + 1:02d}" for k in range(devices)]
    captures = reel_names(run.name, run.excitation)
    with contextlib.chdir(folder):
        _corpus(run, tracks)
        _reels(run, captures)
        for k, device in enumerate(names):
            for capture in captures:
                _take(run, device, capture, recorded_take=k == 0, clipped=k == 0 and capture == captures[-1])
                _cut(run, device, capture)
            _manifest(run, device, captures)
            _card(run, device)
        if pairs:
            _pair(run, "pedal", "pair-1")
            _manifest(run, "pedal", ["pair-1"])
            names.append("pedal")
        for device in names:
            for number, model in enumerate(models):
                _twin(run, device, model, seed=number)
    made = tuple(read_table(folder / "results" / "corpus" / "tracks.parquet", TRACKS, ["track_id"])["track_id"])
    return Made(folder, folder / "results", tuple(names), tuple(models), tuple(captures), made, run.excluded)


def _program(name: str) -> Path:
    return REPOSITORY / "scripts" / f"{name}.py"


def _name(number: int) -> tuple[str, str]:
    """Return the artist and the title of a track."""
    return f"Artist {number // 2 + 1:03d}", f"Song {number + 1:03d}"


def _split(tracks: int) -> Split:
    """Return a split in which every part has an artist."""
    artists = {"/".join(_name(number)): _name(number)[0] for number in range(tracks)}
    for number in range(100):
        split = Split(train=0.6, valid=0.2, test=0.2, salt=f"audit-{number}")
        with contextlib.suppress(ExcitationError):
            assign_splits(artists, split)
            return split
    raise AssertionError(f"{tracks} tracks are too few for three splits: take 6 or more")


def _excitation(tracks: int, slices: int, reels: int, slice_samples: int, crossfade_samples: int) -> Excitation:
    """Return settings that spread the slices over at most `reels` reels."""
    minutes = 0.1 + slices / reels * (slice_samples - crossfade_samples) / RATE / 60
    while True:
        settings = Excitation.model_validate(
            {
                "seed": 1,
                "sample_rate": RATE,
                "bit_depth": 16,
                "slices": slices,
                "slice_samples": slice_samples,
                "crossfade_samples": crossfade_samples,
                "reel_minutes": minutes,
                "level_db": (-18.0, 0.0),
                "split": _split(tracks),
                "witness": False,
            }
        )
        if len(reel_names("main", settings)) <= reels:
            return settings
        minutes *= 1.02


def _noise(frames: int, seed: int) -> audio.Signal:
    samples = 0.2 * np.random.default_rng(seed).standard_normal(frames)
    return np.clip(samples, -0.9, 0.9).astype(np.float32)


def _corpus(run: _Run, count: int) -> None:
    """Write one source per track, two tracks per artist; licences and genres in turn."""
    rows, files = [], []
    for number in range(count):
        artist, title = _name(number)
        path = run.corpus / artist / f"{title}.wav"
        audio.write(path, _noise(4000, number), RATE, "PCM_16")
        files.append(path)
        rows.append(
            {
                "track_id": f"{artist}/{title}",
                "artist": artist,
                "title": title,
                "genre": GENRES[number % len(GENRES)],
                "licence": run.licences[number % len(run.licences)],
                "has_bleed": None,
                "kind": "mix",
                "instrument": "",
                "path": path.relative_to(run.corpus).as_posix(),
                "sample_rate": RATE,
                "channels": 1,
                "frames": 4000,
                "sha256": sha256_file(path),
            }
        )
    table = pd.DataFrame(rows).astype({"has_bleed": "boolean"}).sort_values("track_id", ignore_index=True)
    corpus = run.results / "corpus"
    outputs = [corpus / "tracks.parquet", corpus / "index.json"]
    with stage_record(_program("index_corpus"), files, outputs, {"settings": run.corpus_settings}):
        reasons = dict.fromkeys(run.excluded, "withdrawn by its author (2026-01-31)")
        write_index(corpus, CorpusIndex(table, [], reasons, []))


def _reels(run: _Run, captures: Sequence[str]) -> None:
    tracks_file = run.results / "corpus" / "tracks.parquet"
    tracks = read_table(tracks_file, TRACKS)
    cues_file, excitation_file = run.excitations / "cues.parquet", run.excitations / "excitation.json"
    params = {"settings": run.excitation.model_dump_json(), "corpus": run.corpus_settings}
    with stage_record(_program("plan_excitation"), [tracks_file], [cues_file, excitation_file], params) as record:
        made = draw_cue_sheet(run.name, run.excitation, tracks, set(), run.corpus)
        write_cue_sheet(run.excitations, made)
        for source, digest in zip(tracks.path, tracks.sha256, strict=True):
            record.add_input((run.corpus / source).as_posix(), digest)
    guide, page = (run.excitations / f"recording.{suffix}" for suffix in ("md", "html"))
    with stage_record(_program("write_recording_guide"), [excitation_file], [guide, page], {"takes": "{}"}):
        write_text(guide, recording_guide(run.name, made.excitation, {}))
        write_text(page, render_recording_page(run.name, made.excitation, {}))
    for reel in captures:
        cues = made.cues[made.cues.reel == reel]
        path = run.excitations / "reels" / f"{reel}.wav"
        with stage_record(_program("render_reel"), [cues_file, excitation_file], [path], {}) as record:
            render_reel(reel, cues, read_json(excitation_file, EXCITATION), run.corpus, path)
            for source, digest in sorted(set(zip(cues.source, cues.source_sha256, strict=True))):
                record.add_input((run.corpus / source).as_posix(), digest)


def _wet(dry: audio.Signal, seed: int) -> audio.Signal:
    """Return the wet signal for a dry one `(frames,)`: delayed by `LAG`, distorted, noisy, and a little longer."""
    bent = np.concatenate([np.zeros(LAG), 0.6 * np.tanh(3 * dry.astype(np.float64)), np.zeros(LAG)])
    return (bent + 1e-4 * np.random.default_rng(seed).standard_normal(len(bent))).astype(np.float32)


def _take(run: _Run, device: str, capture: str, *, recorded_take: bool, clipped: bool) -> None:
    """Write a take, recorded or simulated, with its verdict and its alignment."""
    reel = run.excitations / "reels" / f"{capture}.wav"
    wet = _wet(audio.read(reel)[:, 0], seed=len(device) + len(capture))
    if clipped:
        middle = len(wet) // 4
        wet[middle : middle + 8] = 1.0
    folder = run.capture(device, capture)
    if recorded_take:
        path = Path("recordings") / device / f"{capture}.wav"
        audio.write(path, wet, RATE, "PCM_16")
    else:
        path = folder / "take.wav"
        truth = folder / "truth.json"
        with stage_record(_program("simulate_take"), [reel], [path, truth], {"settings": "{}"}):
            audio.write(path, wet, RATE, "PCM_16")
            write_json(truth, "simulated-take/1", {"lag_samples": float(LAG), "frames": len(wet)})
    _judge(run, device, capture, reel, path, "take" if recorded_take else "simulated")


def _judge(run: _Run, device: str, capture: str, dry: Path, wet: Path, kind: str) -> None:
    """Write `take.json` and `alignment.json` of a capture."""
    folder = run.capture(device, capture)
    take, alignment = folder / "take.json", folder / "alignment.json"
    knobs = {"drive": len(device) / 10, "channel": "left"}
    params = {"kind": kind, "knobs": json.dumps(knobs), "pair": "null", "channel": "1", "reference_channel": "0"}
    with stage_record(_program("ingest_take"), [wet, dry], [take], params):
        found = ingest_take(wet, reel=dry, simulated=kind == "simulated", settings=knobs)
        write_json(take, TAKE, {**found.to_dict(), "kind": kind, "dry_sha256": sha256_file(dry)})
    params = {"settings": run.dataset.model_dump_json(), "channel": "1", "reference_channel": "0", "repair": ""}
    with stage_record(_program("align_take"), [dry, wet], [alignment], params):
        frames, wet_frames = audio.read_info(dry).frames, audio.read_info(wet).frames
        write_json(alignment, ALIGNMENT, _alignment(frames, wet_frames, seed=len(device)).to_dict())


def _alignment(frames: int, wet_frames: int, seed: int) -> Alignment:
    """Return the true alignment, with windows that scatter around it as measured ones do."""
    residuals = 0.02 * np.random.default_rng(seed).standard_normal(16)
    places = np.linspace(0, frames, len(residuals))
    return Alignment(
        sample_rate=RATE,
        wet_sample_rate=RATE,
        dry_frames=frames,
        wet_frames=wet_frames,
        dry_range=(0, frames),
        wet_range=(0, wet_frames),
        lag_samples=float(LAG),
        drift_ppm=0.0,
        drift_error_ppm=0.001,
        polarity=1,
        gain_db=5.0,
        residual_rms_samples=float(np.std(residuals)),
        wander_rms_samples=0.0,
        confidence=1.0,
        dropouts=(),
        excluded=(),
        verdict="ok",
        reasons=(),
        guard_samples=GUARD,
        reference=None,
        warp="sinc",
        applied_lag_samples=float(LAG),
        applied_drift_ppm=0.0,
        applied_polarity=1,
        applied_gain=1.0,
        applied_dc=0.0,
        pieces=TimeMap.straight(float(LAG), 0.0, 0, frames).pieces,
        track=tuple(
            Window(float(place), LAG + float(residual), 2500.0, float(residual))
            for place, residual in zip(places, residuals, strict=True)
        ),
    )


def _cut(run: _Run, device: str, capture: str, pair: dict[str, Path] | None = None) -> None:
    """Write the shard of a capture and its segment table."""
    folder, shard = run.capture(device, capture), run.shard(device, capture)
    take = read_json(folder / "take.json", TAKE)
    dry, wet = (pair["dry"], pair["wet"]) if pair else (run.excitations / "reels" / f"{capture}.wav", take["path"])
    inputs = [dry, Path(wet), folder / "take.json", folder / "alignment.json"]
    tables = [run.excitations / "cues.parquet", run.excitations / "excitation.json"]
    params = {"settings": run.dataset.model_dump_json(), "pair": "null", "channel": "1"}
    params["withdrawn"] = json.dumps([] if pair else sorted(run.excluded))
    outputs = [shard, shard.with_suffix(".parquet")]
    with stage_record(_program("cut_shard"), [*inputs, *([] if pair else tables)], outputs, params):
        alignment = Alignment.from_dict(read_json(folder / "alignment.json", ALIGNMENT))
        source = capture_source(device, capture, take, alignment)
        silenced: list[tuple[int, int]] = []
        if pair:
            segments = tile_pair(source, dry.as_posix(), run.dataset)
        else:
            cues = read_table(tables[0], CUES)
            cues = cues[cues.reel == capture]
            segments = tile_reel(source, cues, read_reel(tables[1], capture), run.dataset, run.excluded)
            silenced = excluded_ranges(cues, run.excluded, GUARD)
        played, wet_signal = audio.read(dry)[:, 0], audio.read(Path(wet))[LAG - GUARD :, 0]
        metadata = shard_metadata(source, run.dataset.segment_samples)
        written = write_shard(
            shard, segments, lambda a, b: played[a:b], lambda a, b: wet_signal[a:b], metadata, silenced
        )
        write_table(outputs[1], SEGMENTS, written)


def _pair(run: _Run, device: str, capture: str) -> None:
    """Write a pair of dry and wet files."""
    dry, wet = Path("pairs/dry.wav"), Path("pairs/wet.wav")
    audio.write(dry, _noise(5 * RATE, 99), RATE, "PCM_16")
    audio.write(wet, _wet(audio.read(dry)[:, 0], 98), RATE, "PCM_16")
    _judge(run, device, capture, dry, wet, "pair")
    _cut(run, device, capture, {"dry": dry, "wet": wet})


def _manifest(run: _Run, device: str, captures: Sequence[str]) -> None:
    """Write `segments.parquet`, `dataset.json` and `leaks.json` of a device."""
    parts = [
        CaptureFiles(
            run.shard(device, capture).with_suffix(".parquet"),
            run.shard(device, capture),
            run.capture(device, capture) / "take.json",
            run.capture(device, capture) / "alignment.json",
        )
        for capture in captures
    ]
    folder = run.results / "devices" / device
    segments_file, dataset_file, leaks_file = (folder / n for n in ("segments.parquet", "dataset.json", "leaks.json"))
    inputs = [path for part in parts for path in (part.segments, part.shard, part.take, part.alignment)]
    params = {"missing": "[]", "tolerant": "false"}
    with stage_record(_program("build_manifest"), inputs, [segments_file, dataset_file], params):
        segments, dataset = build_manifest(device, parts)
        write_manifest(folder, segments, dataset)
    cues_file = run.excitations / "cues.parquet"
    sheets = {str(reel): rows for reel, rows in read_table(cues_file, CUES).groupby("reel")}
    cues = {name: sheets[name] for name in captures if name in sheets}
    with stage_record(
        _program("check_leaks"), [segments_file, *([cues_file] if cues else [])], [leaks_file], {"by": "artist"}
    ):
        leaks = find_leaks(segments, "artist", cues=cues)
        write_json(leaks_file, LEAKS, leak_report(leaks, segments, "artist", sorted(cues)))


def _card(run: _Run, device: str) -> None:
    """Write the device card of a device."""
    path, card = run.results / "devices" / device / DEVICE_CARD_FILE, {"make": "Acme", "serial": f"{device}-7"}
    with stage_record(_program("write_device_card"), [], [path], {"card": json.dumps(card)}):
        write_json(path, DEVICE_CARD, {"device": device, "card": card})


def _twin(run: _Run, device: str, model: str, seed: int) -> None:
    """Write a twin with random weights, a learning curve, and the metrics of a good twin."""
    # Importing torch takes seconds, and a run without twins does not need it.
    from twinlib.model.architecture import Architecture
    from twinlib.model.twin import Twin
    from twinlib.model.wavenet import WaveNet
    from twinlib.training.settings import Training

    source, folder = run.results / "devices" / device, run.results / "twins" / device / model
    twin, curve, metrics = (folder / n for n in ("twin.safetensors", "training.parquet", "evaluation/metrics.json"))
    tables = [source / "segments.parquet", source / "dataset.json"]
    dataset = read_json(tables[1], "dataset/1")
    shards = [run.shard(device, capture) for capture in dataset["captures"]]
    entry = Architecture(channels=2, kernel_size=3, dilations=(1, 8))
    network, settings = entry.network, Training(seed=seed, steps=400)
    params = {"network": entry.model_dump_json(), "settings": settings.model_dump_json(), "warm_start": ""}
    with stage_record(_program("train_twin"), [*tables, source / "leaks.json", *shards], [twin, curve], params):
        weights = WaveNet(network, seed).weights()
        Twin(network, weights, RATE, GUARD, 1.0, 1.0, device, model, dataset["digest"]).save(twin)
        rows = [
            {"seed": seed, "step": 100 * k, "cpu_seconds": 1.5 * k, "learning_rate": 0.01, "loss": 0.1 / k,
             "valid_esr": 0.05 / k, "best_esr": 0.05 / k}
            for k in range(1, 5)
        ]  # fmt: skip
        write_table(curve, TRAINING, pd.DataFrame(rows))
    inputs = [twin, curve, *tables, *shards]
    with stage_record(_program("evaluate_twin"), inputs, [metrics], {"settings": Evaluation().model_dump_json()}):
        write_json(metrics, METRICS, _metrics(device, model, dataset, twin, network.receptive_field, seed))


def _metrics(
    device: str, model: str, dataset: dict[str, Any], twin: Path, receptive_field: int, seed: int
) -> dict[str, Any]:
    esr, linear = round(0.003 * (1 + seed) * len(device), 6), 0.12
    errors = {
        "seconds": dataset["splits"]["test"]["seconds"],
        "esr": esr,
        "esr_db": round(10 * float(np.log10(esr)), 4),
        "esr_preemphasis": 2 * esr,
        "mae": 0.001,
        "dc": 0.0,
        "mr_stft": 0.1,
        "lufs_difference_db": -0.02,
        "esr_dry": 0.7,
        "esr_gain": 0.5,
        "esr_linear": linear,
        "gain_over_linear_db": round(10 * float(np.log10(linear / esr)), 4),
    }
    return {
        "device": device,
        "model": model,
        "sample_rate": dataset["sample_rate"],
        "parameters": 57,
        "receptive_field": receptive_field,
        "dataset": dataset["digest"],
        "twin_sha256": sha256_file(twin),
        "realtime_factor": 20.0,
        **errors,
        "splits": {"valid": errors, "test": errors},
        "by_track": [],
        "by_level": [],
        "esr_floor": 2e-5,
    }
