"""One segment as sound, with all that made it: what to send with a bug report."""

from pathlib import Path
from typing import Any

import numpy as np

from twinlib import audio
from twinlib.audit.trace import trace
from twinlib.audit.trace_text import trace_text
from twinlib.contracts import TRACE
from twinlib.dataset.shards import Shard
from twinlib.errors import AuditError
from twinlib.files import sha256_bytes, write_json, write_text
from twinlib.provenance.results import Results


def extract(results: Results, segment_id: str, folder: Path) -> list[Path]:
    """Write a segment into a folder; returns the files.

    `dry.wav` and `wet.wav` are its samples as training reads them (float32, mono), `context.wav` the dry samples
    before it where it has any, `trace.json` and `trace.txt` where it comes from, `records/` the stage records behind
    it, `take.json` and `alignment.json` those of its capture. Raises `AuditError` if the shard has other samples than
    the manifest says, or none of it.
    """
    found = trace(results, segment_id)
    if found["kind"] != "segment":
        raise AuditError(f"{segment_id} is a {found['kind']}: only a segment can be written as sound")
    row: dict[str, Any] = found["segment"]
    if row["row"] < 0:
        raise AuditError(f"{segment_id} has no samples: {', '.join(row['flags'])}")
    shard = Shard.open(results.folder / "devices" / row["device"] / "shards" / row["shard"])
    rate, size = shard.metadata.sample_rate, shard.metadata.segment_samples
    start = row["row"] * size
    signals = {"dry": shard.dry[start : start + size], "wet": shard.wet[start : start + size]}
    for name, signal in signals.items():
        if sha256_bytes(np.ascontiguousarray(signal, "<f4").tobytes()) != row[f"{name}_sha256"]:
            raise AuditError(
                f"the {name} samples of {segment_id} in {row['shard']} are not those of its birth certificate: "
                "run `twin audit verify`"
            )
    if row["context"]:
        signals["context"] = shard.dry[start - row["context"] : start]
    written = []
    for name, signal in signals.items():
        audio.write(folder / f"{name}.wav", signal.copy(), rate, "FLOAT")
        written.append(folder / f"{name}.wav")
    write_json(folder / "trace.json", TRACE, found)
    write_text(folder / "trace.txt", trace_text(found) + "\n")
    written += [folder / "trace.json", folder / "trace.txt"]
    near = [f"devices/{row['device']}/{row['capture']}/{name}.json" for name in ("take", "alignment")]
    copies = {Path(name).name: name for name in near}
    copies |= {f"records/{stage['record']}": stage["record"] for stage in found["stages"]}
    for target, name in copies.items():
        write_text(folder / target, (results.folder / name).read_text(encoding="utf-8"))
        written.append(folder / target)
    return written
