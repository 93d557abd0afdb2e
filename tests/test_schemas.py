"""Wrong types in files with a contract: one sentence with file, column or key, and row."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from twinlib import contracts
from twinlib.errors import TwinError
from twinlib.files import read_json, read_table, write_json, write_table
from twinlib.schemas import JSON
from twinlib.table_schemas import TABLES

TAKE = {
    "sha256": "a",
    "sample_rate": 44100,
    "frames": 10,
    "verdict": "ok",
    "reasons": [],
    "settings": {"tone": "12:30"},
}
CURVE = {name: [0, 1] for name in ("seed", "step", "cpu_seconds", "learning_rate", "loss", "valid_esr", "best_esr")}


def test_every_contract_of_tables_and_json_has_a_schema() -> None:
    elsewhere = {
        contracts.BEST, contracts.CHECKPOINT, contracts.EXPORTED_TWIN, contracts.SHARD, contracts.TRACE, contracts.TWIN,
    }  # fmt: skip
    names = {
        value for name, value in vars(contracts).items() if name.isupper() and isinstance(value, str) and "/" in value
    }
    assert names == {*JSON, *TABLES, *elsewhere}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sha256", None, "sha256: input should be a valid string"),
        ("sample_rate", "44100", "sample_rate: input should be a valid integer"),
        ("frames", True, "frames: input should be a valid integer"),
        ("reasons", [1], r"reasons\.0: input should be a valid string"),
        ("verdict", "good", "verdict: input should be 'ok', 'suspect' or 'refused'"),
        ("settings", {"tone": None}, r"settings\.tone"),
        ("findings", [{"code": "a"}], r"findings\.0\.severity: field required"),
    ],
)
def test_a_key_of_another_type_is_named(key: str, value: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "take.json"
    write_json(path, contracts.TAKE, TAKE)
    assert read_json(path, contracts.TAKE) == TAKE
    write_json(path, contracts.TAKE, {**TAKE, key: value})
    with pytest.raises(TwinError, match=rf"take\.json is damaged or was edited: {words}"):
        read_json(path, contracts.TAKE)


def test_additional_keys_and_columns_are_allowed(tmp_path: Path) -> None:
    write_json(tmp_path / "take.json", contracts.TAKE, {**TAKE, "new": [1, {"a": None}]})
    assert read_json(tmp_path / "take.json", contracts.TAKE)["new"] == [1, {"a": None}]
    write_table(tmp_path / "curve.parquet", contracts.TRAINING, pd.DataFrame({**CURVE, "new": ["a", "b"]}))
    assert list(read_table(tmp_path / "curve.parquet", contracts.TRAINING)["new"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("step", ["0", "1"], "column step holds .*string, not count"),
        ("step", [0, -1], "column step holds an integer out of range in row 1"),
        ("step", [2**60, 0], "column step holds an integer out of range in row 0"),
        ("step", [[0], [1]], "column step holds list.*, not count"),
        ("seed", None, "the column seed is missing"),
        ("loss", [True, False], "column loss holds bool, not number"),
    ],
)
def test_a_column_of_another_type_is_named(column: str, values: list[Any] | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.parquet"
    content = {**CURVE, column: values}
    write_table(
        path, contracts.TRAINING, pd.DataFrame({name: held for name, held in content.items() if held is not None})
    )
    with pytest.raises(TwinError, match=rf"curve\.parquet is damaged or was edited: {words}"):
        read_table(path, contracts.TRAINING)


def test_missing_values_and_entries_are_named_with_their_row(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    cues = {
        name: ["a", "b", "c"] if column.kind == "text" else [0, 1, 2] for name, column in TABLES[contracts.CUES].items()
    }
    write_table(path, contracts.CUES, pd.DataFrame({**cues, "artist": ["a", None, "c"]}))
    with pytest.raises(TwinError, match="column artist has no value in row 1"):
        read_table(path, contracts.CUES)
    trials = {
        "number": [0, 1], "outcome": ["complete"] * 2, "dilations": [[1, 2], [None, 4]], "valid_esr": [[0.1], [0.2]],
        "steps": [[1], [2]], "cpu_seconds": [[1.0], [2.0]], "diverged": [[False], [False]],
    }  # fmt: skip
    write_table(path, contracts.TRIALS, pd.DataFrame(trials))
    with pytest.raises(TwinError, match="column dilations has an empty entry in row 1"):
        read_table(path, contracts.TRIALS)
