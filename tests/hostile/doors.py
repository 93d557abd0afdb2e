"""The doors: every kind of file that the library reads, a good example of each, and what the library does with it."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
import yaml

from tests.audit.factories import make_results
from tests.hostile.mutations import Generator, mutate_bytes, mutate_json, mutate_table, mutate_text
from twinlib import contracts
from twinlib.alignment import Alignment
from twinlib.audio import Reader
from twinlib.audit.headers import read_embedded_chain_hash, read_twin_header
from twinlib.audit.licences import licences
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.store import read_experiments
from twinlib.audit.untracked import is_intact_state
from twinlib.capture.pairs import read_pairs
from twinlib.config import load_config
from twinlib.corpus import Corpus, describe_index, find_sources, read_exclusions
from twinlib.dataset import Shard, find_leaks
from twinlib.errors import TwinError
from twinlib.evaluation import verdict_lines
from twinlib.excitation.probe_reel import parse_layout
from twinlib.files import CONTRACT_KEY, read_json, read_table
from twinlib.model.export import SUFFIXES, export_twin
from twinlib.model.twin import load_twin
from twinlib.provenance import ChecksumCache, chain_hash_of, find_stale_outputs, read_history
from twinlib.training.best_config import resolve_model
from twinlib.training.checkpoint import Checkpoint, State, load_checkpoint, save_checkpoint
from twinlib.training.trials import from_table

REPOSITORY = Path(__file__).parents[2]
RATE = 8000


@dataclass(frozen=True)
class Door:
    """A kind of file: a good example, its mutations, and the reader."""

    name: str
    suffix: str
    good: bytes
    mutate: Callable[[bytes, Generator], bytes]
    read: Callable[[Path], Any]


def _sound(path: Path, container: str, subtype: str, channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).normal(0, 0.1, (3000, channels)).clip(-1, 1)
    soundfile.write(path, samples, RATE, subtype=subtype, format=container)
    return path.read_bytes()


def _read_sound(path: Path) -> None:
    with Reader(path) as reader:
        reader.info.describe_header()
        frames = sum(len(block) for _, block in reader.blocks())
    assert frames <= max(reader.info.frames, 0), "more samples than frames"


METADATA = """artist: Somebody
title: "Song: a"
genre: Rock
has_bleed: 'no'
mix_filename: Somebody_Song_MIX.wav
stem_dir: Somebody_Song_STEMS
stems:
  S01: {filename: Somebody_Song_STEM_01.wav, instrument: drum set, component: '', raw: {R01: {filename: a.wav}}}
  S02: {filename: Somebody_Song_STEM_02.wav, instrument: [guitar, voice]}
"""

CONFIG = """results: results/x
corpus: &c {root: music, audio: [mix], exclude_artists: [A, B], artists: {A: [B, C]}}
excitations:
  main:
    {seed: 1, slices: 1000, slice_samples: 10096, crossfade_samples: 3000, split: {train: 0.8, valid: 0.1, test: 0.1}}
devices:
  silk: {excitation: main, takes: "recordings/{reel}.wav", settings: {silk: red, texture: 7, tone: 12:30}}
  klon: {pairs: pairs.tsv, card: {make: X, model: Y}}
models: {small: {channels: 8}, large: {preset: nam-standard}}
training: {steps: 100, muon_rate: 0.001}
experiments: [{device: silk, model: small}, {device: klon, model: large}]
"""

PAIRS = (
    "# made at home\ncapture\tdry\twet\tsplit\tchannel\tstart\tstop\tlag\tsame_clock\tpolarity\taccept\n"
    "one\tdry one.wav\twet one.wav\ttrain\t1\t0\t480000\t213.5\tyes\t-1\tmine\ntwo\td.wav\tw.wav\n"
)


def _read_corpus(path: Path) -> None:
    """Read the metadata of one track; the other track of the corpus must stay."""
    root = path.parent / f"{path.name}.corpus"
    for track in ("Somebody_Song", "Other_Tune"):
        folder = root / "Audio" / track
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{track}_MIX.wav").touch()
    (root / "Audio" / "Somebody_Song" / "Somebody_Song_METADATA.yaml").symlink_to(path)
    found = find_sources(Corpus(root=root, audio=("mix", "stems", "raw")))
    assert "Other_Tune" in {source.track_id for source in found.sources}, "a good track is lost"
    assert all(source.path.is_relative_to(root) and ".." not in source.path.parts for source in found.sources)
    shutil.rmtree(root)


def _read_mirdata(path: Path) -> None:
    root = path.parent / f"{path.name}.mirdata"
    root.mkdir(exist_ok=True)
    (root / "medleydb_melody_metadata.json").symlink_to(path)
    try:
        find_sources(Corpus(root=root))
    finally:
        shutil.rmtree(root)


def _read_json(contract: str, path: Path) -> None:
    content = read_json(path, contract)
    match contract:
        case contracts.ALIGNMENT:
            Alignment.from_dict(content)
        case contracts.INDEX:
            describe_index(content)
        case contracts.METRICS:
            verdict_lines(content)
        case contracts.PROBE:
            parse_layout(content)
        case contracts.RECORD:
            chain_hash_of(content)
        case contracts.STORE:
            read_experiments(path)
        case contracts.TAKE_HISTORY:
            read_history(path)


def _read_table(contract: str, path: Path) -> None:
    table = read_table(path, contract)
    match contract:
        case contracts.SEGMENTS:
            find_leaks(table)
        case contracts.TRIALS:
            from_table(table)


def _mutate_parquet(content: bytes, draw: Generator) -> bytes:
    if draw.random() < 0.4:
        return mutate_bytes(content, draw)
    table = pq.read_table(pa.BufferReader(content))
    changed = mutate_table(table, draw)
    sink = pa.BufferOutputStream()
    try:
        # The schema of Arrow among the metadata may differ from that of the columns, or be absent.
        plain = {"store_schema": False} if draw.random() < 0.3 else {}
        with pq.ParquetWriter(sink, changed.schema, write_page_checksum=True, **plain) as writer:
            writer.write_table(changed)
            writer.add_key_value_metadata({CONTRACT_KEY: table.schema.metadata[CONTRACT_KEY]})
    except pa.ArrowException:
        return mutate_bytes(content, draw)
    return bytes(sink.getvalue())


def _mutate_shard(content: bytes, draw: Generator) -> bytes:
    if draw.random() < 0.5:
        return mutate_bytes(content, draw)
    table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
    metadata = dict(table.schema.metadata)
    if draw.random() < 0.5:
        changed = mutate_table(table, draw)
    else:
        changed, key = table, list(metadata)[int(draw.integers(len(metadata)))]
        metadata[key] = [b"", b"-1", b"9" * 5000, b"\xff", b"x" * 300, b"0", b"1e9"][int(draw.integers(7))]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if draw.random() < 0.1 else None)
    with pa.ipc.new_file(sink, changed.schema.with_metadata(metadata), options=options) as writer:
        writer.write_table(changed.replace_schema_metadata(metadata))
    return bytes(sink.getvalue())


def _read_shard(path: Path) -> None:
    shard = Shard.open(path)
    assert len(shard.table) == len(shard.segment_ids)
    float(shard.dry.sum() + shard.wet.sum())


def _mutate_safetensors(content: bytes, draw: Generator) -> bytes:
    if draw.random() < 0.4:
        return mutate_bytes(content, draw)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if draw.random() < 0.5:
        header["__metadata__"]["twinlib"] = mutate_json(header["__metadata__"]["twinlib"].encode(), draw).decode(
            errors="replace"
        )
        text = json.dumps(header).encode()
    else:
        text = mutate_json(content[8 : 8 + size].rstrip(), draw)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _read_twin(path: Path) -> None:
    is_intact_state(path)
    read_twin_header(path)
    load_twin(path)


def _read_checkpoint(path: Path) -> None:
    """Read a checkpoint as a training does, which starts again without a good one."""
    is_intact_state(path)
    folder = path.parent / f"{path.name}.checkpoint"
    folder.mkdir(exist_ok=True)
    place = folder / contracts.CHECKPOINT_FILE
    place.unlink(missing_ok=True)
    place.symlink_to(path)
    if load_checkpoint(folder, "me") is None:
        raise TwinError("no checkpoint")


def _read_results(results: Path, name: str, path: Path) -> None:
    """Put a file in place of a good one of a results folder, and audit all."""
    place = results / name
    good = place.read_bytes()
    try:
        place.unlink()
        place.symlink_to(path)
        find_stale_outputs(results, ChecksumCache(path.parent / "none.json"))
        known = ResultsFolder(results)
        for stage in known.stages:
            known.history(stage)
        for device in known.devices:
            known.dataset(device)
        licences(known)
    finally:
        place.unlink()
        place.write_bytes(good)


def _contract_of(path: Path) -> str | None:
    if path.suffix == ".parquet":
        return (pq.read_schema(path).metadata or {}).get(CONTRACT_KEY, b"").decode()
    content = json.loads(path.read_bytes())
    return content.get("contract") if isinstance(content, dict) else None


def _examples(results: Path) -> Mapping[str, Path]:
    """Return the smallest file of each contract in a results folder."""
    found: dict[str, Path] = {}
    for path in sorted([*results.rglob("*.json"), *results.rglob("*.parquet")], key=lambda one: one.stat().st_size):
        if contract := _contract_of(path):
            found.setdefault(contract, path)
    return found


def open_doors(folder: Path) -> list[Door]:
    """Make a good file of every kind below a folder and return the doors."""
    folder.mkdir(parents=True, exist_ok=True)
    results = make_results(folder / "made", tracks=6, slices=20, devices=1, reels=1, pairs=True).results
    sounds = [
        ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"),
        ("W64", "PCM_16"), ("AIFF", "PCM_24"), ("FLAC", "PCM_16"), ("CAF", "PCM_16"), ("OGG", "VORBIS"),
    ]  # fmt: skip
    doors = [
        Door(f"{container} {subtype}", ".wav", _sound(folder / "good", container, subtype), mutate_bytes, _read_sound)
        for container, subtype in sounds
    ]
    mirdata = {"A_B": {"audio_path": "medleydb_melody/audio/A_B_MIX.wav", "artist": "A", "title": "B", "genre": "Rock"}}
    trial = yaml.safe_dump(
        {
            "contract": contracts.BEST,
            "search": "s",
            "trial": 1,
            "valid_esr": 0.1,
            "network": {"channels": 4, "kernel_size": 3, "dilations": [1, 2]},
            "training": {"batch": 4},
        }
    )
    steps = json.dumps({"steps": 10})
    exclusions = "track_id\treason\tdate\nA_B\tno licence\t2026-01-31\nC_D\tbleed\t2025-12-01\n"
    doors += [
        Door("METADATA.yaml", ".yaml", METADATA.encode(), mutate_text, _read_corpus),
        Door("mirdata JSON", ".json", json.dumps(mirdata).encode(), mutate_json, _read_mirdata),
        Door("configuration", ".yaml", CONFIG.encode(), mutate_text, load_config),
        Door("pairs TSV", ".tsv", PAIRS.encode(), mutate_text, read_pairs),
        Door("exclusions TSV", ".tsv", exclusions.encode(), mutate_text, read_exclusions),
        Door("best.yaml", ".yaml", trial.encode(), mutate_text, lambda path: resolve_model("null", steps, [path])),
    ]
    for contract, path in _examples(results).items():
        good = path.read_bytes()
        if path.suffix == ".parquet":
            doors.append(Door(contract, ".parquet", good, _mutate_parquet, partial(_read_table, contract)))
        else:
            doors.append(Door(contract, ".json", good, mutate_json, partial(_read_json, contract)))
    shard = next(results.rglob("*.arrow")).read_bytes()
    weights = next(results.rglob("twin.safetensors"))
    twin, exports, state = load_twin(weights), [folder / f"twin{suffix}" for suffix in SUFFIXES], folder / "state"
    for path in exports:
        export_twin(twin, path)
    tensors = {name: torch.from_numpy(weight) for name, weight in twin.weights.items()}
    save_checkpoint(state, "me", Checkpoint(State(step=3), tensors, tensors, {}, {}, {}))
    doors += [
        Door("nam", ".nam", exports[0].read_bytes(), mutate_json, read_embedded_chain_hash),
        Door("onnx", ".onnx", exports[1].read_bytes(), mutate_bytes, read_embedded_chain_hash),
        Door(
            "checkpoint",
            ".safetensors",
            (state / contracts.CHECKPOINT_FILE).read_bytes(),
            _mutate_safetensors,
            _read_checkpoint,
        ),
        Door("shard", ".arrow", shard, _mutate_shard, _read_shard),
        Door("safetensors", ".safetensors", weights.read_bytes(), _mutate_safetensors, _read_twin),
        Door(
            "record among results",
            ".json",
            next(results.glob("devices/*/segments.parquet.prov.json")).read_bytes(),
            mutate_json,
            partial(_read_results, results, next(results.glob("devices/*/segments.parquet.prov.json"))),
        ),
    ]
    return doors
