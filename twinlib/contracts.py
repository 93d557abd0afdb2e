"""Names and versions of the tables and files that stages exchange.

A JSON file holds its contract under `contract`, a table in its schema metadata, a model in its header. Readers reject
any other version: increase the number if the old reader would misread the new file.
"""

import re
from typing import Literal

SplitName = Literal["train", "valid", "test"]

SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
"""The splits, in the order of their blocks on a reel."""


def describe_mismatch(found: object, expected: str) -> str:
    """Return what is wrong with a file whose contract is `found`, not `expected`, and what to do."""
    known = re.fullmatch(r"(.+)/([0-9]{1,9})", found) if isinstance(found, str) else None
    name, version = expected.split("/")
    origin, remedy = "", "delete it and run again"
    if known and known[1] == name:
        older = int(known[2]) < int(version)
        origin = f"{'an earlier' if older else 'a later'} version of the library wrote it: "
        remedy = remedy if older else "update the library, or delete the file and run again"
    return f"has the contract {str(found)[:60] if found else 'none'}, not {expected}: {origin}{remedy}"


ALIGNMENT = "alignment/2"
BEST = "best/1"
CAPTURES = "captures/1"
CHECKPOINT = "checkpoint/1"
CLIPS = "clips/1"
CUES = "cues/1"
DATASET = "dataset/1"
DEVICE_CARD = "device-card/1"
EXCITATION = "excitation/1"
EXPORTED_TWIN = "exported-twin/1"
FINGERPRINTS = "fingerprints/1"
INDEX = "index/1"
LEAKS = "leaks/1"
LINEAR = "linear/1"
MEASUREMENTS = "measurements/1"
METRICS = "metrics/1"
MUSIC = "music/1"
PROBE = "probe/1"
RECORD = "record/1"
RECORDING = "recording/1"
RUN = "run/1"
SEGMENTS = "segments/1"
SHARD = "shard/1"
SIMULATED_TAKE = "simulated-take/1"
STORE = "store/1"
TAKE = "take/1"
TAKE_HISTORY = "take-history/1"
TRACE = "trace/1"
TRACKS = "tracks/1"
TRAINING = "training/1"
TRIALS = "trials/1"
TWIN = "twin/1"
VERDICT = "verdict/1"
WORKER = "worker/1"

CHECKPOINT_FILE = "checkpoint.safetensors"
DEVICE_CARD_FILE = "device_card.json"
PROBE_FILE = "probe.json"
TWIN_FILE = "twin.safetensors"
VERDICT_FILE = "verdict.json"
