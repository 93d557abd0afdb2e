"""Export one segment as audio, with its trace and its stage records, as for a bug report."""

from pathlib import Path
from typing import Any

import numpy as np

from twinlib import audio
from twinlib.audit.pages.render import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.trace import trace
from twinlib.contracts import TRACE
from twinlib.dataset import Shard
from twinlib.errors import AuditError
from twinlib.files import sha256_bytes, write_json, write_text


def export_segment(results: ResultsFolder, segment_id: str, folder: Path) -> list[Path]:
    """Write a segment into a folder; return the files.

    `dry.wav` and `wet.wav` are the training samples (float32, mono), `context.wav` is the left context if there is one,
    `trace.json` and `trace.txt` are its trace, `take.json` and `alignment.json` those of its capture, `records/` holds
    the stage records. Raises `AuditError` for anything but a segment, if the shard does not match the manifest, and if
    the folder holds files other than those of an earlier export: some people's recordings are called `dry.wav`.
    """
    if folder.exists() and not (folder / "trace.json").is_file() and any(folder.iterdir()):
        raise AuditError(f"{folder} is not empty: name a new folder, so that no file in it is replaced")
    answer = trace(results, segment_id)
    if answer["kind"] != "segment":
        raise AuditError(f"{segment_id} is a {answer['kind']}: only segments can be written as audio")
    row: dict[str, Any] = answer["segment"]
    written = _write_audio(results, row, folder)
    write_json(folder / "trace.json", TRACE, answer)
    write_text(folder / "trace.txt", render_text("trace", answer) + "\n")
    written += [folder / "trace.json", folder / "trace.txt"]
    capture = f"devices/{row['device']}/{row['capture']}"
    copies = {f"{name}.json": f"{capture}/{name}.json" for name in ("take", "alignment")}
    copies |= {f"records/{stage['record']}": stage["record"] for stage in answer["stages"]}
    for target, name in copies.items():
        write_text(folder / target, (results.folder / name).read_text(encoding="utf-8"))
        written.append(folder / target)
    return written


def _write_audio(results: ResultsFolder, row: dict[str, Any], folder: Path) -> list[Path]:
    segment_id = row["segment_id"]
    if row["row"] < 0:
        raise AuditError(f"{segment_id} has no samples in its shard: {', '.join(row['flags'])}")
    shard = Shard.open(results.folder / "devices" / row["device"] / "shards" / row["shard"])
    rate, size = shard.metadata.sample_rate, shard.metadata.segment_samples
    start = row["row"] * size
    signals = {"dry": shard.dry[start : start + size], "wet": shard.wet[start : start + size]}
    for name, signal in signals.items():
        if sha256_bytes(np.ascontiguousarray(signal, "<f4").tobytes()) != row[f"{name}_sha256"]:
            raise AuditError(
                f"the {name} samples of {segment_id} in {row['shard']} do not match the manifest: run "
                "`twin audit verify`"
            )
    if row["context"]:
        signals["context"] = shard.dry[start - row["context"] : start]
    for name, signal in signals.items():
        audio.write(folder / f"{name}.wav", signal.copy(), rate, "FLOAT")
    return [folder / f"{name}.wav" for name in signals]
