"""The schemas agree with the files that the stages write: no key and no column is missing on either side."""

import json
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pyarrow.parquet as pq
from typing_extensions import get_type_hints, is_typeddict

from tests.cli_harness import Options
from tests.programs.project import CAPTURE
from twinlib import contracts
from twinlib.files import CONTRACT_KEY, read_json
from twinlib.provenance.take_history import note_take
from twinlib.schemas import JSON
from twinlib.table_schemas import TABLES

ELSEWHERE = {
    contracts.MEASUREMENTS, contracts.MUSIC, contracts.PROBE, contracts.RECORDING, contracts.STORE,
    contracts.TAKE_HISTORY, contracts.WORKER,
}  # fmt: skip
"""Contracts of files that this project does not write."""

NOT_FOUND = {"ClippedRun", "Dropout", "Excluded", "ExcludedTrack", "Known", "NearNames", "Problem", "Reference", "Span"}
"""Schemas of what this project has none of."""
CONDITIONAL = {
    "Metrics.harmonics", "Metrics.impulse_samples", "Metrics.music_withdrawn", "Metrics.visqol", "Run.experiment",
    "Run.token",
}  # fmt: skip
"""Keys that depend on a probe reel, ViSQOL or the server of MLflow."""


def keys_of(kind: Any, value: Any) -> set[tuple[type, str]]:
    """The keys of a value, each with the schema of its object."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind) and isinstance(value, dict):
        hints = get_type_hints(kind, include_extras=True)
        inner = [keys_of(hints[key], held) for key, held in value.items() if key in hints]
        return {(kind, key) for key in value}.union(*inner)
    if isinstance(value, list) and origin is list:
        return set().union(*(keys_of(arguments[0], held) for held in value))
    if isinstance(value, dict) and origin is dict:
        return set().union(*(keys_of(arguments[1], held) for held in value.values()))
    if origin is Literal:
        return set()
    return set().union(*(keys_of(one, value) for one in arguments))


def declared(kind: Any) -> set[tuple[type, str]]:
    """All keys of a schema and of the schemas in it."""
    if get_origin(kind) is Literal:
        return set()
    if not is_typeddict(kind):
        return set().union(*map(declared, get_args(kind)))
    hints = get_type_hints(kind, include_extras=True)
    return {(kind, key) for key in hints}.union(*map(declared, hints.values()))


def test_every_key_that_is_written_is_declared_and_every_declared_key_is_written(
    finished: tuple[Path, Options],
) -> None:
    found: set[str] = set()
    written: set[tuple[type, str]] = set()
    for path in sorted(finished[0].rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        contract = content.pop("contract", None) if isinstance(content, dict) else None
        if contract in JSON:
            found.add(contract)
            written |= keys_of(JSON[contract], content)
    expected = set().union(*(declared(JSON[contract]) for contract in found))
    assert set(JSON) - found == ELSEWHERE
    assert names(written - expected) == set()
    absent = names(expected - written)
    assert {name.split(".")[0] for name in absent - CONDITIONAL} == NOT_FOUND
    assert absent >= CONDITIONAL


def test_the_history_of_takes_has_the_declared_keys(finished: tuple[Path, Options], tmp_path: Path) -> None:
    take = read_json(finished[0] / CAPTURE / "take.json", contracts.TAKE)
    note_take(tmp_path / "history.json", take, date(2026, 1, 31))
    content = read_json(tmp_path / "history.json", contracts.TAKE_HISTORY)
    schema = JSON[contracts.TAKE_HISTORY]
    assert names(keys_of(schema, content)) == names(declared(schema))


def names(keys: set[tuple[type, str]]) -> set[str]:
    return {f"{schema.__name__}.{key}" for schema, key in keys}


def test_every_column_is_declared_and_every_declared_column_is_written(finished: tuple[Path, Options]) -> None:
    found = set()
    for path in sorted(finished[0].rglob("*.parquet")):
        schema = pq.read_schema(path)
        contract = schema.metadata[CONTRACT_KEY].decode()
        found.add(contract)
        assert set(schema.names) == set(TABLES[contract]), path
    assert set(TABLES) - found == {contracts.TRIALS}
