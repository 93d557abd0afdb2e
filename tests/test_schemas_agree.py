"""The schemas agree with the dataclasses whose content the files hold."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import get_type_hints as get_schema_hints

from twinlib import alignment, capture, contracts, findings, resampling, schemas
from twinlib.alignment import result
from twinlib.capture.take import ClippedRun, Take
from twinlib.corpus import near_names, sources
from twinlib.excitation import layout, probe_reel
from twinlib.excitation.cue_sheet import Cue
from twinlib.simulation.recorder import GroundTruth
from twinlib.table_schemas import TABLES

CLASSES: dict[type, type] = {
    schemas.Alignment: alignment.Alignment,
    schemas.Block: layout.Block,
    schemas.ClippedRun: ClippedRun,
    schemas.Dropout: result.Dropout,
    schemas.ExcerptPart: probe_reel.ExcerptPart,
    schemas.Excluded: result.Excluded,
    schemas.Finding: findings.Finding,
    schemas.Known: capture.Known,
    schemas.NearNames: near_names.NearNames,
    schemas.Piece: resampling.Piece,
    schemas.Problem: sources.Problem,
    schemas.Reel: layout.Reel,
    schemas.Reference: result.Reference,
    schemas.Section: probe_reel.Section,
    schemas.SimulatedTake: GroundTruth,
    schemas.Span: findings.Span,
    schemas.Take: Take,
    schemas.Tone: probe_reel.Tone,
    schemas.Window: result.Window,
    schemas.Witness: result.Witness,
}
ADDED = {schemas.Take: {"kind", "dry_sha256"}}
"""Keys that the stage adds to the fields of the dataclass."""
KEPT_APART = {schemas.Reel: {"name"}}
"""Fields that are no keys."""


def shape(kind: Any) -> Any:
    """A type as the values of JSON know it: tuples are lists, dataclasses are their schemas."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Annotated, Required, typing.Required):
        return shape(arguments[0])
    if origin in (Union, UnionType):
        return frozenset(map(shape, arguments))
    if origin is Literal:
        return origin, frozenset(arguments)
    if origin in (tuple, list, Sequence):
        items = {shape(one) for one in arguments if one is not Ellipsis}
        return list, items.pop() if len(items) == 1 else frozenset(items)
    if origin in (dict, Mapping):
        return dict, tuple(map(shape, arguments))
    return next((schema for schema, its in CLASSES.items() if its is kind), kind)


@pytest.mark.parametrize("schema", CLASSES, ids=lambda schema: schema.__name__)
def test_a_schema_has_the_fields_of_its_dataclass(schema: type) -> None:
    fields = {field.name for field in dataclasses.fields(CLASSES[schema])} - KEPT_APART.get(schema, set())
    types = get_type_hints(CLASSES[schema], include_extras=True)
    keys = get_schema_hints(schema, include_extras=True)
    assert set(keys) == fields | ADDED.get(schema, set())
    assert {name: shape(keys[name]) for name in fields} == {name: shape(types[name]) for name in fields}


def test_the_table_of_cues_has_the_columns_of_a_cue() -> None:
    kinds = {"text": str, "count": int, "number": float}
    assert {name: kinds[column.kind] for name, column in TABLES[contracts.CUES].items()} == get_type_hints(Cue)
