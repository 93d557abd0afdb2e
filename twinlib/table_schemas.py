"""Types and meanings of the columns of tables by contract, as far as their readers need them; more columns are allowed.

Files of earlier versions lack some of them: a required column has been in every version of its contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from twinlib import contracts

if TYPE_CHECKING:
    import pyarrow as pa

MAX_INTEGER = 2**53
"""Largest integer in a table: sums and differences of samples stay exact in any type."""

Kind = Literal["text", "integer", "count", "number", "boolean", "texts", "integers", "numbers", "booleans"]


@dataclass(frozen=True)
class Column:
    """A column: `count` is an integer from 0, the plurals are lists of values."""

    kind: Kind
    meaning: str
    nullable: bool = False
    required: bool = True


def _number(meaning: str) -> Column:
    # pandas stores NaN as a missing value.
    return Column("number", meaning, nullable=True)


_text, _texts, _count = partial(Column, "text"), partial(Column, "texts"), partial(Column, "count")

TABLES: Mapping[str, Mapping[str, Column]] = {
    contracts.CUES: {
        "reel": _text("name of the reel"),
        "position": _count("number of the slice on the reel"),
        "start": _count("first sample on the reel, crossfade included"),
        "stop": _count("sample after the last one"),
        "track_id": _text("the track; `sweeps` or `tones` for synthetic slices"),
        "artist": _text("artist as written in the metadata"),
        "licence": _text("licence of the track"),
        "source": _text("sound file, relative to the root of the corpus"),
        "source_sha256": _text("checksum of that file"),
        "source_start": _count("first sample in the source, at its own rate"),
        "source_stop": _count("sample after the last one"),
        "gain_db": _number("gain of the slice in dB"),
        "split": _text("`train`, `valid` or `test`"),
    },
    contracts.FINGERPRINTS: {
        "cue": _count("row of the slice in `cues.parquet`"),
        "at": _count("sample on the reel: centre of the window of 60 ms"),
        "frame": _count("the same position on the clock of the source, in steps of 5 ms"),
        "code": _count("24 signs of the change of the spectrum over 20 ms"),
        "weak": _count("mask of the two least certain signs"),
    },
    contracts.SEGMENTS: {
        "segment_id": _text("device/capture/first sample of the dry file"),
        "device": _text("the device"),
        "capture": _text("the recorded reel or pair"),
        "start": _count("its first sample in the dry file"),
        "stop": _count("the sample after its last"),
        "split": _text("`train`, `valid` or `test`; empty for excluded segments"),
        "context": _count("number of preceding samples available as left context"),
        "track_ids": _texts("the tracks in the segment"),
        "artists": _texts("their artists"),
        "licences": _texts("their licences, as written in the corpus"),
        "sources": _texts("their files and sample ranges, as path[start:stop]"),
        "tone_hz": Column("number", "frequency of its steady sine in Hz; 0 without one", nullable=True, required=False),
        "tone_start": Column(
            "integer", "first sample of its steady sine in the dry file; 0 without one", required=False
        ),
        "tone_stop": Column("integer", "the sample after that sine; 0 without one", required=False),
        "settings": _text("the knob settings of the device, as JSON"),
        "take_sha256": _text("sha256 of the recording"),
        "lag": _number("delay of the recording in samples, already corrected"),
        "residual": _number("residual lag after the alignment, in samples"),
        "flags": _texts("the reasons for its exclusion"),
        "shard": _text("the shard with the samples"),
        "row": Column("integer", "its row in the shard; -1 without samples"),
        "dry_sha256": _text("sha256 of the dry samples, little-endian float32"),
        "wet_sha256": _text("sha256 of the wet samples, little-endian float32"),
    },
    contracts.TRACKS: {
        "track_id": _text("name of the track in the corpus"),
        "artist": _text("artist as written in the metadata"),
        "artist_family": Column(
            "text", "name that all spellings and joint credits of the artist share", required=False
        ),
        "title": _text("title"),
        "genre": _text("genre; empty if unknown"),
        "licence": _text("licence"),
        "has_bleed": Column("boolean", "whether stems contain sound of other instruments", nullable=True),
        "kind": _text("`mix`, `stem` or `raw`"),
        "instrument": _text("instrument of a stem; empty for mixes"),
        "path": _text("sound file, relative to the root of the corpus"),
        "sample_rate": _count("sample rate in Hz"),
        "channels": _count("number of channels"),
        "frames": _count("length in samples"),
        "sha256": _text("checksum of the file"),
    },
    contracts.TRAINING: {
        "seed": _count("seed of the training"),
        "step": _count("optimiser steps so far"),
        "cpu_seconds": _number("CPU time so far"),
        "learning_rate": _number("learning rate of the hidden convolutions"),
        "loss": _number("mean loss since the previous row"),
        "valid_esr": _number("ESR on the validation split"),
        "best_esr": _number("lowest validation ESR so far"),
    },
    contracts.TRIALS: {
        "number": _count("number of the trial; 0 is the base"),
        "outcome": _text("`complete`, `pruned`, `diverged` or `running`"),
        "dilations": Column("integers", "samples between taps, per layer"),
        "valid_esr": Column("numbers", "lowest validation ESR, per budget", nullable=True),
        "steps": Column("integers", "steps, per budget"),
        "cpu_seconds": Column("numbers", "CPU time, per budget", nullable=True),
        "diverged": Column("booleans", "whether the training diverged, per budget"),
    },
}
"""The columns of tables by contract."""


def check_table(contract: str, table: "pa.Table", whole: bool = True) -> str | None:
    """Return the first column of a table that does not fit its contract, with the reason and the row; None if all fit.

    A `whole` table must hold all required columns of the contract.
    """
    for name, column in TABLES.get(contract, {}).items():
        if name in table.schema.names:
            if table.schema.names.count(name) > 1:
                return f"it holds the column {name} twice"
            if problem := _check_column(column, table.column(name)):
                return f"column {name} {problem}"
        elif column.required and whole:
            return f"the column {name} is missing"
    return None


def _check_column(column: Column, values: "pa.ChunkedArray") -> str | None:
    """Return what is wrong with the values of a column, with the row."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind, inner = values.type, None
    if column.kind.endswith("s"):
        if not (types.is_list(kind) or types.is_large_list(kind)):
            return f"holds {_short(kind)}, not lists"
        inner = kind.value_type
    fits = {
        "text": (types.is_string, types.is_large_string),
        "integer": (types.is_integer,),
        "count": (types.is_integer,),
        "number": (types.is_integer, types.is_floating),
        "boolean": (types.is_boolean,),
    }[column.kind.removesuffix("s")]
    plain = inner or kind
    # An empty or unset column has no type of its own.
    if not (types.is_null(plain) or any(fit(plain) for fit in fits)):
        return f"holds {_short(plain)}, not {column.kind}"
    if values.null_count and not column.nullable:
        return f"has no value in row {pc.index(pc.is_null(values), pa.scalar(True)).as_py()}"
    if inner is not None:
        lists = pc.list_flatten(values)
        if lists.null_count and not column.nullable:
            return f"has an empty entry in row {_row_of(values, pc.is_null(lists))}"
        values = lists
    if types.is_integer(values.type) and len(values):
        # A float64 holds all integers in range, and tells from all others.
        numbers = values.cast(pa.float64(), safe=False)
        lowest = 0 if column.kind == "count" else -MAX_INTEGER
        outside = pc.or_(pc.greater(numbers, float(MAX_INTEGER)), pc.less(numbers, float(lowest)))
        if pc.any(outside).as_py():
            return f"holds an integer out of range in row {pc.index(outside, pa.scalar(True)).as_py()}"
    return None


def _row_of(lists: "pa.ChunkedArray", mask: "pa.ChunkedArray") -> int:
    """Return the row of the first marked entry of lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parents = pc.list_parent_indices(lists)
    return int(parents[pc.index(mask, pa.scalar(True)).as_py()].as_py())


def _short(kind: "pa.DataType") -> str:
    return str(kind)[:60]
